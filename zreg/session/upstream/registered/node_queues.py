"""A session's queue for each data node: unsent registrations, requests in flight, the digest."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from zreg.effects import Effect, Link, Send
from zreg.model import ZERO, Incarnation
from zreg.primitives.digest import DigestSum
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.timing.deadlines import Deadlines
from zreg.session.upstream.data_links import NO_NODE, DataLinks
from zreg.session.upstream.registered.registration import Registration, request_of
from zreg.session.upstream.registered.unsent import UnsentRegistrations
from zreg.wire.records.common_messages import HopKind
from zreg.wire.records.data_messages import CompareDigest, WritesWait

if TYPE_CHECKING:
    from random import Random

FORWARDED: Final = HopKind.FORWARDED
# The most requests to one data node that may be unanswered at a time: about 15 ms of its work, so
# that what a client publishes next waits no longer there, and enough that it never waits for this
# session. The rest waits in `unsent`, until half of the window is free: full messages cost less.
_WINDOW: Final = 512
# How many digests in a row have to differ before everything is compared: requests under way and
# changes of the ring explain one.
UNEQUAL_MAX: Final = 2
# The pause after a refusal, and how often it is doubled while the data node accepts nothing.
_PAUSE_SECONDS: Final = 0.05
_DOUBLINGS_MAX: Final = 4


class NodeQueue:
    """The registrations of one data node, as far as it has not accepted them.

    Invariants: a registration is in `unsent`, or in `in_flight` under its request id, or in
    neither, once it is accepted. `in_flight` is in the order of sending. `digest` is that of all
    publishers on this node that the present incarnation of the session answers for. Requests on
    one connection stay in order, so a digest that is sent after them can be compared at once.
    """

    __slots__ = (
        "_hops",
        "_links",
        "_peer",
        "digest",
        "has_news",
        "in_flight",
        "is_digest_due",
        "is_known_to_wait",
        "paused_until",
        "refused_count",
        "suspicion_count",
        "unequal_count",
        "unsent",
    )

    def __init__(self, peer: str, links: DataLinks, hops: HopRings) -> None:
        self._peer = peer
        self._links = links
        self._hops = hops.by_id
        self.unsent = UnsentRegistrations()
        self.in_flight: dict[int, Registration] = {}
        # How many of these are removals on suspicion, which a data node may answer late: they take
        # no room from the others.
        self.suspicion_count = 0
        self.digest = DigestSum()
        self.is_digest_due = True
        # Whether a publisher was put since this queue was sent last.
        self.has_news = False
        # Whether the data node knows that more has to be sent than was sent so far.
        self.is_known_to_wait = False
        # How often in succession the data node found the digest different.
        self.unequal_count = 0
        # Nothing is sent before this time; None if the data node did not refuse.
        self.paused_until: float | None = None
        # How many pauses there were since the data node accepted something.
        self.refused_count = 0

    @property
    def must_compare(self) -> bool:
        """Whether so many digests differed in succession that everything has to be compared."""
        return self.unequal_count >= UNEQUAL_MAX

    def put(self, registration: Registration, *, is_answered_for: bool) -> None:
        """Add a registration that is to be sent; count it if this session answers for it."""
        publisher = registration.publisher
        if is_answered_for:
            self.digest.add(publisher.publisher_id, publisher.version)
            self.has_news = True
        self.unsent.put(registration)

    def take_back(self, registration: Registration, *, is_answered_for: bool) -> None:
        """Undo `put`, whether the registration was sent or not."""
        publisher = registration.publisher
        if is_answered_for:
            self.digest.discard(publisher.publisher_id, publisher.version)
        self.unsent.remove(registration)
        if registration.request_id:
            self.take(registration.request_id)

    def take(self, request_id: int) -> Registration | None:
        """End a request; return its registration, None if it is not under way."""
        registration = self.in_flight.pop(request_id, None)
        if registration is not None:
            registration.request_id = 0
            self.suspicion_count -= registration.is_suspected
        return registration

    def pause(self, now: float, rng: "Random") -> float:
        """Send nothing for a while, because the data node refuses; return until when."""
        if self.paused_until is None or now >= self.paused_until:
            pause = _PAUSE_SECONDS * 2 ** min(self.refused_count, _DOUBLINGS_MAX)
            self.paused_until = now + pause * (1 + rng.random())
            self.refused_count += 1
        return self.paused_until

    def end_pause(self) -> None:
        """Let what is put next be sent: the data node has refused an earlier incarnation."""
        self.paused_until = None
        self.refused_count = 0

    def retry(self) -> None:
        """Put back all requests that are not answered: the data node may not have them."""
        for registration in self.in_flight.values():
            registration.request_id = 0
            self.unsent.put(registration)
        self.in_flight.clear()
        self.suspicion_count = 0
        self.is_known_to_wait = False

    def send(
        self,
        session: Incarnation,
        now: float,
        *,
        is_moving: bool,
        is_replaying: bool = False,
        is_member: bool = True,
    ) -> list[Effect]:
        """Send what waits, as far as the window allows; after all of it the digest, if it is due.

        A publisher of an earlier incarnation is dropped: its client has to publish it again. While
        registrations are being moved, one that belongs elsewhere stays, and so does the digest. A
        session that is no member answers for no publisher, and says in another way who waits.
        """
        if not self._links.is_up(self._peer):
            return []
        if self.paused_until is not None and now < self.paused_until:
            # A former session may suspect the client that moved here, and put this meanwhile.
            must_tell = is_member and self.has_news
            return self._tell_whether_more_waits(is_replaying=is_replaying) if must_tell else []
        self.paused_until = None
        self.has_news = False
        writes = self._send_unsent(session, now, is_moving=is_moving)
        if not is_member:
            return writes
        effects = [*self._tell_whether_more_waits(is_replaying=is_replaying), *writes]
        if self.is_digest_due and not (self.unsent or is_moving):
            effects.append(self._digest(is_replaying=is_replaying))
        return effects

    def _send_unsent(self, session: Incarnation, now: float, *, is_moving: bool) -> list[Effect]:
        links, peer, in_flight = self._links, self._peer, self.in_flight
        effects: list[Effect] = []
        next_id = links.requests.next_id
        misplaced: list[Registration] = []
        while len(misplaced) < _WINDOW and self.unsent and (fitting := self._take_fitting()):
            for registration in fitting:
                if is_moving and links.primary(registration.name) != peer:
                    misplaced.append(registration)
                    continue
                if registration.removal is None and registration.publisher.session != session:
                    continue
                request_id = next_id()
                registration.request_id = request_id
                in_flight[request_id] = registration
                self.suspicion_count += registration.is_suspected
                publisher = registration.publisher
                publisher_id = publisher.publisher_id
                hop = (FORWARDED, now, publisher_id, publisher.version, ZERO, peer, 0)
                self._hops[registration.name].append(hop)
                effects.append(Send(Link.DATA, peer, request_of(registration)))
        for registration in misplaced:
            self.unsent.put(registration)
        return effects

    def _tell_whether_more_waits(self, *, is_replaying: bool) -> list[Effect]:
        """Tell the data node before the writes of this turn; the digest says that all came.

        It must not remove a client's publisher on suspicion while the new registration waits here,
        or at a client that replays. It is told again in place of each digest that is due, if writes
        wait here: a data node that has forgotten this session says so, and its answers to what is
        under way will never come.
        """
        was_known, self.is_known_to_wait = self.is_known_to_wait, bool(self.unsent or is_replaying)
        if not self.is_known_to_wait:
            self.is_digest_due = self.is_digest_due or was_known
            return []
        if was_known and not (self.unsent and self.is_digest_due):
            return []
        if self.unsent:
            self.is_digest_due = False
        return [Send(Link.DATA, self._peer, WritesWait())]

    def _digest(self, *, is_replaying: bool) -> Effect:
        self.is_digest_due = False
        digest = self.digest
        # It says that all writes came. Those that a client has to replay yet did not.
        compare = CompareDigest(self._links.ring_epoch, digest.count, digest.value, is_replaying)
        return Send(Link.DATA, self._peer, compare)

    def _take_fitting(self) -> Sequence[Registration]:
        """Take out unsent registrations, as many as the window has room for."""
        unsent = self.unsent
        room = _WINDOW - len(self.in_flight) + self.suspicion_count
        if len(unsent) <= room:
            return unsent.take_all()
        if room < _WINDOW // 2:
            return ()
        return unsent.take(room)


class NodeQueues:
    """The queue of each data node, by the name of its incarnation, and one for `NO_NODE`.

    `touched` names the queues in which this turn put something, or made room; they are sent when it
    ends. Callers on the hot path use `by_peer` and `touched` directly.
    """

    def __init__(self, links: DataLinks, *, hops: HopRings, rng: "Random") -> None:
        self._links = links
        self._hops = hops
        self._rng = rng
        self.by_peer: dict[str, NodeQueue] = {NO_NODE: NodeQueue(NO_NODE, links, hops)}
        self.touched: dict[str, None] = {}
        # When the pause of a queue ends.
        self._pauses: Deadlines[str] = Deadlines()
        self._are_digests_due = False
        # Whether registrations may be in the queue of a data node that is not their primary.
        self.is_moving = False
        # Whether this session is a member, as far as it knows, and the data nodes are told so.
        self.is_member = False
        # Until when, at most, clients have registrations to replay that have not come yet.
        self._replaying: dict[bytes, float] = {}
        self._is_replaying_told = False

    @property
    def pending_count(self) -> int:
        """How many registrations their data nodes have not accepted."""
        return sum(len(queue.unsent) + len(queue.in_flight) for queue in self.by_peer.values())

    def get_or_add(self, peer: str) -> NodeQueue:
        """Return the queue of a data node; make it if there is none yet."""
        queue = self.by_peer.get(peer)
        if queue is None:
            queue = self.by_peer[peer] = NodeQueue(peer, self._links, self._hops)
        return queue

    def put(self, registration: Registration, peer: str, *, is_answered_for: bool) -> None:
        """Put a registration in the queue of a data node, to be sent when the turn ends."""
        registration.peer = peer
        self.get_or_add(peer).put(registration, is_answered_for=is_answered_for)
        self.touched[peer] = None

    def adopt(self, registration: Registration, peer: str) -> None:
        """Put a registration with a data node that has a copy of it, of which digests convince.

        One digest that differs is enough: no request under way can explain it.
        """
        registration.peer = peer
        queue = self.get_or_add(peer)
        publisher = registration.publisher
        queue.digest.add(publisher.publisher_id, publisher.version)
        queue.unequal_count = UNEQUAL_MAX - 1

    def put_refused(self, registration: Registration, now: float) -> None:
        """Send a registration again that its data node refused, after a pause."""
        queue = self.by_peer[registration.peer]
        queue.unsent.put(registration)
        self._pauses.set(registration.peer, queue.pause(now, self._rng))

    def end_pauses(self) -> None:
        """Let new writes go to all data nodes: none of them has refused this incarnation.

        What is left of the former one waits for its time.
        """
        for queue in self.by_peer.values():
            queue.end_pause()

    def resend(self, registration: Registration) -> None:
        """Send a registration again that its data node lacks, unless it is under way."""
        if not registration.request_id:
            self.by_peer[registration.peer].unsent.put(registration)
            self.touched[registration.peer] = None

    def request_digest(self, peer: str) -> None:
        """Send what waits for a data node when the turn ends, and the digest after it."""
        self.get_or_add(peer).is_digest_due = True
        self.touched[peer] = None

    def on_node_lost(self, peer: str) -> None:
        """Send again, over the next connection, what was under way when this one broke."""
        queue = self.by_peer.get(peer)
        if queue is not None:
            queue.retry()

    def resend_all(self, peer: str) -> None:
        """Send again what is under way on a connection that stands: answers were dropped."""
        self.on_node_lost(peer)
        self.touched[peer] = None

    def keep_only_members(self) -> None:
        """Drop the queues of data nodes that are no longer members."""
        wanted = {NO_NODE, *self._links.peers()}
        self.by_peer = {peer: queue for peer, queue in self.by_peer.items() if peer in wanted}

    def clients_with_writes(self) -> set[bytes]:
        """Return the clients that replay, or have a publication that no data node has accepted."""
        return self._replaying.keys() | {
            registration.publisher.client_id
            for queue in self.by_peer.values()
            for registration in chain(queue.unsent, queue.in_flight.values())
            if registration.removal is None
        }

    def note_replaying(self, client_id: bytes, until: float) -> None:
        """Note that a client may have more to replay than it may send yet.

        If the turn ends before the replay, all data nodes are told that writes wait. That ends
        after a time in any case: a client may never end its replay.
        """
        self._replaying.setdefault(client_id, until)

    def end_replaying(self, client_id: bytes) -> None:
        """Note that a client has sent its replay, or will not send the rest of it."""
        self._replaying.pop(client_id, None)

    def on_member(self) -> None:
        """Say in each digest that all writes came, or that some wait: this session is a member."""
        self.is_member = True
        self.request_digests()

    def on_no_member(self) -> None:
        """Say no more that writes wait: the data nodes take back what they know of that."""
        self.is_member = False
        for queue in self.by_peer.values():
            queue.is_known_to_wait = False

    def request_digests(self) -> None:
        """Send the digest to each data node, after what is sent to it next."""
        self._are_digests_due = True
        for queue in self.by_peer.values():
            queue.is_digest_due = True

    def settle(self, session: Incarnation, now: float) -> list[Effect]:
        """Send what this turn put in queues; `session` is the present incarnation."""
        effects: list[Effect] = []
        is_replaying = bool(self._replaying)
        how = {"is_moving": self.is_moving, "is_replaying": is_replaying}
        if is_replaying is not self._is_replaying_told:
            self._is_replaying_told = is_replaying
            self.touched.update(dict.fromkeys(self.by_peer))
        for peer in self.touched:
            queue = self.by_peer.get(peer)
            if queue is not None:
                effects += queue.send(session, now, is_member=self.is_member, **how)
        self.touched.clear()
        return effects

    def tick(self, session: Incarnation, now: float) -> list[Effect]:
        """Send what has waited for a pause, and the digests that are due.

        Nothing is sent again because an answer is late: the connection stands, so the data node has
        the request.
        """
        for client_id in [each for each, until in self._replaying.items() if until <= now]:
            self.end_replaying(client_id)
        due = self._pauses.take_due(now)
        if self._are_digests_due:
            self._are_digests_due = False
            due += self.by_peer
        self.touched.update(dict.fromkeys(due))
        return self.settle(session, now)

    def next_tick_at(self) -> float:
        """Return when a pause ends; infinity if there is none."""
        at = self._pauses.next_at()
        return math.inf if at is None else at
