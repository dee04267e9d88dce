"""Garbage at a meta node's sockets is refused with a code and counted, and changes nothing."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import zmq
from msgspec.structs import replace
from reactor_fakes import CLUSTER, LOOPBACK, Harness, packed, publish

from zreg.cli.process.ports import free_ports
from zreg.config import Config, Limits
from zreg.errors import (
    DeniedError,
    ForeignClusterError,
    MalformedError,
    NotReadyError,
    UnknownMessageError,
)
from zreg.model import Member, Role, Status
from zreg.nodes.base import NodeSettings
from zreg.nodes.meta import MetaNode, MetaPlace
from zreg.wire.codec import decode_frame
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.records.membership_messages import Join
from zreg.wire.records.meta_messages import IntroduceMeta, MetaIntroduced
from zreg.wire.records.raft_messages import RequestVote, RequestVoteReply
from zreg.wire.records.settings_messages import SetSetting, SettingsReply

SENT_COUNT = 5
NAMES = ("m1", "m2", "m3")
CONFIG = replace(Config.for_loopback(), cluster=CLUSTER)
HEADER = packed()[0]


def frame(*fields: object) -> list[bytes]:
    """Return one record as a peer could send it, also an invalid one."""
    return [HEADER, msgspec.msgpack.encode([list(fields)])]


def is_free(address: str) -> bool:
    """Return whether a node can bind to an address: ZeroMQ closes in a thread of its own."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(address.rpartition(":")[2])))
        except OSError:
            return False
    return True


def vote(sender: str, receiver: str) -> RequestVote:
    return RequestVote(sender, receiver, 99, 1, 99, 99, is_pre_vote=False, is_transfer=True)


def session(role: Role = Role.SESSION) -> Member:
    return Member("s1", role, 0, Status.INITIAL, "tcp://127.0.0.1:1", process_id=b"s1" * 8)


TOO_LARGE = [HEADER, b"\x91" + b"\xc4" * (Limits.frame_bytes_max + 10)]


class Metas:
    """Three meta nodes on one loop, each with its journal."""

    def __init__(self, directory: Path) -> None:
        ports = free_ports(len(NAMES))
        self.raft = {n: f"tcp://127.0.0.1:{p}" for n, p in zip(NAMES, ports, strict=True)}
        self.directory = directory
        self.nodes: dict[str, MetaNode] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *names: str) -> None:
        for name in names or NAMES:
            settings = NodeSettings(config=CONFIG, node_id=name)
            place = MetaPlace(
                address=LOOPBACK,
                membership_address=LOOPBACK,
                directory=self.directory / name,
                peers=self.raft,
            )
            self.nodes[name] = MetaNode(settings, place)
            self._tasks.append(asyncio.create_task(self.nodes[name].run()))

    def count(self, name: str, counter: str) -> int:
        return int(self.nodes[name].statistics().get(counter, 0))

    def image(self, name: str) -> tuple[int, int]:
        """Return what garbage must not change: the term and the epoch."""
        return self.count(name, "raft_term"), self.count(name, "epoch")

    def counts(self, name: str) -> dict[str, int]:
        """Return the counters of bad and unexpected messages, and of bugs."""
        return {
            counter: int(count)
            for counter, count in self.nodes[name].statistics().items()
            if counter.startswith("bad_")
            or counter in ("strange_messages", "answered_for_core", "core_errors", "reactor_errors")
        }

    def leader(self) -> str:
        leading = [n for n in self.nodes if self.nodes[n].statistics()["raft_role"] == "leader"]
        return leading[0] if leading else ""

    async def stop(self) -> None:
        for node in self.nodes.values():
            node.stop()
        await asyncio.gather(*self._tasks)


@pytest.fixture
def metas(tmp_path: Path, harness: Harness) -> Iterator[Metas]:
    metas = Metas(tmp_path)
    yield metas
    harness.run(metas.stop())


