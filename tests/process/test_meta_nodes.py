"""Three meta nodes in real processes: restarts, refusals, settings, and their messages."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from meta_watching import address_of, living_metas, members, settings, wait_leader

from zreg.testing.processes import RunningCluster, run_zreg, wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    with RunningCluster(tmp_path, metas=3, sessions=1, data=1) as cluster:
        yield cluster


def test_settings_work_through_a_session_also_when_the_leader_was_just_killed(
    cluster: RunningCluster,
) -> None:
    """The command knows no meta node: the session finds the next leader, and asks it."""

    def ask(*words: str) -> dict[str, object]:
        result = run_zreg("settings", *words, "--url", cluster.url, "-o", "json")
        assert result.returncode == 0, result.stderr
        setting: dict[str, object] = json.loads(result.stdout)
        return setting

    former = wait_leader(cluster)
    first = ask("set", "a", "1", "--if-version", "0")
    cluster.kill(former)

    second = ask("set", "a", "2", "--if-version", str(first["version"]))

    assert second["value"] == "2"
    assert second["version"] != first["version"]
    assert ask("get", "a") == second
    listed = run_zreg("meta", "ls", "--url", cluster.url, "-o", "json")
    states = {node["node_id"]: node["state"] for node in json.loads(listed.stdout)}
    assert states.keys() == {"meta-1", "meta-2", "meta-3"}
    assert list(states.values()).count("leader") == 1


def test_after_all_meta_nodes_were_killed_they_continue_from_their_journals(
    cluster: RunningCluster,
) -> None:
    run_zreg("settings", "set", "a", "1", "--meta", cluster.meta_address)
    before = members(cluster)
    incarnation = cluster.statistics("session-1")["incarnation"]
    all_names = living_metas(cluster)
    for name in all_names:
        cluster.kill(name)
    for name in all_names:
        cluster.restart(name)
    wait_leader(cluster)

    assert settings(cluster) == {"a": "1"}
    wait_until(lambda: members(cluster) == before, describe=cluster.describe)
    assert cluster.statistics("session-1")["incarnation"] == incarnation


def test_a_lost_majority_is_reported_with_what_to_do(cluster: RunningCluster) -> None:
    last, *others = living_metas(cluster)
    where = address_of(cluster, last)
    # A node that follows learns a heartbeat later what the majority has.
    wait_until(lambda: "session-1" in run_zreg("nodes", "--meta", where).stdout)
    for name in others:
        cluster.kill(name)

    def is_reported() -> bool:
        return "meta has no leader" in run_zreg("nodes", "--meta", where).stderr

    wait_until(is_reported, timeout_seconds=10.0, describe=cluster.describe)
    result = run_zreg("nodes", "--meta", where)
    assert result.returncode == 0
    assert "session-1" in result.stdout
    assert "2 of its 3 nodes must run" in result.stderr
    refused = run_zreg("settings", "set", "a", "1", "--meta", where, "--timeout-seconds", "1")
    assert refused.returncode == 4
    assert "meta has no leader" in refused.stderr
    assert "raft.quorum.missing" in cluster.log(last)


def test_a_damaged_journal_is_refused_with_how_to_rejoin(
    cluster: RunningCluster,
) -> None:
    former = wait_leader(cluster)
    cluster.terminate(former)
    journal = cluster.directory / former / "raft.db"
    content = bytearray(journal.read_bytes())
    middle = len(content) // 2
    content[100:middle] = bytes(byte ^ 0x55 for byte in content[100:middle])
    journal.write_bytes(content)

    arguments = cluster.nodes[former].arguments
    result = run_zreg("meta", f"--id={former}", *arguments)

    assert result.returncode == 1
    assert "is damaged" in result.stderr
    assert "rejoins as a new node" in result.stderr
    assert wait_leader(cluster, except_for=former) != former


def test_a_single_meta_node_with_a_directory_continues_after_a_restart(tmp_path: Path) -> None:
    with RunningCluster(tmp_path) as cluster:
        run_zreg("settings", "set", "a", "1", "--meta", cluster.meta_address)
        incarnation = cluster.statistics("data-1")["incarnation"]
        cluster.kill("meta-1")
        cluster.restart("meta-1")

        assert settings(cluster) == {"a": "1"}
        wait_until(lambda: cluster.statistics("data-1")["meta"] != "-", describe=cluster.describe)
        assert cluster.statistics("data-1")["incarnation"] == incarnation


def test_settings_are_set_read_listed_and_removed_by_commands(tmp_path: Path) -> None:
    with RunningCluster(tmp_path) as cluster:

        def zreg(*arguments: str) -> tuple[int, str, str]:
            result = run_zreg("settings", *arguments, "--url", cluster.url)
            return result.returncode, result.stdout.strip(), result.stderr

        assert zreg("ls")[1].startswith("Nothing is set")
        assert zreg("get", "limits")[0] == 3
        code, output, _ = zreg("set", "limits", "10", "--if-version", "0", "-o", "json")
        assert code == 0
        version = json.loads(output)["version"]
        code, _, error = zreg("set", "limits", "11", "--if-version", "0")
        assert code == 1
        assert f"limits is at version {version}, not at version 0" in error
        assert zreg("set", "limits", "12", "--if-version", str(version))[0] == 0
        assert zreg("get", "limits")[1] == "12"
        assert "limits" in zreg("ls", "lim*")[1]
        assert zreg("rm", "limits")[0] == 0
        assert zreg("get", "limits")[0] == 3
        assert zreg("get", "no such name")[0] == 2
        assert zreg("set", "limits", "x" * 4097)[0] == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--peer=m1=nowhere"], "peer m1: 'nowhere' is not an address"),
        (["--peer=m1"], "write ID=HOST:PORT"),
        (["--peer=m2=127.0.0.1:9611", "--dir=x"], "do not include this node, m1"),
        ([f"--peer=m{n}=127.0.0.1:{n}9611" for n in (1, 2, 3)], "say which with --dir"),
        ([], "say which with --dir (or ZREG_DIR; systemd sets STATE_DIRECTORY)"),
        (["--join", "--dir=x"], "a meta node that joins others needs --peer"),
    ],
)
def test_peers_that_cannot_work_are_refused(options: list[str], error: str) -> None:
    result = run_zreg("meta", "--id=m1", "--port=0", *options)

    assert result.returncode == 2
    assert error in result.stderr


def test_an_even_number_of_peers_is_refused(tmp_path: Path) -> None:
    peers = [f"--peer=m{n}=127.0.0.1:{n}9611" for n in (1, 2)]

    result = run_zreg("meta", "--id=m1", "--port=0", f"--dir={tmp_path / 'm1'}", *peers)

    assert result.returncode == 2
    assert "name all of them, 1, 3 or 5" in result.stderr


def test_the_directory_of_another_meta_node_is_refused(tmp_path: Path) -> None:
    with RunningCluster(tmp_path) as cluster:
        cluster.terminate("meta-1")

    renamed = run_zreg("meta", "--id=meta-2", "--port=0", f"--dir={tmp_path / 'meta-1'}")

    assert renamed.returncode == 1
    assert "belongs to node_id meta-1, not meta-2" in renamed.stderr


def test_a_cluster_continues_from_its_directory(tmp_path: Path) -> None:
    with RunningCluster(tmp_path, metas=3) as cluster:
        result = run_zreg("settings", "set", "a", "1", "--meta", cluster.meta_address)
        assert result.returncode == 0, result.stderr
    with RunningCluster(tmp_path, metas=3) as cluster:
        assert settings(cluster) == {"a": "1"}

    fewer = run_zreg("cluster", "--meta=1", f"--dir={tmp_path}")
    assert fewer.returncode == 2
    assert (
        "holds the journals of meta-1, meta-2, meta-3: start 3 meta nodes with --meta 3"
        in fewer.stderr
    )
    nowhere = run_zreg("cluster", "--dir=/dev/null/x")
    assert nowhere.returncode == 2
    assert "cannot be used" in nowhere.stderr
