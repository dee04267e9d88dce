"""Pushes to subscribers: one push in flight for each, then the newest state.

While a push is in flight, later changes only move the mirror. So a slow subscriber costs one push,
however much changes meanwhile.
"""

from typing import Final

from zreg.config import Config
from zreg.effects import Effect, Link, Probe, Send
from zreg.model import Scope
from zreg.primitives.digest import UNSURE_DIGEST, view_digest
from zreg.session.clients.client_table import Client
from zreg.session.clients.push_messages import PushMessages, current_push
from zreg.session.clients.subscriber import Subscriber, sees
from zreg.session.upstream.followed_datum import FollowedDatum
from zreg.wire.client_messages import PushAck

# After so many pushes without an acknowledgement the client is disconnected.
_TRIES_MAX: Final = 3


class Pusher:
    """All subscribers of a session, and their pushes in flight.

    Invariants: a subscriber is in `_in_flight` exactly while its `in_flight` is a version, oldest
    push first. `_to_check` holds those without a push in flight whose state may be behind.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._subscribers: dict[tuple[bytes, str, Scope], Subscriber] = {}
        self._by_datum: dict[str, dict[Subscriber, None]] = {}
        self._in_flight: dict[Subscriber, None] = {}
        self._to_check: dict[Subscriber, None] = {}
        self._messages = PushMessages()
        self.push_count = 0

    def __len__(self) -> int:
        """Return how many subscribers there are."""
        return len(self._subscribers)

    def count_of(self, name: str) -> int:
        """Return how many subscribers a datum has."""
        return len(self._by_datum.get(name, ()))

    def find(self, client: Client, name: str, scope: Scope) -> Subscriber | None:
        """Return the subscriber of a client to a datum."""
        return self._subscribers.get((client.client_id, name, scope))

    # --- subscribers --------------------------------------------------------------------------

    def add(self, client: Client, followed: FollowedDatum, scope: Scope) -> Subscriber:
        """Add a subscriber; one that is there already starts anew, from what its Subscribe says."""
        self.remove(client, followed.name, scope)
        subscriber = Subscriber(client, followed, scope)
        self._subscribers[client.client_id, followed.name, scope] = subscriber
        self._by_datum.setdefault(followed.name, {})[subscriber] = None
        self._to_check[subscriber] = None
        return subscriber

    def remove(self, client: Client, name: str, scope: Scope) -> None:
        """Remove a subscriber, if it is there."""
        subscriber = self._subscribers.pop((client.client_id, name, scope), None)
        if subscriber is None:
            return
        self._in_flight.pop(subscriber, None)
        self._to_check.pop(subscriber, None)
        subscribers = self._by_datum[name]
        del subscribers[subscriber]
        if not subscribers:
            del self._by_datum[name]

    def on_push_ack(self, subscriber: Subscriber, ack: PushAck) -> None:
        """End the push in flight; what changed meanwhile is pushed when the turn ends."""
        if subscriber.in_flight is None:
            return
        subscriber.client_version = subscriber.evaluated = None
        subscriber.is_reset = False
        if ack.version > subscriber.in_flight:
            # The client's last session had a newer copy than this one; the primary has to judge.
            subscriber.claim = (ack.version, UNSURE_DIGEST)
        elif ack.version == subscriber.in_flight and not ack.needs_snapshot:
            subscriber.client_version = subscriber.evaluated = ack.version
        subscriber.in_flight = None
        subscriber.tries = 0
        self._in_flight.pop(subscriber, None)
        self._to_check[subscriber] = None

    # --- pushing ------------------------------------------------------------------------------

    def wake(self, followed: FollowedDatum) -> None:
        """Look at the subscribers of a datum when the turn ends: its mirror has moved."""
        for subscriber in self._by_datum.get(followed.name, ()):
            if subscriber.in_flight is None:
                self._to_check[subscriber] = None

    def release_claims(self) -> list[Subscriber]:
        """Return the subscribers whose claims waited for an epoch; check them at the turn's end."""
        held = [s for s in self._subscribers.values() if s.is_claim_held]
        for subscriber in held:
            subscriber.is_claim_held = False
            self._to_check[subscriber] = None
        return held

    def settle(self, now: float) -> list[Effect]:
        """Push to each subscriber that is behind and has no push in flight."""
        effects: list[Effect] = []
        for subscriber in self._to_check:
            effects += self._next_push(subscriber, now)
        self._to_check.clear()
        self._messages.clear()
        return effects

    def _next_push(self, subscriber: Subscriber, now: float) -> list[Effect]:
        mirror = subscriber.followed.mirror
        peer = subscriber.client.peer
        if not mirror.is_known or peer is None or subscriber.in_flight is not None:
            return []
        if subscriber.is_unsure and not mirror.is_unsure:
            subscriber.client_version = subscriber.evaluated = None
            subscriber.is_unsure = False
        if subscriber.claim is not None:
            if self._waits_for_primary(subscriber):
                return []
            self._judge_claim(subscriber)
        if subscriber.evaluated == mirror.version:
            return []
        if subscriber.is_current:
            subscriber.is_current = False
            messages = [current_push(subscriber)]
        else:
            messages = self._messages.for_subscriber(subscriber)
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

    def _waits_for_primary(self, subscriber: Subscriber) -> bool:
        """Return whether only an answer of the primary can tell if a claim is true."""
        assert subscriber.claim is not None
        version, _ = subscriber.claim
        followed = subscriber.followed
        is_open = (
            subscriber.is_claim_held or followed.claimed >= version or followed.mirror.is_behind
        )
        return version > followed.mirror.version and is_open

    def _judge_claim(self, subscriber: Subscriber) -> None:
        """Compare the view that a client says it has with the mirror."""
        assert subscriber.claim is not None
        version, digest = subscriber.claim
        mirror = subscriber.followed.mirror
        subscriber.claim = None
        subscriber.is_reset = version > mirror.version
        if version == mirror.version and not mirror.is_unsure:
            seen = (p for p in mirror.content.values() if sees(subscriber.visibility, p))
            subscriber.is_current = view_digest(seen) == digest

    def tick(self, now: float) -> tuple[list[Effect], list[Client]]:
        """Push again what was not acknowledged in time.

        Return the effects, and the clients that have not acknowledged after the last try.
        """
        effects: list[Effect] = []
        stuck: list[Client] = []
        sent_until = now - self._config.push_retry_seconds
        for subscriber in list(self._in_flight):
            if subscriber.sent_at > sent_until:
                break
            del self._in_flight[subscriber]
            subscriber.in_flight = None
            # How much of the push the client has applied is unknown.
            subscriber.client_version = subscriber.evaluated = None
            if subscriber.tries >= _TRIES_MAX:
                stuck.append(subscriber.client)
                continue
            self._to_check[subscriber] = None
            if subscriber.client.peer is not None:
                effects.append(Probe(Link.CLIENTS, subscriber.client.peer))
        return effects, stuck

    def next_tick_at(self) -> float | None:
        """Return when the oldest push in flight has to be sent again; None if there is none."""
        for subscriber in self._in_flight:
            return subscriber.sent_at + self._config.push_retry_seconds
        return None
