"""A session core and a data core that hold many publishers, joined without sockets.

For benchmarks and tests of work: an operation on them must cost the same however much they hold.
One session `s1` and one data node `d1` hold `count` publishers, each of an id of its own, except
one in a hundred: these share the id `BIG`. The session follows all of these ids, because its
clients subscribe to them.
"""

import hashlib
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Final

from zreg.config import Config
from zreg.data.core import DataCore
from zreg.effects import Broadcast, Core, Effect, Link, Local, Peer, PeerUp, Send
from zreg.model import (
    NO_INCARNATION,
    ZERO,
    DataInfoId,
    Incarnation,
    Member,
    Membership,
    Publisher,
    RingParameters,
    Role,
    Scope,
    Status,
    Version,
    data_info_id,
)
from zreg.primitives.digest import view_digest
from zreg.session.core import SessionCore
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import Hello, Publish, Push, PushAck, ReplayDone, Subscribe
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.data_messages import FetchChanges, PublishDatum, Snapshot, UnpublishDatum
from zreg.wire.records.membership_messages import MembershipReply, Renew, Renewed

META: Final = "tcp://meta:9610"
S1: Final = Incarnation(3, "s1")
D1: Final = Incarnation(1, "d1")
BIG: Final = data_info_id("big")
# How the data node sees the session, and how the session sees the client that the operations use.
SESSION_PEER: Final = b"session"
CLIENT_PEER: Final = b"client"
# One publisher in so many is of the id `BIG`.
BIG_SHARE: Final = 100
_PER_CLIENT: Final = 1000
_PER_TURN: Final = 500

Turn = tuple[Link, Peer, Message | Local]


def data_member(incarnation: Incarnation) -> Member:
    """Return a working data node."""
    node_id = incarnation.node_id
    addresses = (f"tcp://{node_id}:1", f"tcp://{node_id}:2")
    return Member(node_id, Role.DATA, incarnation.epoch, Status.WORKING, *addresses)


def session_member(incarnation: Incarnation) -> Member:
    """Return a working session."""
    address = f"tcp://{incarnation.node_id}:1"
    return Member(incarnation.node_id, Role.SESSION, incarnation.epoch, Status.WORKING, address)


