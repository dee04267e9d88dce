"""Repairs of what sessions and data nodes hold, each with what takes it out.

A loss is often repaired in several ways: what takes out a rule takes out all of them.
"""

from collections.abc import Sequence

from mutations import Patch

from zreg.data.copies.repairs import Repairs
from zreg.data.core import DataCore
from zreg.data.replication.replica_stream import ReplicaStream
from zreg.data.sessions.writes import Writes
from zreg.data.store.bucket import Bucket, BucketRole
from zreg.effects import Effect
from zreg.session.upstream.registered.node_queues import NodeQueue
from zreg.session.upstream.registered.reconciliation import Reconciliation
from zreg.session.upstream.registered.registrations import Registrations

_tick = DataCore.tick
_move = Registrations._move


def no_repair_between_sessions_and_data_nodes() -> list[Patch]:
    """What differs between a session and a data node is sent again or removed."""
    return [(Reconciliation, "on_publishers_compared", lambda self, peer, compared: [])]


def no_repair_of_copies() -> list[Patch]:
    """A copy that differs is made equal."""
    return [(Repairs, "begin", lambda self, peer, buckets, now: [])]


def nothing_is_repaired() -> list[Patch]:
    """What a primary lost comes back, from its session or from a copy."""
    return [*no_repair_between_sessions_and_data_nodes(), *no_repair_of_copies()]


def copies_at_rest_are_not_compared() -> list[Patch]:
    """Copies are compared each second, also those without changes."""
    return [(ReplicaStream, "compare", lambda self: None)]


def forgotten_sessions_are_looked_at_once() -> list[Patch]:
    """Publishers of a forgotten session are evicted, whenever they came."""
    return [(Writes, "evict_forgotten", lambda self, count_max: True)]


def withdrawals_are_sent_once() -> list[Patch]:
    """A withdrawal that was not accepted is sent again over the next connection."""

    def retry(self: NodeQueue) -> None:
        self.in_flight.clear()
        self.suspicion_count = 0

    return [
        (NodeQueue, "retry", retry),
        *no_repair_between_sessions_and_data_nodes(),
    ]


def a_silent_session_is_erased() -> list[Patch]:
    """A data node erases nothing because it does not hear a session (the original does)."""

    def tick(self: DataCore, now: float) -> Sequence[Effect]:
        unheard = self._contacts._unheard.items()
        for session in [s for s, since in unheard if now - since > 20.0]:
            self._store.evict(session, 1000)
        return _tick(self, now)

    return [(DataCore, "tick", tick)]


def what_was_queued_is_lost_with_its_data_node() -> list[Patch]:
    """What a data node did not accept goes to the next primary."""

    def move(self: Registrations, registration: object) -> bool:
        peer = self._links.primary(registration.name)  # type: ignore[attr-defined]
        if registration.peer == peer:  # type: ignore[attr-defined]
            return False
        self._take_back(registration)  # type: ignore[arg-type]
        self._queues.adopt(registration, peer)  # type: ignore[arg-type]
        return True

    return [
        (Registrations, "_move", move),
        *no_repair_between_sessions_and_data_nodes(),
    ]


def nothing_is_sent_again_or_repaired() -> list[Patch]:
    """What a node that leaves did not hand over comes from sessions and copies."""
    (move, *_) = what_was_queued_is_lost_with_its_data_node()
    return [move, *nothing_is_repaired()]


def a_node_keeps_what_it_does_not_own() -> list[Patch]:
    """A data node drops the ids that the ring gives to other nodes."""

    def take(self: Bucket, role: BucketRole) -> None:
        self.role = role
        self.unchecked = dict(self.datums)

    return [(Bucket, "take", take)]
