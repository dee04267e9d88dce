"""Meta nodes in real processes are added, removed, replaced and recovered."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zreg.cli.process.ports import free_ports
from zreg.testing.processes import RunningCluster, run_zreg, wait_until

# An election and the commands that look for its outcome, on a busy machine.
ELECTION_SECONDS_MAX = 10.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    with RunningCluster(tmp_path, metas=3, sessions=1, data=1) as cluster:
        yield cluster


def meta(cluster: RunningCluster, *arguments: str) -> str:
    """Run `zreg meta` as an operator does; return its output."""
    result = run_zreg("meta", *arguments, "--meta", cluster.meta_address)
    assert result.returncode == 0, result.stderr
    return result.stdout


def nodes(cluster: RunningCluster) -> dict[str, str]:
    listed = json.loads(meta(cluster, "ls", "-o", "json"))
    return {node["node_id"]: node["state"] for node in listed}


def leader(cluster: RunningCluster) -> str:
    (name,) = [name for name, state in nodes(cluster).items() if state == "leader"]
    return name


def follower(cluster: RunningCluster) -> str:
    return next(name for name, state in sorted(nodes(cluster).items()) if state == "voter")


def statuses(cluster: RunningCluster) -> dict[str, str]:
    result = run_zreg("nodes", "--meta", cluster.meta_address, "-o", "json")
    assert result.returncode == 0, result.stderr
    return {each["node_id"]: each["status"] for each in json.loads(result.stdout)}


def set_and_get(cluster: RunningCluster, name: str, value: str) -> None:
    for arguments in (["set", name, value], ["get", name]):
        result = run_zreg("settings", *arguments, "--meta", cluster.meta_address)
        assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == value


def peer_of(cluster: RunningCluster, node_id: str) -> str:
    """Return the `--peer` option with which a node was first started, `ID=HOST:PORT`."""
    arguments = cluster.nodes[node_id].arguments
    return next(
        each.removeprefix("--peer=") for each in arguments if each.startswith(f"--peer={node_id}=")
    )


def join(cluster: RunningCluster, node_id: str, peer: str) -> None:
    """Start a meta node that waits until it is added."""
    directory = cluster.directory / node_id
    cluster.add("meta", node_id, f"--dir={directory}", "--join", f"--peer={peer}")


def test_a_node_whose_disk_is_lost_is_refused_and_replaced(cluster: RunningCluster) -> None:
    lost = follower(cluster)
    set_and_get(cluster, "a", "1")
    cluster.kill(lost)
    shutil.rmtree(cluster.directory / lost)
    peer = peer_of(cluster, lost)

    again = run_zreg("meta", f"--id={lost}", *cluster.nodes[lost].arguments)
    assert again.returncode == 1
    assert f"{lost} comes without the journal that it had" in again.stderr
    assert f"zreg meta rm {lost}" in again.stderr

    shutil.rmtree(cluster.directory / lost)
    assert "2 voters, of which 0 may fail" in meta(cluster, "rm", lost)
    join(cluster, lost, peer)
    assert f"{lost} votes. Meta has 3 voters, of which 1 may fail" in meta(cluster, "add", peer)

    cluster.kill(leader(cluster))
    wait_until(
        lambda: run_zreg("meta", "ls", "--meta", cluster.meta_address).returncode == 0,
        timeout_seconds=ELECTION_SECONDS_MAX,
        describe=cluster.describe,
    )
    set_and_get(cluster, "b", "2")
    set_and_get(cluster, "a", "3")
    assert {statuses(cluster)["session-1"], statuses(cluster)["data-1"]} == {"WORKING"}


def test_the_leader_can_be_removed_and_its_process_ends(cluster: RunningCluster) -> None:
    gone = leader(cluster)

    meta(cluster, "rm", gone)

    assert gone not in nodes(cluster)
    wait_until(
        lambda: not cluster.nodes[gone].is_alive,
        timeout_seconds=ELECTION_SECONDS_MAX,
        describe=cluster.describe,
    )
    assert f"{gone} was removed from the nodes of meta" in cluster.log(gone)
    assert gone not in statuses(cluster)
    set_and_get(cluster, "a", "1")
    again = run_zreg("meta", "rm", gone, "--meta", cluster.meta_address)
    assert again.returncode == 3
    assert f"nothing to remove: {gone} is not among the nodes of meta" in again.stderr


def test_a_single_meta_node_grows_to_three_and_its_first_node_may_fail(tmp_path: Path) -> None:
    names = ("meta-1", "meta-2", "meta-3")
    ports = free_ports(len(names))
    peers = {name: f"{name}=127.0.0.1:{p}" for name, p in zip(names, ports, strict=True)}
    with RunningCluster(tmp_path, sessions=1, data=1) as cluster:
        set_and_get(cluster, "a", "1")
        refused = run_zreg("meta", "add", peers["meta-2"], "--meta", cluster.meta_address)
        assert refused.returncode == 5
        assert "restart it with --dir and --peer meta-1=HOST:PORT first" in refused.stderr

        cluster.terminate("meta-1")
        cluster.nodes["meta-1"].arguments.append(f"--peer={peers['meta-1']}")
        cluster.restart("meta-1")
        wait_until(
            lambda: "127.0.0.1" in meta(cluster, "ls"),
            timeout_seconds=ELECTION_SECONDS_MAX,
            describe=cluster.describe,
        )
        for name in ("meta-2", "meta-3"):
            join(cluster, name, peers[name])
            meta(cluster, "add", peers[name])
        assert set(nodes(cluster).values()) == {"leader", "voter"}

        cluster.kill("meta-1")
        wait_until(
            lambda: run_zreg("meta", "ls", "--meta", cluster.meta_address).returncode == 0,
            timeout_seconds=ELECTION_SECONDS_MAX,
            describe=cluster.describe,
        )
        set_and_get(cluster, "b", "2")
        assert statuses(cluster)["session-1"] == "WORKING"


def test_a_majority_that_comes_back_on_empty_directories_founds_no_second_cluster(
    cluster: RunningCluster,
) -> None:
    """The service manager starts them as at first, while the node that has a journal is down."""
    set_and_get(cluster, "a", "1")
    last, *lost = sorted(nodes(cluster))
    for name in (last, *lost):
        cluster.kill(name)
    for name in lost:
        shutil.rmtree(cluster.directory / name)
        cluster.restart(name)
    waits = f"has no connection to {last}"
    wait_until(
        lambda: all(waits in cluster.log(name) for name in lost),
        timeout_seconds=ELECTION_SECONDS_MAX,
        describe=cluster.describe,
    )
    assert {cluster.statistics(name)["raft_leader"] for name in lost} == {"-"}

    cluster.restart(last)
    wait_until(
        lambda: not any(cluster.nodes[name].is_alive for name in lost),
        timeout_seconds=ELECTION_SECONDS_MAX,
        describe=cluster.describe,
    )
    for name in lost:
        assert f"{name} comes without the journal that it had" in cluster.log(name)
    empty = run_zreg("meta", "recover", "--dir", str(cluster.directory / lost[0]))
    assert empty.returncode == 2
    assert "is empty: recover another node that is left" in empty.stderr
    cluster.terminate(last)
    done = run_zreg("meta", "recover", "--dir", str(cluster.directory / last), "--force")
    assert done.returncode == 0, done.stderr
    cluster.restart(last)
    set_and_get(cluster, "b", "2")
    assert statuses(cluster)["session-1"] == "WORKING"


def test_a_lost_majority_is_recovered_from_one_node(cluster: RunningCluster) -> None:
    set_and_get(cluster, "a", "1")
    last, *others = sorted(nodes(cluster))
    for name in others:
        cluster.kill(name)
        shutil.rmtree(cluster.directory / name)
    directory = str(cluster.directory / last)
    runs = run_zreg("meta", "recover", "--dir", directory, "--force")
    assert runs.returncode == 1
    assert "another process uses it" in runs.stderr
    cluster.terminate(last)

    asked = run_zreg("meta", "recover", "--dir", directory)
    assert asked.returncode == 1
    assert "nothing is changed" in asked.stderr
    assert ", ".join(others) in asked.stderr
    done = run_zreg("meta", "recover", "--dir", directory, "--force")
    assert done.returncode == 0, done.stderr
    cluster.restart(last)

    assert nodes(cluster) == {last: "leader"}
    set_and_get(cluster, "a", "2")
    assert cluster.statistics(last)["epoch"] > 1_000_000
    wait_until(
        lambda: cluster.statistics("session-1")["epoch"] > 1_000_000,
        timeout_seconds=ELECTION_SECONDS_MAX,
        describe=cluster.describe,
    )
    assert statuses(cluster) == {last: "WORKING", "session-1": "WORKING", "data-1": "WORKING"}
    assert "node.incarnation.gone" not in cluster.log("data-1")
    for name in others:
        join(cluster, name, peer_of(cluster, name))
        meta(cluster, "add", peer_of(cluster, name))
    assert set(nodes(cluster)) == {last, *others}


@pytest.mark.parametrize("arguments", [["--dir", "nowhere"], []])
def test_recover_needs_a_directory_with_a_journal(tmp_path: Path, arguments: list[str]) -> None:
    result = run_zreg("meta", "recover", *arguments)

    assert result.returncode == 2


def test_options_of_a_meta_node_before_a_command_are_refused() -> None:
    result = run_zreg("meta", "--id=m1", "ls")

    assert result.returncode == 2
    assert "--id cannot be given before 'ls'" in result.stderr


def test_a_leader_that_is_stopped_hands_over_first(cluster: RunningCluster) -> None:
    former = leader(cluster)
    term = cluster.statistics(former)["raft_term"]
    stopped_at = time.monotonic()
    cluster.terminate(former)
    ended_after = time.monotonic() - stopped_at
    others = [name for name in ("meta-1", "meta-2", "meta-3") if name != former]

    def leading() -> list[str]:
        return [name for name in others if cluster.statistics(name)["raft_role"] == "leader"]

    # It ends as soon as another node asks for votes at its request; the votes may be on their way.
    cluster.wait_until(leading, timeout_seconds=ELECTION_SECONDS_MAX)
    assert cluster.statistics(leading()[0])["raft_term"] == term + 1
    assert ended_after < ELECTION_SECONDS_MAX


def test_meta_nodes_with_different_lists_of_peers_found_no_cluster(tmp_path: Path) -> None:
    ports = free_ports(4)
    lists = {
        "m1": {"m1": ports[0], "m2": ports[1], "m3": ports[2]},
        "m2": {"m1": ports[0], "m2": ports[1], "m4": ports[3]},
    }
    with RunningCluster(tmp_path) as cluster:
        for name, peers in lists.items():
            named = [f"--peer={peer}=127.0.0.1:{port}" for peer, port in peers.items()]
            cluster.add("meta", name, f"--dir={tmp_path / name}", *named)

        wait_until(
            lambda: all("different lists of peers" in cluster.log(name) for name in lists),
            timeout_seconds=ELECTION_SECONDS_MAX,
            describe=cluster.describe,
        )
        assert {cluster.statistics(name)["raft_leader"] for name in lists} == {"-"}


def test_a_meta_node_with_a_new_address_is_found_again(cluster: RunningCluster) -> None:
    moved = follower(cluster)
    former, new = peer_of(cluster, moved), f"{moved}=127.0.0.1:{free_ports(1)[0]}"
    cluster.terminate(moved)
    arguments = cluster.nodes[moved].arguments
    arguments[arguments.index(f"--peer={former}")] = f"--peer={new}"
    cluster.restart(moved)

    def is_known() -> bool:
        listed = json.loads(meta(cluster, "ls", "-o", "json"))
        (node,) = [node for node in listed if node["node_id"] == moved]
        return f"{moved}={node['address']}" == new and not node["trouble"]

    wait_until(is_known, timeout_seconds=ELECTION_SECONDS_MAX, describe=cluster.describe)
    cluster.kill(next(name for name in sorted(nodes(cluster)) if name != moved))
    wait_until(
        lambda: run_zreg("meta", "ls", "--meta", cluster.meta_address).returncode == 0,
        timeout_seconds=ELECTION_SECONDS_MAX,
        describe=cluster.describe,
    )
    set_and_get(cluster, "a", "1")
