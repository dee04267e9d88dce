"""What each subscriber is told: one push in flight, the newest state next, a delta if it can be.

A subscriber's state is the version that its client acknowledged and the version that was
evaluated for it (higher when what changed was out of its scope). While a push is in flight later
changes only move the mirror, so a slow subscriber costs one push, whatever happens meanwhile. Who
shares scope and starting point shares the message.
"""

from collections.abc import Iterable
from typing import Final

from zreg.config import Config, Limits
from zreg.effects import Effect, Link, Probe, Send
from zreg.model import Change, Publisher, Removal, Scope, Version
from zreg.primitives.digest import UNSURE_DIGEST, view_digest
from zreg.primitives.mirror import absent
from zreg.session.clients.client_table import Client
from zreg.session.upstream.followed_datum import FollowedDatum, Step
from zreg.wire.client_messages import Push, PushAck
from zreg.wire.parts import change_size, in_parts

# A push that was sent so often without an answer costs the client its connection.
_TRIES_MAX: Final = 3

# Who sees the same: scope, zone and data center as far as the scope looks at them.
Sight = tuple[Scope, str, str]


class Subscriber:
    """One client's interest in one id."""

    __slots__ = (
        "claim",
        "client",
        "client_version",
        "evaluated",
        "in_flight",
        "interest",
        "is_claim_held",
        "is_current",
        "is_reset",
        "is_unsure",
        "sent_at",
        "sight",
        "tries",
    )

    def __init__(self, client: Client, interest: FollowedDatum, scope: Scope) -> None:
        self.client = client
        self.interest = interest
        self.sight = _sight(scope, client)
        # Both None: the client has nothing that a delta could start from.
        self.client_version: Version | None = None
        self.evaluated: Version | None = None
        # What the client says it has: version and digest of its view; judged with the first push.
        self.claim: tuple[Version, int] | None = None
        # The claim is of an epoch that this session has not seen yet, so nobody was asked about it.
        self.is_claim_held = False
        # The version under way, evaluated with it; None: nothing is under way.
        self.in_flight: Version | None = None
        self.sent_at = 0.0
        self.tries = 0
        self.is_reset = False
        self.is_current = False
        # What the client has was merged from a part, so it needs the whole once there is one.
        self.is_unsure = False


def _sight(scope: Scope, client: Client) -> Sight:
    if scope is Scope.GLOBAL:
        return (scope, "", "")
    if scope is Scope.DATA_CENTER:
        return (scope, "", client.data_center)
    return (scope, client.zone, client.data_center)


def sees(sight: Sight, publisher: Publisher) -> bool:
    """Return whether a publisher is in scope."""
    scope, zone, data_center = sight
    if scope is Scope.GLOBAL:
        return True
    if publisher.data_center != data_center:
        return False
    return scope is Scope.DATA_CENTER or publisher.zone == zone


