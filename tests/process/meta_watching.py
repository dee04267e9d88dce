"""Helpers for tests of several meta nodes: questions to them, a writer, and an epoch watcher."""

import json
import threading
import time
from functools import partial
from typing import Self

import msgspec

import zreg
from zreg.cli.asking.ask import ask_now
from zreg.cli.asking.targets import Target
from zreg.config import Config
from zreg.effects import Link
from zreg.errors import Error
from zreg.testing.processes import RunningCluster, run_zreg, wait_until
from zreg.testing.processes.with_block import WithBlock
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import SetSetting, SettingsReply

CONFIG = Config.for_loopback()
_ASK_SECONDS = 3.0
_PAUSE_SECONDS = 0.02


def living_metas(cluster: RunningCluster) -> list[str]:
    return [node.node_id for node in cluster.of("meta") if node.is_alive]


def find_leader(cluster: RunningCluster, *, except_for: str = "") -> str | None:
    """Return the leader of the latest term, as the living nodes report it; None if there is none.

    `except_for` is not asked, since it is dead or frozen.
    """
    found = [
        (int(statistics["raft_term"]), name)
        for name in living_metas(cluster)
        if name != except_for
        for statistics in [cluster.statistics(name)]
        if statistics["raft_role"] == "leader"
    ]
    return max(found)[1] if found else None


def wait_leader(cluster: RunningCluster, *, except_for: str = "") -> str:
    """Wait until a node leads, and return it."""
    leaders: list[str] = []

    def has_leader() -> bool:
        leader = find_leader(cluster, except_for=except_for)
        if leader is not None:
            leaders.append(leader)
        return leader is not None

    wait_until(has_leader, timeout_seconds=10.0, describe=cluster.describe)
    return leaders[0]


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
    """Return the incarnation that each session and data node reports for itself."""
    nodes = [*cluster.of("session"), *cluster.of("data")]
    return {n.node_id: str(cluster.statistics(n.node_id)["incarnation"]) for n in nodes}


def check_no_node_departed(cluster: RunningCluster, before: dict[str, str]) -> None:
    """Check that every session and data node kept its incarnation, and was never taken for dead."""
    assert incarnations(cluster) == before, cluster.describe()
    for node in cluster.nodes.values():
        log = cluster.log(node.node_id)
        assert "member.departed" not in log, node.node_id
        assert "node.incarnation.gone" not in log, node.node_id
    assert set(members(cluster).values()) == {"WORKING"}


def change_setting(cluster: RunningCluster, node_id: str, value: str) -> None:
    """Set the setting `a` at this meta node, as `zreg settings set` does."""
    ask_now(
        Target(Link.META, (f"tcp://{address_of(cluster, node_id)}",), CONFIG.cluster),
        (partial(SetSetting, name="a", value=value), SettingsReply),
        timeout_seconds=_ASK_SECONDS,
    )


class Write(msgspec.Struct, frozen=True):
    """One acknowledged write."""

    name: str
    number: int
    version: int
    started_at: float
    ended_at: float


class Writer(WithBlock):
    """Sets one setting after the other, as `zreg settings set` does, and keeps acknowledged writes.

    Each write has a higher number than all before it. It goes to the meta node that leads.
    """

    def __init__(self, cluster: RunningCluster) -> None:
        self.writes: list[Write] = []
        addresses = tuple(f"tcp://{node.address}" for node in cluster.of("meta"))
        self._target = Target(Link.META, addresses, CONFIG.cluster)
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
                    self._target, (question, SettingsReply), timeout_seconds=_ASK_SECONDS
                )
            except Error:
                # The outcome is unknown, or no node leads: the write does not count.
                self._stopping.wait(_PAUSE_SECONDS)
                continue
            version = reply.settings[0].version
            self.writes.append(Write(name, number, version, started_at, time.monotonic()))

    def wait_more(self, cluster: RunningCluster, *, timeout_seconds: float = 10.0) -> Write:
        """Wait until a write is acknowledged that began after this call."""
        now = time.monotonic()

        def is_acknowledged() -> bool:
            return bool(self.writes) and self.writes[-1].started_at > now

        wait_until(is_acknowledged, timeout_seconds=timeout_seconds, describe=cluster.describe)
        return next(write for write in self.writes if write.started_at > now)

    def check(self, cluster: RunningCluster) -> None:
        """Check that no acknowledged write is lost, and that versions only grow."""
        versions = [write.version for write in self.writes]
        assert versions == sorted(set(versions)), "an epoch went back"
        found = settings(cluster)
        for write in self.writes:
            # The setting holds that value, or a later one whose answer may be lost.
            assert int(found[write.name]) >= write.number, write

    def __enter__(self) -> Self:
        self._thread.start()
        return super().__enter__()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()


class EpochWatcher(WithBlock):
    """Asks a session for the membership again and again, and keeps each epoch."""

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
        """Check that the epoch changed, and that it never went back."""
        assert len(set(self.epochs)) > 1
        assert self.epochs == sorted(self.epochs)

    def __enter__(self) -> Self:
        self._thread.start()
        return super().__enter__()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._client.close()
