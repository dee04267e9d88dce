"""Rules of sessions, each with what takes it out of the production code."""

import math
from collections.abc import Iterable, Sequence

from mutations import Patch

from zreg.data.replication import acceptances as acceptances_module
from zreg.effects import Effect, Peer
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Cause
from zreg.primitives.timing.lease import LeaseTable
from zreg.session.clients import turn_answers
from zreg.session.clients.client_handler import ClientHandler
from zreg.session.clients.client_table import Client, ClientTable
from zreg.session.clients.publishing import Publishing
from zreg.session.clients.pushes.pusher import Pusher
from zreg.session.clients.pushes.subscriber import Subscriber
from zreg.session.membership_fetch import MembershipFetch
from zreg.session.membership_loss import MembershipLoss
from zreg.session.upstream.followed import followed_datums as followed_datums_module
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.session.upstream.registered.registration import Registration
from zreg.session.upstream.registered.registrations import Registrations
from zreg.session.upstream.registered.replays import Replays
from zreg.session.upstream.registered.waiting_clients import WaitingClients
from zreg.wire.records.client_messages import Moving, PushAck
from zreg.wire.records.common_messages import Accepted

_tick_queues = NodeQueues.tick
_tick_pusher = Pusher.tick
_tell_who_waits = WaitingClients.settle
_on_push_ack = Pusher.on_push_ack
_expired = ClientTable.expired
_on_lost = ClusterMember._on_lost


def requests_are_sent_again_by_timer() -> list[Patch]:
    """On a live connection nothing is resent by timer: a late answer is still an answer."""

    def tick(self: NodeQueues, session: object, now: float) -> list[Effect]:
        if now - getattr(self, "resent_at", 0.0) >= 1.0:
            self.resent_at = now
            for queue in self.by_peer.values():
                queue.retry()
        return _tick_queues(self, session, now)

    return [(NodeQueues, "tick", tick)]


def clients_that_are_lost_together_have_died() -> list[Patch]:
    """A session that loses all its clients at once suspects its own network."""
    return [(ClientTable, "judge_total_loss", lambda self, now: 0)]


def calls_are_answered_before_replays() -> list[Patch]:
    """A session that wakes answers a data node once the clients that wait for it have replayed."""
    return [(Replays, "begin", lambda self, client_id, now: None)]


def who_waits_for_a_membership_is_not_told() -> list[Patch]:
    """A session that is no member holds up the suspicion of a client that waits there."""
    return [(WaitingClients, "add", lambda self, client_id: None)]


def who_waits_is_named_once() -> list[Patch]:
    """A data node forgets a session that does not read, and the session does not know."""

    def settle(self: WaitingClients, now: float) -> list[Effect]:
        self._remind_at = math.inf
        return _tell_who_waits(self, now)

    return [(WaitingClients, "settle", settle)]


def an_isolated_session_goes_on() -> list[Patch]:
    """A session that reaches neither meta nor a data node takes itself for dead."""
    return [(MembershipLoss, "must_give_up", lambda self, now, membership: False)]


def an_unacknowledged_push_is_replaced_by_the_list() -> list[Patch]:
    """An unacknowledged push is probed before anything is sent, never replaced by a whole list."""

    def tick(self: Pusher, now: float) -> list[Effect]:
        for subscriber in list(self._unprobed):
            if now - subscriber.sent_at >= self._probe_seconds:
                subscriber.start_anew()
                self._to_check[subscriber] = None
        return _tick_pusher(self, now)

    return [(Pusher, "tick", tick)]


def a_window_never_fills() -> list[Patch]:
    """A subscriber that does not acknowledge costs one window of pushes."""
    return [(Subscriber, "is_window_full", property(lambda _: False))]


def any_acknowledgement_counts() -> list[Patch]:
    """An acknowledgement that does not match the push in flight is ignored."""

    def on_push_ack(self: Pusher, subscriber: Subscriber, ack: PushAck, now: float) -> None:
        if subscriber.in_flight:
            subscriber.in_flight = ((min(subscriber.in_flight[0][0], ack.version), 0, None),)
        _on_push_ack(self, subscriber, ack, now)

    return [(Pusher, "on_push_ack", on_push_ack)]


