"""Pushes to subscribers: a few in flight for each, then the newest state.

A subscriber has a window of pushes in flight. While it is full, later changes only move the mirror,
and the next push joins them. So a slow subscriber costs one window, however much changes meanwhile.
A push is in flight until the client acknowledges it or a later one, however late, or subscribes
again: its connection keeps order and loses nothing while it stands, so no push is sent twice.
"""

from itertools import takewhile
from typing import Final

from zreg.config import Config, Limits
from zreg.effects import Effect, Link, Peer, Probe, Send
from zreg.model import DataInfoId, Scope
from zreg.primitives.digest import UNSURE_DIGEST
from zreg.primitives.reports.hop_rings import HopRings, PushRound
from zreg.session.clients.client_table import Client
from zreg.session.clients.pushes.push_lag import PushLag
from zreg.session.clients.pushes.push_messages import PushMessages, current_push
from zreg.session.clients.pushes.subscriber import Subscriber
from zreg.session.clients.pushes.view_digests import ViewDigests
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.wire.records.client_messages import PushAck
from zreg.wire.records.common_messages import HopKind

PUSHED: Final = HopKind.PUSHED


class Pusher:
    """All subscribers of a session, and their pushes in flight.

    Invariants: `_unprobed` holds the subscribers with pushes in flight whose client was not probed
    since the newest of them, the longest silent first. Of those whose window is not full,
    `_to_check` holds all whose state may be behind.
    """

    def __init__(self, config: Config, hops: HopRings) -> None:
        self._hops = hops.by_id
        # A client that gathers acknowledgements may take a whole ping interval for one.
        self._probe_seconds = max(config.push_retry_seconds, config.ping_seconds)
        self._subscribers: dict[tuple[bytes, str, Scope], Subscriber] = {}
        self._by_datum: dict[str, dict[Subscriber, None]] = {}
        self._unprobed: dict[Subscriber, None] = {}
        self._to_check: dict[Subscriber, None] = {}
        # The subscribers whose claims wait for an epoch.
        self._held: dict[Subscriber, None] = {}
        self._view_digests = ViewDigests()
        self._messages = PushMessages()
        self.push_count = 0
        self.lag = PushLag()

    def __len__(self) -> int:
        """Return how many subscribers there are."""
        return len(self._subscribers)

    def find(self, client: Client, name: str, scope: Scope) -> Subscriber | None:
        """Return the subscriber of a client to a datum."""
        return self._subscribers.get((client.client_id, name, scope))

    def of(self, name: DataInfoId) -> list[Subscriber]:
        """Return the subscribers to a datum."""
        return list(self._by_datum.get(name, ()))

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
        self._unprobed.pop(subscriber, None)
        self._to_check.pop(subscriber, None)
        self._held.pop(subscriber, None)
        subscribers = self._by_datum[name]
        del subscribers[subscriber]
        if not subscribers:
            del self._by_datum[name]

    def forget(self, name: DataInfoId) -> None:
        """Drop what is kept for a datum that is no longer followed."""
        self._view_digests.forget(name)

    def on_push_ack(self, subscriber: Subscriber, ack: PushAck, now: float) -> None:
        """End the pushes that it confirms; what changed meanwhile is pushed when the turn ends.

        The acknowledgement of a push before those in flight is ignored: the subscriber has started
        anew since.
        """
        in_flight = subscriber.in_flight
        if not in_flight or (ack.version < in_flight[0][0] and not ack.needs_snapshot):
            return
        newest = in_flight[-1][0]
        if ack.version == newest and (
            subscriber.is_filling
            or len(in_flight) >= Limits.pushes_gathered_max
            or subscriber.client.pushes_max == 1
        ):
            self.lag.seconds.append(now - subscriber.sent_at)
        if ack.needs_snapshot or ack.version > newest:
            subscriber.start_anew()
        else:
            subscriber.acknowledge(ack.version, now)
        if ack.version > newest:
            # The client's last session had a newer copy than this one; the primary has to judge.
            subscriber.claim = (ack.version, UNSURE_DIGEST)
        if not subscriber.in_flight:
            self._unprobed.pop(subscriber, None)
            subscriber.is_reset = False
        self._to_check[subscriber] = None

    # --- pushing ------------------------------------------------------------------------------

    def wake(self, followed: FollowedDatum, now: float) -> None:
        """Look at the subscribers of a datum when the turn ends: its mirror has moved."""
        name, version = followed.name, followed.mirror.version
        subscribers = self._by_datum.get(name)
        if not subscribers:
            return
        pushes = followed.push_round = PushRound(version)
        self._hops[name].append((PUSHED, now, b"", 0, version, "", pushes))
        for subscriber in subscribers:
            if not subscriber.is_window_full:
                self._to_check[subscriber] = None

    def hold_claim(self, subscriber: Subscriber) -> None:
        """Leave a claim alone until this session has seen another epoch."""
        subscriber.is_claim_held = True
        self._held[subscriber] = None

    def release_claims(self) -> list[Subscriber]:
        """Return the subscribers whose claims waited for an epoch; check them at the turn's end."""
        held = list(self._held)
        self._held.clear()
        for subscriber in held:
            subscriber.is_claim_held = False
            self._to_check[subscriber] = None
        return held

    def settle(self, now: float) -> list[Effect]:
        """Push to each subscriber that is behind and whose window has room."""
        effects: list[Effect] = []
        for subscriber in self._to_check:
            if not subscriber.is_window_full:
                effects += self._next_push(subscriber, now)
        self._to_check.clear()
        self._messages.clear()
        return effects

    def _next_push(self, subscriber: Subscriber, now: float) -> list[Effect]:
        mirror = subscriber.followed.mirror
        peer = subscriber.client.peer
        if not mirror.is_known or peer is None:
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
            made = current_push(subscriber)
        else:
            made = self._messages.for_subscriber(subscriber)
        if not made.messages:
            subscriber.evaluated = mirror.version
            return []
        subscriber.note_sent(made.size, now, is_snapshot=made.is_snapshot)
        self._unprobed.pop(subscriber, None)
        self._unprobed[subscriber] = None
        self.push_count += 1
        return [Send(Link.CLIENTS, peer, message) for message in made.messages]

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
            present = self._view_digests.present(subscriber.followed, subscriber.visibility)
            subscriber.is_current = present == digest

    def tick(self, now: float) -> list[Effect]:
        """Probe once each client that has not acknowledged a push for long; it may be gone.

        Nothing is sent again. A client that lives has the push and is slow, or its
        acknowledgement is late.
        """
        sent_until = now - self._probe_seconds
        late = list(takewhile(lambda each: each.sent_at <= sent_until, self._unprobed))
        probed: dict[Peer, None] = {}
        for subscriber in late:
            del self._unprobed[subscriber]
            if subscriber.client.peer is not None:
                probed[subscriber.client.peer] = None
        return [Probe(Link.CLIENTS, peer) for peer in probed]

    def next_tick_at(self) -> float | None:
        """Return when the next client has to be probed; None if there is none."""
        for subscriber in self._unprobed:
            return subscriber.sent_at + self._probe_seconds
        return None
