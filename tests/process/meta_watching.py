"""What tests ask of several meta nodes, and who writes and watches while they fail."""

import json
import threading
import time
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

import zreg
from zreg.cli.ask import ask_now
from zreg.config import Config
from zreg.effects import Link
from zreg.errors import Error
from zreg.testing.processes import RunningCluster
from zreg.testing.running import run_zreg, wait_until
from zreg.wire.membership_messages import FetchMembership, MembershipReply
from zreg.wire.settings_messages import SetSetting, SettingsReply

CONFIG = Config.for_loopback()
_ASK_SECONDS = 3.0
_PAUSE_SECONDS = 0.02


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
    """Wait until somebody leads; `but` is not asked, since it is dead or frozen."""
    found: list[str] = []

    def has_leader() -> bool:
        found[:] = [leader(cluster, but)]
        return found != [""]

    wait_until(has_leader, timeout_seconds=10.0, describe=cluster.describe)
    return found[0]


def address_of(cluster: RunningCluster, node_id: str) -> str:
    return cluster.nodes[node_id].address


def settings(cluster: RunningCluster) -> dict[str, str]:
    result = run_zreg("settings", "ls", "--meta", cluster.meta_address, "-o", "json")
    assert result.returncode == 0, result.stderr
    return {each["name"]: each["value"] for each in json.loads(result.stdout)}


def members(cluster: RunningCluster) -> dict[str, str]:
    result = run_zreg("nodes", "--meta", cluster.meta_address, "-o", "json")
    assert result.returncode == 0, result.stderr
    return {each["node_id"]: each["status"] for each in json.loads(result.stdout)}


def incarnations(cluster: RunningCluster) -> dict[str, str]:
    """Return the incarnation of each session and data node, as it knows it itself."""
    nodes = [*cluster.of("session"), *cluster.of("data")]
    return {n.node_id: str(cluster.statistics(n.node_id)["incarnation"]) for n in nodes}


def check_nobody_departed(cluster: RunningCluster, before: dict[str, str]) -> None:
    """Every session and data node is the member that it was, and nobody ever said otherwise."""
    assert incarnations(cluster) == before, cluster.describe()
    for node in cluster.nodes.values():
        log = cluster.log(node.node_id)
        assert "member.departed" not in log, node.node_id
        assert "node.incarnation.gone" not in log, node.node_id
    assert set(members(cluster).values()) == {"WORKING"}


def _addresses(cluster: RunningCluster) -> list[str]:
    return [f"tcp://{node.address}" for node in cluster.of("meta")]


def change_setting(cluster: RunningCluster, node_id: str, value: str) -> None:
    """Set `a` at this meta node, as `zreg settings set` does."""
    ask_now(
        Link.META,
        [f"tcp://{address_of(cluster, node_id)}"],
        (partial(SetSetting, name="a", value=value), SettingsReply),
        config=CONFIG,
        timeout_seconds=_ASK_SECONDS,
    )


class Write(msgspec.Struct, frozen=True):
    """One acknowledged write."""

    name: str
    number: int
    version: int
    started_at: float
    ended_at: float


class Writer:
    """Sets one setting after the other as `zreg settings set` does; counts what was acknowledged.

    Each write has a higher number than all before it, and goes to whichever meta node leads.
    """

    def __init__(self, cluster: RunningCluster) -> None:
        self.writes: list[Write] = []
        self._addresses = _addresses(cluster)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            name, started_at = f"setting-{number % 5}", time.monotonic()
            question = partial(SetSetting, name=name, value=str(number))
            try:
                reply = ask_now(
                    Link.META,
                    self._addresses,
                    (question, SettingsReply),
                    config=CONFIG,
                    timeout_seconds=_ASK_SECONDS,
                )
            except Error:
                # Unknown, or nobody leads: it does not count.
                self._stopping.wait(_PAUSE_SECONDS)
                continue
            version = reply.settings[0].version
            self.writes.append(Write(name, number, version, started_at, time.monotonic()))

    def wait_more(self, cluster: RunningCluster, *, timeout_seconds: float = 10.0) -> Write:
        """Wait for the acknowledgement of a write that begins after now."""
        now = time.monotonic()

        def is_there() -> bool:
            return bool(self.writes) and self.writes[-1].started_at > now

        wait_until(is_there, timeout_seconds=timeout_seconds, describe=cluster.describe)
        return next(write for write in self.writes if write.started_at > now)

    def check(self, cluster: RunningCluster) -> None:
        """Nothing that was acknowledged is lost, and every version is above the one before it."""
        versions = [write.version for write in self.writes]
        assert versions == sorted(set(versions)), "an epoch went back"
        found = settings(cluster)
        for write in self.writes:
            # It holds that value, or one that was written later and whose answer may be lost.
            assert int(found[write.name]) >= write.number, write

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()


class EpochWatcher:
    """Asks a session for the membership all the time, and keeps each epoch that it was told."""

    def __init__(self, cluster: RunningCluster) -> None:
        self.epochs: list[int] = []
        self._client = zreg.Client(cluster.url)
        self._client.wait_connected()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_SECONDS):
            reply = self._client.request(FetchMembership(1))
            assert isinstance(reply, MembershipReply)
            self.epochs.append(reply.membership.epoch)

    def check(self) -> None:
        """It was told something, and nothing older than what it was told before."""
        assert len(set(self.epochs)) > 1
        assert self.epochs == sorted(self.epochs)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._client.close()