class Agreeing(NamedTuple):
    """Three meta nodes that agree, shared by the tests of this module."""

    harness: Harness
    metas: Metas


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agreeing]:
    with asyncio.Runner() as runner:
        harness, metas = Harness(runner), Metas(tmp_path_factory.mktemp("metas"))

        async def lead() -> None:
            metas.start()
            # Until the membership shows all of them.
            await harness.wait_until(
                lambda: metas.leader() and all(metas.count(name, "epoch") >= 3 for name in NAMES),
                timeout_seconds=10.0,
            )

        try:
            harness.run(lead())
            yield Agreeing(harness, metas)
        finally:
            harness.run(metas.stop())
            runner.run(harness.close())


async def exchange(
    harness: Harness, peer: "zmq.Socket[bytes]", frames: list[bytes]
) -> Sequence[object]:
    """Send frames, and return the records of the answer."""
    peer.send_multipart(frames)
    await harness.wait_until(lambda: peer.poll(0))
    return decode_frame(peer.recv_multipart()[-1])


def risen(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    changes = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: change for name, change in changes.items() if change}


@pytest.mark.parametrize(
    ("frames", "code", "counter"),
    [
        pytest.param(packed(Ping(), cluster="x"), ForeignClusterError.code, "bad_10", id="foreign"),
        pytest.param(frame(250, 1), UnknownMessageError.code, "bad_7", id="unknown"),
        pytest.param(TOO_LARGE, MalformedError.code, "bad_6", id="too large"),
        pytest.param(frame(56, 9, "a b", "x"), MalformedError.code, "bad_6", id="setting's name"),
        pytest.param(frame(56, 9, "a", "x" * 4097), MalformedError.code, "bad_6", id="its value"),
        pytest.param(frame(56, 9, "a", "x", -1), MalformedError.code, "bad_6", id="its version"),
        pytest.param(
            packed(vote("m2", "m1")), UnknownMessageError.code, "strange_messages", id="Raft's"
        ),
        pytest.param(
            packed(publish(9)), UnknownMessageError.code, "strange_messages", id="a session's"
        ),
        pytest.param(
            packed(Accepted((9,))), UnknownMessageError.code, "strange_messages", id="an answer"
        ),
    ],
)
def test_garbage_from_nodes_is_counted_and_the_next_request_is_served(
    agreeing: Agreeing, frames: list[bytes], code: int, counter: str
) -> None:
    harness, metas = agreeing

    async def scenario() -> None:
        leader = metas.leader()
        before, image = metas.counts(leader), metas.image(leader)
        client = harness.raw(zmq.DEALER, metas.nodes[leader].address)
        for _ in range(SENT_COUNT):
            (refused,) = await exchange(harness, client, frames)
            assert isinstance(refused, Refused)
            assert refused.code == code
        assert await exchange(harness, client, packed(Ping())) == [Pong()]
        assert risen(before, metas.counts(leader)) == {counter: SENT_COUNT}
        assert metas.image(leader) == image
        (reply,) = await exchange(harness, client, packed(SetSetting(1, "a", "1")))
        assert isinstance(reply, SettingsReply)

    harness.run(scenario())


NO_ANSWER = {"strange_messages": SENT_COUNT, "answered_for_core": SENT_COUNT}


@pytest.mark.parametrize(
    ("frames", "code", "counters"),
    [
        pytest.param(
            packed(vote("m2", "m1"), cluster="other"),
            ForeignClusterError.code,
            {"bad_10": SENT_COUNT},
            id="foreign",
        ),
        pytest.param(frame(250, 1), UnknownMessageError.code, {"bad_7": SENT_COUNT}, id="unknown"),
        pytest.param(TOO_LARGE, MalformedError.code, {"bad_6": SENT_COUNT}, id="too large"),
        pytest.param(
            packed(vote("m9", "m1")),
            DeniedError.code,
            {"strange_messages": SENT_COUNT},
            id="a node that is no peer",
        ),
        pytest.param(packed(Ping()), NotReadyError.code, NO_ANSWER, id="a node's"),
        pytest.param(
            packed(Join(9, session(), b"", 0)), NotReadyError.code, NO_ANSWER, id="a session"
        ),
        pytest.param(
            packed(RequestVoteReply("m2", "m1", 99, 1, is_pre_vote=False, is_granted=True)),
            NotReadyError.code,
            NO_ANSWER,
            id="an answer",
        ),
    ],
)
def test_garbage_from_meta_nodes_is_counted_and_the_next_request_is_served(
    agreeing: Agreeing, frames: list[bytes], code: int, counters: dict[str, int]
) -> None:
    harness, metas = agreeing

    async def scenario() -> None:
        leader = metas.leader()
        before, image = metas.counts(leader), metas.image(leader)
        client = harness.raw(zmq.REQ, metas.raft[leader])
        for _ in range(SENT_COUNT):
            (refused,) = await exchange(harness, client, frames)
            assert isinstance(refused, Refused)
            assert refused.code == code
        assert risen(before, metas.counts(leader)) == counters
        assert metas.image(leader) == image
        await check_raft_is_answered(harness, metas, client)

    harness.run(scenario())


