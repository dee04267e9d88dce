"""A small session core on a second reactor, and clients over real sockets to it."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from zreg.config import Config
from zreg.effects import Effect, Link, Local, Peer, Send
from zreg.errors import DeniedError
from zreg.model import (
    NO_INCARNATION,
    ZERO,
    DataInfoId,
    Incarnation,
    Membership,
    Publisher,
    RingParameters,
    Scope,
)
from zreg.model import Version as DatumVersion
from zreg.reactor.link_table import LinkTable
from zreg.reactor.loop import Reactor
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import (
    Hello,
    Publish,
    Push,
    Subscribe,
    Unpublish,
    Unsubscribe,
    Welcome,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.records.data_messages import DatumsListed, DatumSummary, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import FetchSettings, Setting, SettingsReply

CLUSTER = "test"
CONFIG = Config(
    cluster=CLUSTER,
    reconnect_seconds_max=0.1,
    request_retry_seconds=0.3,
    lease_seconds=1.0,
    renew_seconds=0.2,
    ping_seconds=0.2,
)
Name = tuple[DataInfoId, Scope]


def wait_until(condition: Callable[[], object], *, timeout_seconds: float = 5.0) -> None:
    """Wait on the test's thread; the client and the session run on threads of their own."""
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        pause.wait(0.002)


class FakeSessionCore:
    """One session with its own data: accepts everything, and pushes to all subscribers."""

    epoch = 0

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.clients: dict[Peer, Hello] = {}
        self.publishers: dict[DataInfoId, dict[bytes, Publisher]] = {}
        self.subscribers: dict[tuple[Peer, DataInfoId, Scope], None] = {}
        self.refuse_with: tuple[int, str] | None = None
        self.refuse_questions = False
        # The publishers of each id for listings, which have two ids on each page.
        self.listing: dict[DataInfoId, int] | None = None
        self.settings: dict[str, Setting] = {}
        self.is_mute = False
        # Whether subscribers get only what is in their scope, as real sessions do it.
        self.heeds_scope = False
        self.counter = 0

    def start(self, now: float) -> Sequence[Effect]:
        return ()

    def tick(self, now: float) -> Sequence[Effect]:
        return ()

    def settle(self, now: float) -> Sequence[Effect]:
        return ()

    def next_tick_at(self) -> float | None:
        return None

    def statistics(self) -> dict[str, int | float | str]:
        return {"clients": len(self.clients)}

    def count(self, kind: type[Message]) -> int:
        return sum(isinstance(message, kind) for message in self.received)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        if isinstance(message, Local) or self.is_mute:
            return ()
        self.received.append(message)
        match message:
            case Hello():
                self.clients[peer] = message
                welcome = Welcome(1, Incarnation(1, "s1"), b"c" * 16, 1.0, 0.2)
                return [Send(Link.CLIENTS, peer, welcome)]
            case Ping():
                return [Send(Link.CLIENTS, peer, Pong())]
            case Unsubscribe():
                self.subscribers.pop((peer, message.data_info_id, message.scope), None)
                return [Send(Link.CLIENTS, peer, Accepted((message.request_id,)))]
            case Publish() | Unpublish() | Subscribe():
                return self._request(peer, message)
            case FetchMembership() if self.refuse_questions:
                no = Refused(message.request_id, DeniedError.code, "operators only")
                return [Send(Link.CLIENTS, peer, no)]
            case FetchMembership():
                reply = MembershipReply(
                    message.request_id,
                    Membership(b"c" * 16, 7, 7, RingParameters(), ()),
                    NO_INCARNATION,
                )
                return [Send(Link.CLIENTS, peer, reply)]
            case ListDatums() if self.listing is not None:
                names = sorted(each for each in self.listing if each > message.after)
                page = tuple(DatumSummary(name, ZERO, self.listing[name]) for name in names[:2])
                listed = DatumsListed(message.request_id, page, is_complete=len(names) <= 2)
                return [Send(Link.CLIENTS, peer, listed)]
            case FetchSettings():
                return [Send(Link.CLIENTS, peer, self._settings_page(message))]
            case _:
                return ()

    def _settings_page(self, message: FetchSettings) -> SettingsReply:
        found = [
            self.settings[name]
            for name in sorted(self.settings)
            if name > message.after and fnmatchcase(name, message.pattern)
        ]
        return SettingsReply(message.request_id, tuple(found[:2]), is_complete=len(found) <= 2)

    def _request(self, peer: Peer, message: Publish | Unpublish | Subscribe) -> Sequence[Effect]:
        if self.refuse_with is not None:
            return [Send(Link.CLIENTS, peer, Refused(message.request_id, *self.refuse_with))]
        accepted = Send(Link.CLIENTS, peer, Accepted((message.request_id,)))
        match message:
            case Subscribe():
                self.subscribers[peer, message.data_info_id, message.scope] = None
                self.counter += 1
                return [accepted, self._push(peer, message.data_info_id, message.scope)]
            case Publish():
                hello = self.clients[peer]
                datum = self.publishers.setdefault(message.data_info_id, {})
                datum[message.publisher_id] = Publisher(
                    message.publisher_id,
                    message.version,
                    hello.client_id,
                    Incarnation(1, "s1"),
                    hello.zone,
                    hello.data_center,
                    hello.app,
                    message.body,
                )
            case Unpublish():
                self.publishers.get(message.data_info_id, {}).pop(message.publisher_id, None)
        return [accepted, *self.push_all(message.data_info_id)]

    def push_all(self, name: DataInfoId) -> list[Effect]:
        self.counter += 1
        return [
            self._push(peer, each, scope) for peer, each, scope in self.subscribers if each == name
        ]

    def _push(self, peer: Peer, name: DataInfoId, scope: Scope) -> Send:
        publishers = tuple(self.publishers.get(name, {}).values())
        if self.heeds_scope and scope is not Scope.GLOBAL:
            here = self.clients[peer].data_center
            publishers = tuple(each for each in publishers if each.data_center == here)
        version = DatumVersion(1, self.counter)
        return Send(Link.CLIENTS, peer, Push(name, scope, None, version, publishers))


class FakeSession:
    """The core on a reactor, on a loop, on a thread."""

    def __init__(self, address: str = "tcp://127.0.0.1:0") -> None:
        self.core = FakeSessionCore()
        self._loop = asyncio.new_event_loop()
        self._reactor = Reactor(self.core, CLUSTER, LinkTable(routers={Link.CLIENTS: address}))
        self.address = self._reactor.addresses[Link.CLIENTS]
        self.url = self.address.replace("tcp://", "zreg://")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def do(self, effects: Callable[[], Sequence[Effect]]) -> None:
        """Carry out effects on the session's own thread."""
        done = threading.Event()

        def act() -> None:
            self._reactor._runner.carry_out(effects())
            self._reactor._runner.flush()
            done.set()

        self._loop.call_soon_threadsafe(act)
        assert done.wait(5)

    def set_publishers(self, name: str, *publishers: Publisher) -> None:
        """Push this as the whole datum."""
        full = DataInfoId(f"{name}#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP")
        self.core.publishers[full] = {each.publisher_id: each for each in publishers}
        self.do(lambda: self.core.push_all(full))

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._reactor.stop)
            self._thread.join(5)

    def _run(self) -> None:
        self._loop.run_until_complete(self._reactor.run())
        self._loop.close()


def run_program(text: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    started_at = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done, time.monotonic() - started_at