def slow_is_dead() -> list[Patch]:
    """A peer that does not read is no dead one: only lease, close or bye end a client."""

    def on_peer_slow(self: ClientHandler, peer: Peer, now: float) -> Sequence[Effect]:
        del now
        client = self.table.of_peer(peer)
        return () if client is None else self._remove(client, Cause.CLOSED)

    return [(ClientHandler, "on_peer_slow", on_peer_slow)]


def leases_judged_by_a_judge_that_slept() -> list[Patch]:
    """Judges must be awake: after a stall every lease starts afresh, before anyone is judged."""
    return [(LeaseTable, "is_stalled", lambda self, now: False)]


def a_close_found_after_a_stall_counts() -> list[Patch]:
    """A close found after one's own stall is no evidence: the client has a session's grace."""

    def expired(self: ClientTable, now: float) -> list[tuple[object, Cause]]:
        self._stalled_until = now - 1000.0
        closed_at = {client: client.closed_at for client in self._closed.values()}
        graces = {client: client.grace_seconds for client in closed_at}
        found = _expired(self, now)
        for client, at in closed_at.items():
            client.closed_at, client.grace_seconds = at, graces[client]
        self._stalled_until = now - 1000.0
        return found

    return [
        (ClientTable, "expired", expired),
        (ClientTable, "_is_after_stall", lambda self, now: False),
    ]


def a_session_learns_only_from_meta() -> list[Patch]:
    """A session that is cut off from meta alone learns it from a data node."""
    return [(MembershipFetch, "tick", lambda self, now: [])]


def suspicions_are_sent_under_any_incarnation() -> list[Patch]:
    """CLOSED or SILENT under a former incarnation only forgets the session's own record."""
    withdraw = Registrations.withdraw

    def send_all(
        self: Registrations,
        registration: Registration,
        cause: Cause,
        client_request_id: int = 0,
        *,
        version: int = 0,
    ) -> None:
        if cause in (Cause.CLOSED, Cause.SILENT):
            cause = Cause.BYE
        withdraw(self, registration, cause, client_request_id, version=version)

    return [(Registrations, "withdraw", send_all)]


def own_publishers_are_dropped_with_a_snapshot() -> list[Patch]:
    """A session never drops a publisher of a connected client: it sends it to the primary again."""

    return [(followed_datums_module, "_lacking", lambda registrations, followed, publishers: [])]


def withdrawals_are_not_counted() -> list[Patch]:
    """What a client makes a session hold is counted against it, also withdrawals."""

    def is_full(self: Publishing, client: object) -> bool:
        return len(client.publisher_ids) >= self._config.publishers_per_client_max

    return [(Publishing, "_is_full", is_full)]


def answers_are_not_cut() -> list[Patch]:
    """Everything that goes on the wire is cut to the receiver's limits by the sender."""

    def one_record(request_ids: Iterable[int], copies: int = 1) -> list[Accepted]:
        return [Accepted(tuple(request_ids), copies)]

    return [
        (turn_answers, "accepted_records", one_record),
        (acceptances_module, "accepted_records", one_record),
    ]


def what_has_moved_is_held_on() -> list[Patch]:
    """A session forgets a client whose publishers another session has registered."""

    def keep(self: ClientHandler, client: Client, moving: Moving) -> list[Effect]:
        client.is_moving = True
        return []

    return [(ClientHandler, "_on_moving", keep)]


def the_counts_of_an_earlier_leader_are_used() -> list[Patch]:
    """A session asks clients to move only by counts that the present leader of meta has sent."""

    def on_lost(self: ClusterMember, effects: list[Effect]) -> list[Effect]:
        loads = self.counts.loads
        effects = _on_lost(self, effects)
        self.counts.loads = loads
        return effects

    return [(ClusterMember, "_on_lost", on_lost)]