class HeldCores:
    """The two cores, one clock, and counters of the effects and messages of both.

    Messages between the cores are delivered at once, in order; what meta, other data nodes and
    clients get is dropped, except that clients acknowledge pushes, and meta renews leases.
    """

    def __init__(self, count: int) -> None:
        config = Config(meta_addresses=(META,))
        self.now = 100.0
        self.count = count
        self.epoch = 5
        self.effect_count = 0
        self.message_count = 0
        self._request_id = 0
        # The views of ids that do not change, for clients that say that they have them.
        self._views: dict[DataInfoId, tuple[Version, int]] = {}
        # Acknowledgements of pushes that are held back while `holds_acks`.
        self.acks: list[Turn] = []
        self.holds_acks = False
        member = session_member(Incarnation(0, "s1"))
        rng = Random(1)  # noqa: S311 -- a simulation wants a seed
        self.session = SessionCore(member, config, rng=rng, now=self.now)
        self.data = DataCore(data_member(Incarnation(0, "d1")), config, rng=rng, now=self.now)
        for core in (self.session, self.data):
            core.start(self.now)
            core.tick(self.now)
            self.exchange(core, (Link.LOCAL, "", PeerUp(Link.META, META)))
        self.follow(session_member(S1), data_member(D1), is_first=True)
        for link in (Link.CHANGES, Link.DATA):
            self.exchange(self.session, (Link.LOCAL, "", PeerUp(link, str(D1))))
        self.says(Hello(PROTOCOL_VERSION, b"c" * 16), ReplayDone())
        self._fill()

    def _fill(self) -> None:
        """Have clients publish and subscribe, each so much that there is a limit to all."""
        for first in range(0, self.count, _PER_CLIENT):
            peer = first.to_bytes(8)
            self.says(Hello(PROTOCOL_VERSION, peer * 2), peer=peer)
            numbers = range(first, min(first + _PER_CLIENT, self.count))
            for start in range(0, len(numbers), _PER_TURN):
                part = numbers[start : start + _PER_TURN]
                self.says(*(self.publish(number) for number in part), peer=peer)
                self.says(*(self.subscribe(self.name(number)) for number in part), peer=peer)
            self.says(ReplayDone(), peer=peer)

    # --- what clients say -----------------------------------------------------------------------

    def name(self, number: int) -> DataInfoId:
        """Return the id of a publisher."""
        return BIG if number % BIG_SHARE == 0 else data_info_id(f"service-{number}")

    def next_number(self) -> int:
        """Return a number that was not used before, for a publisher or a version."""
        self._request_id += 1
        return self.count + self._request_id

    def publish(
        self,
        number: int,
        version: int = 1,
        *,
        name: DataInfoId | None = None,
        body: bytes = b"body",
    ) -> Publish:
        """Return the request that publishes."""
        self._request_id += 1
        named = self.name(number) if name is None else name
        return Publish(self._request_id, _publisher_id(number), version, named, body)

    def subscribe(self, name: DataInfoId, *, has_view: bool = False) -> Subscribe:
        """Return the request that subscribes, of a client that has the present view or none."""
        self._request_id += 1
        if not has_view:
            return Subscribe(self._request_id, name, Scope.GLOBAL)
        if name not in self._views:
            version, publishers = self._datum(name)
            self._views[name] = (version, view_digest(publishers))
        return Subscribe(self._request_id, name, Scope.GLOBAL, *self._views[name])

    def _datum(self, name: DataInfoId) -> tuple[Version, list[Publisher]]:
        """Return what the data node holds of an id."""
        fetch = FetchChanges(1, name, ZERO)
        effects = self.data.receive(Link.REQUESTS, b"other", fetch, self.now)
        parts = [e.message for e in effects if isinstance(e, Send)]
        snapshots = [part for part in parts if isinstance(part, Snapshot)]
        return snapshots[-1].version, [p for part in snapshots for p in part.publishers]

    def says(self, *messages: Message, peer: bytes = CLIENT_PEER) -> None:
        """Let a client say something, and let both cores do what follows."""
        self.exchange(self.session, *((Link.CLIENTS, peer, message) for message in messages))

    # --- what meta and other sessions say -------------------------------------------------------

    def follow(self, *members: Member, is_first: bool = False) -> None:
        """Let meta send a membership of these to both cores."""
        membership = self.next_membership(*members)
        for core, incarnation in ((self.data, D1), (self.session, S1)):
            given = incarnation if is_first else NO_INCARNATION
            reply = MembershipReply(1, membership, given)
            self.exchange(core, (Link.META, META, reply))

    def next_membership(self, *members: Member) -> Membership:
        """Return the next membership; its ring is that of its data nodes."""
        self.epoch += 1
        data = [member for member in members if member.role is Role.DATA]
        ring_epoch = 6 if len(data) == 1 else self.epoch
        return Membership(b"A" * 16, self.epoch, ring_epoch, RingParameters(), members)

    def register(self, session: Incarnation, names: Iterable[DataInfoId]) -> None:
        """Let another session register a publisher of each of these ids at the data node."""
        for name in names:
            publisher_id = _publisher_id(-self.next_number())
            publisher = Publisher(publisher_id, 1, b"o" * 16, session, "", "", "", b"body")
            request = PublishDatum(1, name, publisher)
            self.exchange(self.data, (Link.REQUESTS, b"other", request))

    # --- turns ----------------------------------------------------------------------------------

    def exchange(self, core: Core, *inputs: Turn) -> None:
        """Let one core have a turn with these, and then both what they send each other."""
        self._deliver(core, self.turn(core, *inputs))

    def _deliver(self, core: Core, effects: Iterable[Effect]) -> None:
        waiting = deque(self._routed(core, effects))
        while waiting:
            receiver, inputs = waiting.popleft()
            waiting.extend(self._routed(receiver, self.turn(receiver, *inputs)))

    def turn(self, core: Core, *inputs: Turn, is_due: bool = False) -> list[Effect]:
        """Let one core have a turn, with a tick if it is due; return its effects."""
        effects: list[Effect] = []
        for link, peer, message in inputs:
            effects += core.receive(link, peer, message, self.now)
        if is_due:
            effects += core.tick(self.now)
        effects += core.settle(self.now)
        self.effect_count += len(effects)
        return effects

    def tick(self, core: Core) -> None:
        """Let one core do what is due, and then both what follows."""
        self._deliver(core, self.turn(core, is_due=True))

    def wait(self, seconds: float) -> None:
        """Let both cores do what is due, and then let time pass."""
        self.finish()
        self.now += seconds

    def finish(self) -> None:
        """Let both cores have turns until neither has work left."""
        for _ in range(2):
            for core in (self.session, self.data):
                while self._is_due(core):
                    self.tick(core)

    def finish_alone(self, core: Core, effects: Iterable[Effect]) -> None:
        """Let one core have turns until it has no work left; data nodes accept what they get."""
        inputs = accepted_by_data_nodes(effects)
        while inputs or self._is_due(core):
            effects = self.turn(core, *inputs, is_due=self._is_due(core))
            inputs = accepted_by_data_nodes(effects)

    def _is_due(self, core: Core) -> bool:
        due_at = core.next_tick_at()
        return due_at is not None and due_at <= self.now

    def _routed(self, core: Core, effects: Iterable[Effect]) -> list[tuple[Core, list[Turn]]]:
        """Return what each core gets of the effects of one of them; meta renews leases."""
        to_self: list[Turn] = []
        to_session: list[Turn] = []
        to_data: list[Turn] = []
        for effect in effects:
            match effect:
                case Send(link=Link.META, message=Renew(request_id=request_id)):
                    to_self.append((Link.META, META, Renewed(request_id, self.epoch)))
                case Send(link=Link.DATA, message=message):
                    to_data.append((Link.REQUESTS, SESSION_PEER, message))
                case Send(link=Link.REQUESTS, peer=peer, message=message):
                    if peer == SESSION_PEER:
                        to_session.append((Link.DATA, str(D1), message))
                case Broadcast(link=Link.CHANGES, message=message):
                    to_session.append((Link.CHANGES, str(D1), message))
                case Send(link=Link.CLIENTS, peer=peer, message=Push() as push):
                    if not push.parts_left:
                        ack = PushAck(push.data_info_id, push.scope, push.version)
                        held = self.acks if self.holds_acks else to_session
                        held.append((Link.CLIENTS, peer, ack))
                case _:
                    pass
            self.message_count += isinstance(effect, Send | Broadcast)
        routed = [(core, to_self), (self.data, to_data), (self.session, to_session)]
        return [(receiver, inputs) for receiver, inputs in routed if inputs]


def _publisher_id(number: int) -> bytes:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).digest()


def accepted_by_data_nodes(effects: Iterable[Effect]) -> list[Turn]:
    """Return the acceptances of the registrations among these effects, by data node."""
    accepted: dict[Peer, list[int]] = {}
    for effect in effects:
        if isinstance(effect, Send) and isinstance(effect.message, PublishDatum | UnpublishDatum):
            accepted.setdefault(effect.peer, []).append(effect.message.request_id)
    return [(Link.DATA, peer, Accepted(tuple(ids))) for peer, ids in accepted.items()]