async def check_raft_is_answered(harness: Harness, metas: Metas, peer: "zmq.Socket[bytes]") -> None:
    """Check that a valid pre-vote is answered, with no as by any leader."""
    leader = metas.leader()
    sender, term = next(n for n in NAMES if n != leader), metas.count(leader, "raft_term")
    good = RequestVote(sender, leader, term, 1, 99, 99, is_pre_vote=True, is_transfer=False)
    (reply,) = await exchange(harness, peer, packed(good))
    assert isinstance(reply, RequestVoteReply)
    assert not reply.is_granted


def test_a_request_for_another_meta_node_is_refused_and_counted(
    agreeing: Agreeing,
) -> None:
    """Its sender has a wrong address; its term must not depose the leader."""
    harness, metas = agreeing

    async def scenario() -> None:
        leader = metas.leader()
        before, image = metas.counts(leader), metas.image(leader)
        sender, receiver = (name for name in NAMES if name != leader)
        client = harness.raw(zmq.REQ, metas.raft[leader])
        for _ in range(SENT_COUNT):
            (reply,) = await exchange(harness, client, packed(vote(sender, receiver)))
            assert isinstance(reply, RequestVoteReply)
            assert (reply.sender, reply.is_granted) == (leader, False)
        assert risen(before, metas.counts(leader)) == {"strange_messages": SENT_COUNT}
        assert metas.image(leader) == image
        await check_raft_is_answered(harness, metas, client)

    harness.run(scenario())


def test_answers_of_a_wrong_node_are_counted_and_elect_no_leader(
    harness: Harness, metas: Metas
) -> None:
    """A node that introduces itself as another peer gets no request of Raft."""

    async def scenario() -> None:
        wrong = harness.socket(zmq.REP)
        wrong.bind(metas.raft["m2"])
        metas.start("m1")

        async def asked() -> IntroduceMeta:
            await harness.wait_until(lambda: wrong.poll(0), timeout_seconds=10.0)
            (request,) = decode_frame(wrong.recv_multipart()[-1])
            assert isinstance(request, IntroduceMeta)
            return request

        request = await asked()
        about = (metas.raft["m3"], "journal", request.founders, request.cluster_id, 1)
        wrong.send_multipart(packed(MetaIntroduced(request.request_id, "m3", "m1", *about)))
        yes = RequestVoteReply("m3", "m1", 99, 1, is_pre_vote=False, is_granted=True)
        for _ in range(2):
            await asked()
            wrong.send_multipart(packed(yes))
        await asked()
        assert risen({}, metas.counts("m1")) == {"strange_messages": 2}
        assert metas.leader() == ""
        assert metas.count("m1", "raft_peers_up") == 0
        wrong.close(0)

        await harness.wait_until(lambda: is_free(metas.raft["m2"]), timeout_seconds=10.0)
        metas.start("m2", "m3")
        await harness.wait_until(
            lambda: metas.leader() and all(metas.count(name, "epoch") >= 3 for name in metas.nodes),
            timeout_seconds=10.0,
        )
        assert metas.count("m1", "raft_term") < 99

    harness.run(scenario())
