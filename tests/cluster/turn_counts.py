"""A cluster and clients in this process, whose reactors count the calls that their turns make.

Calls are counted, never time: load on the machine cannot change them. Each turn is counted apart,
so it does not matter which other turns happen meanwhile.
"""

import asyncio
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest
from fake_session import wait_until
from msgspec.structs import replace
from reactor_fakes import LOOPBACK

from zreg.client.core.core import ClientCore
from zreg.config import Config
from zreg.data.core import DataCore
from zreg.effects import Link, Peer
from zreg.nodes.base import Node, NodeSettings
from zreg.nodes.data import DataNode
from zreg.nodes.meta import MetaNode, MetaPlace
from zreg.nodes.session import SessionNode
from zreg.reactor import Reactor
from zreg.reactor.sockets.link_socket import LinkSocket
from zreg.session.core import SessionCore


class Turn(NamedTuple):
    """What tells the turns of an operation apart: whose, what it received, how much it sent."""

    core: str
    received: tuple[str, ...]
    sent: int


class Calls(NamedTuple):
    """What a turn called.

    `c` are functions of Python's own C code. `zmq` are sends, receives and queries of sockets,
    which a profiler does not see; each may make a system call.
    """

    python: int
    c: int
    zmq: int


class CallCounter:
    """Counts the calls in each turn of the reactors that are made after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seen: defaultdict[Turn, list[Calls]] = defaultdict(list)
        # The counts and the received records of the turn that a thread is in.
        self._thread = threading.local()
        monkeypatch.setattr(Reactor, "_run_turn", self._counted_turn(Reactor._run_turn))
        monkeypatch.setattr(LinkSocket, "__init__", self._counted_socket(LinkSocket.__init__))
        for core in (ClientCore, SessionCore, DataCore):
            monkeypatch.setattr(core, "receive", self._noted_receive(core.receive))

    def seen(self, turn: Turn) -> int:
        """Return how often there was such a turn."""
        return len(self._seen[turn])

    def forget(self, turn: Turn) -> None:
        """Forget the turns of this kind that were seen: they belonged to another operation."""
        self._seen.pop(turn, None)

    def least(self, turn: Turn) -> Calls:
        """Return the least calls of such a turn: a timer can be due in some of them."""
        python, c, zmq = (min(counts) for counts in zip(*self._seen[turn], strict=True))
        return Calls(python, c, zmq)

    def describe(self) -> str:
        """Return all turns, for the message of a failed test."""
        return "\n".join(
            f"{turn.core} {turn.received} sent {turn.sent}: {len(calls)} times, {self.least(turn)}"
            for turn, calls in sorted(self._seen.items())
            if calls
        )

    def _counted_turn(self, run_turn: Callable[[Reactor], None]) -> Callable[[Reactor], None]:
        def counted(reactor: Reactor) -> None:
            counts = self._thread.counts = Counter[str]()
            received: list[str] = []
            self._thread.received = received
            sent = reactor._counts["messages_out"]

            def profile(_frame: FrameType, event: str, _function: object) -> None:
                counts[event] += 1

            former = sys.getprofile()
            sys.setprofile(profile)
            try:
                run_turn(reactor)
            finally:
                sys.setprofile(former)
                self._thread.counts = None
            sent = reactor._counts["messages_out"] - sent
            turn = Turn(type(reactor._core).__name__, tuple(received), sent)
            # The call of `run_turn` and the C call that ends the count belong to no turn.
            calls = Calls(counts["call"] - 1, counts["c_call"] - 1, counts["zmq"])
            self._seen[turn].append(calls)

        return counted

    def _counted_socket(self, init: Callable[..., None]) -> Callable[..., None]:
        def counted(socket: LinkSocket, *arguments: Any) -> None:
            init(socket, *arguments)
            for name in ("_recv", "_send", "_get_option"):
                setattr(socket, name, self._counted_call(getattr(socket, name)))

        return counted

    def _counted_call(self, call: Callable[..., Any]) -> Callable[..., Any]:
        thread = self._thread

        def counted(*arguments: Any, **options: Any) -> Any:
            former = sys.getprofile()
            sys.setprofile(None)
            try:
                return call(*arguments, **options)
            finally:
                if (counts := getattr(thread, "counts", None)) is not None:
                    # This function and `getprofile`, `setprofile` are not in the real turn.
                    counts.update(zmq=1, call=-1, c_call=-2)
                sys.setprofile(former)

        return counted

    def _noted_receive(self, receive: Callable[..., Any]) -> Callable[..., Any]:
        thread = self._thread

        def noted(core: Any, link: Link, peer: Peer, message: Any, now: float) -> Any:
            former = sys.getprofile()
            sys.setprofile(None)
            thread.received.append(type(message).__name__)
            thread.counts.update(call=-1, c_call=-2)
            sys.setprofile(former)
            return receive(core, link, peer, message, now)

        return noted


class LocalCluster:
    """A meta node, a data node and two sessions on one loop, which runs on a thread of its own.

    A subscriber and a publisher at different sessions make each turn receive one record.
    """

    def __init__(self, directory: Path, config: Config) -> None:
        self._directory = directory
        self._config = config
        self._loop = asyncio.new_event_loop()
        self._nodes: list[Node] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(
            lambda: len(self._nodes) == 4 and all(node.is_serving for node in self._nodes),
            timeout_seconds=30,
        )

    @property
    def urls(self) -> list[str]:
        """The URL of each session."""
        return [node.address.replace("tcp://", "zreg://") for node in self._nodes[2:]]

    def stop(self) -> None:
        """End all nodes; the sessions first, so that they say goodbye to the others."""
        self._loop.call_soon_threadsafe(self._stop_nodes)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        place = MetaPlace(
            address=LOOPBACK, membership_address=LOOPBACK, directory=self._directory / "m1"
        )
        meta = MetaNode(NodeSettings(config=self._config, node_id="m1"), place)
        config = replace(self._config, meta_addresses=(meta.address,))

        def settings(node_id: str) -> NodeSettings:
            return NodeSettings(config=config, node_id=node_id)

        data = DataNode(settings("d1"), address=LOOPBACK, changes_address=LOOPBACK)
        sessions = [SessionNode(settings(node_id), address=LOOPBACK) for node_id in ("s1", "s2")]
        self._nodes += [meta, data, *sessions]
        await asyncio.gather(*(node.run() for node in self._nodes))

    def _stop_nodes(self) -> None:
        for node in reversed(self._nodes):
            node.stop()
