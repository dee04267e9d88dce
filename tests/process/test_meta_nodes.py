"""Three meta nodes in real processes: killed, frozen, restarted; nothing that was said is lost."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zreg.testing.processes import RunningCluster, run_zreg, wait_until

# The promise of a new leader, and what this test's own looking costs.
NEW_LEADER_SECONDS = 2.0
LOOK_SECONDS = 1.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    with RunningCluster(tmp_path, metas=3, sessions=1, data=1) as cluster:
        yield cluster


def names(cluster: RunningCluster) -> list[str]:
    return [node.node_id for node in cluster.of("meta") if node.is_alive]


def leader(cluster: RunningCluster, but: str = "") -> str:
    """Return who leads the latest term, asked of each that lives; empty if nobody does."""
    found = [
        (int(statistics["raft_term"]), name)
        for name in names(cluster)
        if name != but
        for statistics in [cluster.statistics(name)]
        if statistics["raft_role"] == "leader"
    ]
    return max(found)[1] if found else ""


def wait_leader(cluster: RunningCluster, but: str = "") -> str:
    found: list[str] = []

    def has_leader() -> bool:
        found[:] = [leader(cluster, but)]
        return found != [""]

    wait_until(has_leader, timeout_seconds=10.0, describe=cluster.describe)
    return found[0]


def settings(cluster: RunningCluster) -> dict[str, str]:
    result = run_zreg("settings", "ls", "--meta", cluster.meta_address, "-o", "json")
    assert result.returncode == 0, result.stderr
    return {each["name"]: each["value"] for each in json.loads(result.stdout)}


def members(cluster: RunningCluster) -> dict[str, str]:
    result = run_zreg("nodes", "--meta", cluster.meta_address, "-o", "json")
    assert result.returncode == 0, result.stderr
    return {each["node_id"]: each["status"] for each in json.loads(result.stdout)}


class Writer:
    """Sets one setting after the other until it is stopped, and keeps what was acknowledged."""

    def __init__(self, cluster: RunningCluster) -> None:
        self.acknowledged: dict[str, str] = {}
        self.versions: list[int] = []
        self._cluster = cluster
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            name, value = f"setting-{number % 5}", str(number)
            address = self._cluster.meta_address
            result = run_zreg("settings", "set", name, value, "--meta", address, "-o", "json")
            if result.returncode == 0:
                self.acknowledged[name] = value
                self.versions.append(json.loads(result.stdout)["version"])

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def test_a_killed_leader_costs_no_acknowledged_setting_and_no_epoch(
    cluster: RunningCluster,
) -> None:
    """The leader is killed again and again, while nodes renew and settings are written."""
    writer = Writer(cluster)
    try:
        for _ in range(6):
            former = wait_leader(cluster)
            written = len(writer.versions)
            wait_until(lambda: len(writer.versions) > written, describe=cluster.describe)  # noqa: B023
            cluster.kill(former)
            killed_at = time.monotonic()
            wait_leader(cluster, but=former)
            assert time.monotonic() - killed_at < NEW_LEADER_SECONDS + LOOK_SECONDS
            cluster.restart(former)
    finally:
        writer.stop()

    assert len(writer.versions) > 6
    assert writer.versions == sorted(set(writer.versions)), "an epoch went back"
    found = settings(cluster)
    for name, value in writer.acknowledged.items():
        assert int(found[name]) >= int(value)
    wait_until(lambda: set(members(cluster).values()) == {"WORKING"}, describe=cluster.describe)
    assert members(cluster).keys() == {"meta-1", "meta-2", "meta-3", "session-1", "data-1"}
    log = "".join(cluster.log(name) for name in ("session-1", "data-1"))
    assert "node.incarnation.gone" not in log


def test_a_frozen_leader_is_replaced_and_finds_its_place_when_it_goes_on(
    cluster: RunningCluster,
) -> None:
    former = wait_leader(cluster)
    cluster.stop(former)
    successor = wait_leader_of_others(cluster, former)
    run_zreg("settings", "set", "a", "1", "--meta", address_of(cluster, successor))
    cluster.cont(former)

    def follows() -> bool:
        return cluster.statistics(former)["raft_role"] == "follower"

    wait_until(follows, timeout_seconds=10.0, describe=cluster.describe)
    assert settings(cluster) == {"a": "1"}
    assert set(members(cluster).values()) == {"WORKING"}


def wait_leader_of_others(cluster: RunningCluster, frozen: str) -> str:
    """Ask only those that can answer."""
    found: list[str] = []

    def has_leader() -> bool:
        found[:] = [
            name
            for name in names(cluster)
            if name != frozen and cluster.statistics(name)["raft_role"] == "leader"
        ]
        return bool(found)

    wait_until(has_leader, timeout_seconds=10.0, describe=lambda: str(found))
    return found[0]


def address_of(cluster: RunningCluster, node_id: str) -> str:
    return cluster.nodes[node_id].address


def test_all_of_meta_killed_and_restarted_remembers(cluster: RunningCluster) -> None:
    run_zreg("settings", "set", "a", "1", "--meta", cluster.meta_address)
    before = members(cluster)
    incarnation = cluster.statistics("session-1")["incarnation"]
    all_names = names(cluster)
    for name in all_names:
        cluster.kill(name)
    for name in all_names:
        cluster.restart(name)
    wait_leader(cluster)

    assert settings(cluster) == {"a": "1"}
    wait_until(lambda: members(cluster) == before, describe=cluster.describe)
    assert cluster.statistics("session-1")["incarnation"] == incarnation


def test_a_lost_majority_is_said_with_what_to_do(cluster: RunningCluster) -> None:
    last, *others = names(cluster)
    for name in others:
        cluster.kill(name)
    where = address_of(cluster, last)

    def is_said() -> bool:
        return "meta has no leader" in run_zreg("nodes", "--meta", where).stderr

    wait_until(is_said, timeout_seconds=10.0, describe=cluster.describe)
    result = run_zreg("nodes", "--meta", where)
    assert result.returncode == 0
    assert "session-1" in result.stdout
    assert "2 of its 3 nodes must run" in result.stderr
    refused = run_zreg("settings", "set", "a", "1", "--meta", where)
    assert refused.returncode == 4
    assert "meta has no leader" in refused.stderr
    assert "raft.quorum.missing" in cluster.log(last)


def test_a_damaged_journal_is_refused_with_the_words_how_to_rejoin(
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
    assert wait_leader(cluster, but=former) != former


def test_a_lone_meta_with_a_directory_remembers_over_a_restart(tmp_path: Path) -> None:
    with RunningCluster(tmp_path) as cluster:
        run_zreg("settings", "set", "a", "1", "--meta", cluster.meta_address)
        incarnation = cluster.statistics("data-1")["incarnation"]
        cluster.kill("meta-1")
        cluster.restart("meta-1")

        assert settings(cluster) == {"a": "1"}
        wait_until(lambda: cluster.statistics("data-1")["meta"] != "-", describe=cluster.describe)
        assert cluster.statistics("data-1")["incarnation"] == incarnation


def test_settings_from_the_command_line(tmp_path: Path) -> None:
    with RunningCluster(tmp_path) as cluster:

        def zreg(*arguments: str) -> tuple[int, str, str]:
            result = run_zreg("settings", *arguments, "--url", cluster.url)
            return result.returncode, result.stdout.strip(), result.stderr

        assert zreg("ls")[1].startswith("Nothing is set")
        assert zreg("get", "limits")[0] == 3
        code, said, _ = zreg("set", "limits", "10", "--if-version", "0", "-o", "json")
        assert code == 0
        version = json.loads(said)["version"]
        code, _, why = zreg("set", "limits", "11", "--if-version", "0")
        assert code == 1
        assert f"limits is at version {version}, not at version 0" in why
        assert zreg("set", "limits", "12", "--if-version", str(version))[0] == 0
        assert zreg("get", "limits")[1] == "12"
        assert "limits" in zreg("ls", "lim*")[1]
        assert zreg("rm", "limits")[0] == 0
        assert zreg("get", "limits")[0] == 3
        assert zreg("get", "no such name")[0] == 2
        assert zreg("set", "limits", "x" * 4097)[0] == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--peer=m1=nowhere"], "peer m1: 'nowhere' is no address"),
        (["--peer=m1"], "write ID=HOST:PORT"),
        (["--peer=m2=127.0.0.1:9611"], "do not include this node, m1"),
        ([f"--peer=m{n}=127.0.0.1:{n}9611" for n in (1, 2, 3)], "say where with --dir"),
        (["--join"], "a meta node that joins others needs --dir"),
    ],
)
def test_peers_that_cannot_work_are_refused(options: list[str], says: str) -> None:
    result = run_zreg("meta", "--id=m1", "--port=0", *options)

    assert result.returncode == 2
    assert says in result.stderr


def test_an_even_number_of_founders_is_refused(tmp_path: Path) -> None:
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