class Pusher:
    """All subscribers of a session."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._subscribers: dict[tuple[bytes, str, Scope], Subscriber] = {}
        self._by_interest: dict[str, dict[Subscriber, None]] = {}
        self._in_flight: dict[Subscriber, None] = {}
        self._idle: dict[Subscriber, None] = {}
        # Messages of this turn, by who sees what and starts where.
        self._made: dict[tuple[str, Sight, Version | None, Version | None, bool], list[Push]] = {}
        self.push_count = 0

    def __len__(self) -> int:
        """Return how many subscribers there are."""
        return len(self._subscribers)

    def count_of(self, name: str) -> int:
        """Return how many subscribe to an id."""
        return len(self._by_interest.get(name, ()))

    def find(self, client: Client, name: str, scope: Scope) -> Subscriber | None:
        """Return one subscriber."""
        return self._subscribers.get((client.client_id, name, scope))

    # --- coming and going ---------------------------------------------------------------------

    def add(self, client: Client, interest: FollowedDatum, scope: Scope) -> Subscriber:
        """Take a subscriber, anew if it was there: what it has is said by its Subscribe."""
        self.remove(client, interest.name, scope)
        subscriber = Subscriber(client, interest, scope)
        self._subscribers[client.client_id, interest.name, scope] = subscriber
        self._by_interest.setdefault(interest.name, {})[subscriber] = None
        self._idle[subscriber] = None
        return subscriber

    def remove(self, client: Client, name: str, scope: Scope) -> bool:
        """Let a subscriber go; return whether it was the last one of its id."""
        subscriber = self._subscribers.pop((client.client_id, name, scope), None)
        if subscriber is None:
            return False
        self._in_flight.pop(subscriber, None)
        self._idle.pop(subscriber, None)
        others = self._by_interest[name]
        del others[subscriber]
        if others:
            return False
        del self._by_interest[name]
        return True

    def acknowledged(self, subscriber: Subscriber, ack: PushAck) -> None:
        """Take an acknowledgement; what changed meanwhile goes out when the turn ends."""
        if subscriber.in_flight is None:
            return
        subscriber.client_version = subscriber.evaluated = None
        subscriber.is_reset = False
        if ack.version > subscriber.in_flight:
            # Its last session had a newer copy than this one has: the primary knows who is right.
            subscriber.claim = (ack.version, UNSURE_DIGEST)
        elif ack.version == subscriber.in_flight and not ack.needs_snapshot:
            subscriber.client_version = subscriber.evaluated = ack.version
        self._land(subscriber)

    def _land(self, subscriber: Subscriber) -> None:
        subscriber.in_flight = None
        subscriber.tries = 0
        self._in_flight.pop(subscriber, None)
        self._idle[subscriber] = None

    # --- pushing ------------------------------------------------------------------------------

    def wake(self, interest: FollowedDatum) -> None:
        """Look at an id's subscribers when the turn ends: its mirror has moved."""
        for subscriber in self._by_interest.get(interest.name, ()):
            if subscriber.in_flight is None:
                self._idle[subscriber] = None

    def release_claims(self) -> list[Subscriber]:
        """Return whose claims waited for an epoch, to be looked at when the turn ends."""
        held = [s for s in self._subscribers.values() if s.is_claim_held]
        for subscriber in held:
            subscriber.is_claim_held = False
            self._idle[subscriber] = None
        return held

    def settle(self, now: float) -> list[Effect]:
        """Push to whoever is behind and has nothing in flight."""
        effects: list[Effect] = []
        for subscriber in self._idle:
            effects += self._next_push(subscriber, now)
        self._idle.clear()
        self._made.clear()
        return effects

    def _next_push(self, subscriber: Subscriber, now: float) -> list[Effect]:
        mirror = subscriber.interest.mirror
        peer = subscriber.client.peer
        if not mirror.is_known or peer is None or subscriber.in_flight is not None:
            return []
        if subscriber.is_unsure and not mirror.is_unsure:
            subscriber.client_version = subscriber.evaluated = None
            subscriber.is_unsure = False
        if subscriber.claim is not None and not self._judge_claim(subscriber):
            return []
        if subscriber.evaluated == mirror.version:
            return []
        if subscriber.is_current:
            subscriber.is_current = False
            messages = [_current(subscriber)]
        else:
            messages = self._messages_for(subscriber)
        if not messages:
            subscriber.evaluated = mirror.version
            return []
        if messages[-1].source_version is None:
            subscriber.is_unsure = mirror.is_unsure
        subscriber.in_flight = mirror.version
        subscriber.sent_at = now
        subscriber.tries += 1
        self._in_flight[subscriber] = None
        self.push_count += 1
        return [Send(Link.CLIENTS, peer, message) for message in messages]

    def _judge_claim(self, subscriber: Subscriber) -> bool:
        """Compare what the client says it has with what is here; False: wait for the primary."""
        assert subscriber.claim is not None
        version, digest = subscriber.claim
        interest = subscriber.interest
        mirror = interest.mirror
        is_open = subscriber.is_claim_held or interest.claimed >= version or mirror.is_behind
        if version > mirror.version and is_open:
            return False
        subscriber.claim = None
        subscriber.is_reset = version > mirror.version
        if version == mirror.version and not mirror.is_unsure:
            seen = (p for p in mirror.content.values() if sees(subscriber.sight, p))
            subscriber.is_current = view_digest(seen) == digest
        return True

    def _messages_for(self, subscriber: Subscriber) -> list[Push]:
        """Return the push that a subscriber needs, made once for all who need the same."""
        name = subscriber.interest.name
        start, evaluated = subscriber.client_version, subscriber.evaluated
        key = (name, subscriber.sight, start, evaluated, subscriber.is_reset)
        messages = self._made.get(key)
        if messages is None:
            if start is not None and evaluated is not None:
                messages = _delta(subscriber.interest, subscriber.sight, start, evaluated)
            if messages is None:
                messages = _snapshot(subscriber)
            self._made[key] = messages
        return messages

    def tick(self, now: float) -> tuple[list[Effect], list[Client]]:
        """Push again what was not acknowledged; return also the clients that never do."""
        effects: list[Effect] = []
        stuck: list[Client] = []
        oldest = now - self._config.push_retry_seconds
        for subscriber in list(self._in_flight):
            if subscriber.sent_at > oldest:
                break
            del self._in_flight[subscriber]
            subscriber.in_flight = None
            # Nobody knows what the client has applied of it.
            subscriber.client_version = subscriber.evaluated = None
            if subscriber.tries >= _TRIES_MAX:
                stuck.append(subscriber.client)
                continue
            self._idle[subscriber] = None
            if subscriber.client.peer is not None:
                effects.append(Probe(Link.CLIENTS, subscriber.client.peer))
        return effects, stuck

    def next_tick_at(self) -> float | None:
        """When a push in flight has to be looked at."""
        for subscriber in self._in_flight:
            return subscriber.sent_at + self._config.push_retry_seconds
        return None


