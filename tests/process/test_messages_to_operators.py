"""What operators read when a node is down or an option is wrong: the cause, once, and advice."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zreg.testing.processes import Running, RunningCluster, run_zreg, wait_until, zreg_command

LOST, RESTORED = "meta.connection.lost", "meta.connection.restored"


@pytest.fixture
def metas(tmp_path: Path) -> Iterator[RunningCluster]:
    """Run three meta nodes, a session and a data node."""
    with RunningCluster(tmp_path, metas=3) as cluster:
        for node in cluster.of("meta"):
            # A follower applies a change of the membership a moment after the leader.
            wait_until(lambda at=node.address: set(statuses("--meta", at)) == set(cluster.nodes))
        yield cluster


def statuses(*where: str) -> dict[str, str]:
    """Return the status of each node that `zreg nodes` shows."""
    result = run_zreg("nodes", "-o", "json", *where)
    assert result.returncode == 0, result.stderr
    return {node["node_id"]: node["status"] for node in json.loads(result.stdout)}


def places(cluster: RunningCluster, meta: str) -> list[tuple[str, str]]:
    address = next(node.address for node in cluster.of("meta") if node.node_id == meta)
    return [("--url", cluster.url), ("--meta", address)]


def test_nodes_shows_which_meta_nodes_the_leader_does_not_hear(metas: RunningCluster) -> None:
    """A session and a meta node show the same; a frozen node is not heard either."""
    for place in places(metas, "meta-1"):
        assert set(statuses(*place).values()) == {"WORKING"}

    metas.stop("meta-3")
    for place in places(metas, "meta-1"):
        wait_until(lambda place=place: statuses(*place)["meta-3"] == "SILENT")
        assert statuses(*place)["meta-1"] == "WORKING"
    metas.cont("meta-3")
    metas.kill("meta-2")
    wait_until(lambda: statuses("--url", metas.url)["meta-2"] == "SILENT")
    wait_until(lambda: statuses("--url", metas.url)["meta-3"] == "WORKING")


def test_without_a_majority_every_command_says_that_meta_is_the_cause(
    metas: RunningCluster,
) -> None:
    metas.kill("meta-2")
    metas.kill("meta-3")
    where = ("--url", metas.url)
    why = "meta has no leader: 2 of its 3 nodes must run"
    wait_until(lambda: why in run_zreg("nodes", *where).stderr)

    for place in places(metas, "meta-1"):
        nodes = statuses(*place)
        assert {nodes[f"meta-{number}"] for number in (1, 2, 3)} == {"UNKNOWN"}
        for command in (["settings", "get", "x"], ["settings", "set", "x", "y"], ["meta", "ls"]):
            result = run_zreg(*command, *place)
            assert result.returncode == 4
            assert result.stderr.startswith("zreg: meta is away: ")
            assert why in result.stderr
            assert "may have been made" not in result.stderr, "no meta node took it"

    metas.kill("data-1")
    lists = run_zreg("ls", *where)
    assert "no connection to data-1" in lists.stderr
    for result in (lists, run_zreg("publish", "x", "v", *where), run_zreg("get", "x", *where)):
        assert result.returncode == 4
        assert "meta is away: session-1 does not reach its leader" in result.stderr
        assert result.stderr.count(why) == 1


# --- wrong addresses and clusters -----------------------------------------------------------------


def lines_of(node: Running, seconds: float) -> list[str]:
    """Return the lines that a node writes to stderr in this time."""
    lines, ends_at = [], time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0:
        try:
            lines.append(node.error_line(timeout_seconds=left))
        except AssertionError:
            break
    return lines


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cluster", "it is of cluster 'zreg': give the name of its cluster with --cluster"),
        ("session", "not a meta node (correct --meta): it answers 'a session does not take Join"),
        ("data", "not a meta node (correct --meta): it answers 'a data node does not take Join"),
        ("changes", "hangs or is no meta node: check it, or correct --meta"),
        ("raft", "no answer' detail='check whether meta hangs, and whether --meta names its port"),
    ],
)
def test_a_node_with_a_wrong_meta_address_logs_the_reason_once(
    metas: RunningCluster, kind: str, reason: str
) -> None:
    """It keeps trying, and never reports that meta is back."""
    address, more = metas.of("meta")[0].address, []
    if kind == "cluster":
        more = ["--cluster=other"]
    elif kind == "changes":
        listed = json.loads(run_zreg("nodes", "--meta", address, "-o", "json").stdout)
        address = next(each["changes_address"] for each in listed if each["role"] == "meta")
    elif kind in ("session", "data"):
        address = metas.of(kind)[0].address
    elif kind == "raft":
        listed = json.loads(run_zreg("meta", "ls", "--meta", address, "-o", "json").stdout)
        address = listed[0]["address"]
    command = zreg_command("data", "--id=new", "--port=0", f"--meta={address}", *more)

    with Running(command) as node:
        # A busy machine may take seconds to start the node.
        assert "node.started" in node.error_line(timeout_seconds=30.0)
        lines = [node.error_line(timeout_seconds=30.0), *lines_of(node, 3.0)]

        assert [LOST in line for line in lines] == [True], lines
        assert reason in lines[0]
        assert node.process.poll() is None


# --- wrong directories, variables and settings ----------------------------------------------------


@pytest.mark.parametrize(
    ("role", "other"),
    [("session", "session"), ("data", "data"), ("meta", "meta"), ("meta", "session")],
)
def test_a_second_node_on_the_same_directory_is_refused_with_the_first_ones_process(
    tmp_path: Path, role: str, other: str
) -> None:
    """Once the first node has ended, also by SIGKILL, the directory can be used again."""
    options = [f"--dir={tmp_path / 'shared'}", "--http-port=off", "-o", "json"]
    command = zreg_command(role, "--id=first", "--port=0", *_more_ports(role), *options)
    with Running(command) as first:
        pid = json.loads(first.line())["pid"]
        second = run_zreg(other, "--port=0", *_more_ports(other), *options)
        assert second.returncode == 2
        error = f"zreg: {tmp_path / 'shared'} is in use by process {pid} ("
        assert second.stderr.startswith(error)
        assert f"zreg {role} --id=first" in second.stderr
        first.send(signal.SIGKILL)
        first.wait()
        with Running(command) as again:
            assert json.loads(again.line())["node_id"] == "first"


def _more_ports(role: str) -> list[str]:
    return ["--pub-port=0"] if role == "meta" else []


def test_an_unknown_variable_is_reported_once_also_by_a_cluster(
    tmp_path: Path,
) -> None:
    """Its nodes inherit no settings: they would all use the same directory."""
    environment = {"ZREG_LEASE_SECOND": "9", "ZREG_DIR": str(tmp_path / "one")}
    warning = (
        "zreg: the variable ZREG_LEASE_SECOND is unknown and ignored: did you mean "
        "ZREG_LEASE_SECONDS?\n"
    )
    assert run_zreg("version", environment=environment).stderr == warning

    with Running(zreg_command("cluster", "--json"), environment=environment) as cluster:
        assert f"{cluster.error_line()}\n" == warning
        while "ready" not in cluster.line():
            pass
        cluster.send(signal.SIGTERM)
        assert cluster.wait() == 0
        while line := cluster.error_line():
            assert "ZREG_LEASE_SECOND" not in line
    assert not (tmp_path / "one").exists()


def test_a_setting_named_like_an_option_of_nodes_is_set_with_a_warning() -> None:
    with Running(zreg_command("dev", "--port=0", "-o", "json")) as registry:
        while "url" not in (line := json.loads(registry.line())):
            pass
        result = run_zreg("settings", "set", "lease_seconds", "10", "--url", line["url"])
        assert result.stdout.startswith("lease_seconds is set, version ")
        assert result.stderr == (
            "zreg: lease_seconds is set for your programs only: a node reads its own lease_seconds "
            "from --lease-seconds, ZREG_LEASE_SECONDS or zreg.toml when it starts\n"
        )
        assert run_zreg("settings", "set", "mine", "10", "--url", line["url"]).stderr == ""