def _current(subscriber: Subscriber) -> Push:
    """Return the push that says: what you have is what there is."""
    interest = subscriber.interest
    version = interest.mirror.version
    return Push(interest.name, subscriber.sight[0], version, version, ())


def _snapshot(subscriber: Subscriber) -> list[Push]:
    interest, sight = subscriber.interest, subscriber.sight
    mirror = interest.mirror
    parts = list(in_parts(p for p in mirror.content.values() if sees(sight, p)))
    return [
        Push(
            interest.name,
            sight[0],
            None,
            mirror.version,
            part,
            parts_left=len(parts) - 1 - index,
            is_unreconciled=mirror.is_unsure,
            is_reset=subscriber.is_reset,
        )
        for index, part in enumerate(parts)
    ]


def _delta(
    interest: FollowedDatum, sight: Sight, start: Version, evaluated: Version
) -> list[Push] | None:
    """Return what a subscriber missed; [] if it cannot see any of it, None if lost or too large."""
    steps = interest.log.since(evaluated)
    if steps is None:
        return None
    publishers, removals = _visible(steps, sight)
    if not publishers and not removals:
        return []
    version = interest.mirror.version
    change = Change(start, version, tuple(publishers), tuple(removals))
    if change_size(change) > Limits.part_bytes_max:
        return None
    return [Push(interest.name, sight[0], start, version, change.publishers, change.removals)]


def _visible(steps: Iterable[Step], sight: Sight) -> tuple[list[Publisher], list[Removal]]:
    """Join steps, as far as they are in scope: what came or changed, and what went."""
    upserts: dict[bytes, Publisher | None] = {}
    former: dict[bytes, Publisher] = {}
    causes: dict[bytes, Removal | None] = {}
    for step in steps:
        former |= {key: p for key, p in step.former.items() if key not in upserts}
        upserts.update(step.upserts)
        for key, removal in step.removals.items():
            upserts[key] = None
            causes[key] = removal
    publishers: list[Publisher] = []
    removals: list[Removal] = []
    for key, publisher_now in upserts.items():
        if publisher_now is not None and sees(sight, publisher_now):
            publishers.append(publisher_now)
        elif key in former and sees(sight, former[key]):
            removals.append(_at_any_version(key, causes.get(key)))
    return publishers, removals


def _at_any_version(key: bytes, removal: Removal | None) -> Removal:
    """Return a removal for clients: their copy follows this session's, whatever its version."""
    gone = absent(key)
    if removal is None:
        return gone
    return Removal(key, gone.version, removal.cause, removal.session)
