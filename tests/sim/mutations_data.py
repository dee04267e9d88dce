"""Rules of data nodes, each with what takes it out of the production code."""

import math
from collections.abc import Iterable

from mutations import Patch

from zreg.data.copies.repairs import Repairs
from zreg.data.core import DataCore
from zreg.data.followers.followers import Followers
from zreg.data.placement import Placement
from zreg.data.sessions.comparisons import SessionComparisons
from zreg.data.sessions.roll_calls import RollCalls
from zreg.data.sessions.suspicions import Suspicions
from zreg.data.sessions.unadmitted import UnadmittedSessions
from zreg.data.sessions.writes import Writes
from zreg.data.store import datum_store as store_module
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Peer
from zreg.membership.cluster_member import ClusterMember, Learned
from zreg.model import Change, Membership, Removal, Role, Status
from zreg.primitives.mirror import Mirror
from zreg.wire.records.membership_messages import MembershipReply

_LIVING = (Status.INITIAL, Status.WORKING, Status.LEAVING)

_snapshot = Mirror.snapshot
_commit = DatumStore.commit
_restamp = DatumStore.restamp
_remove = DatumStore.remove
_follow_ring = Placement.follow
_follow_sessions = Writes.follow
_start = DataCore.start
_forget_unadmitted = UnadmittedSessions.forget
_take_roles = DataCore._take_roles


# --- the ten rules of section 7 -------------------------------------------------------------------


def a_snapshot_merged_by_replacing() -> list[Patch]:
    """Followers merge one publisher after the other: what a snapshot lacks may exist elsewhere."""

    def replace_all(
        self: Mirror, version: object, items: Iterable[object], *, is_partial: bool = False
    ) -> bool:
        del is_partial
        return _snapshot(self, version, items, is_partial=False)

    return [(Mirror, "snapshot", replace_all)]


def no_revision_for_quiet_changes() -> list[Patch]:
    """Every stored change takes the next counter value as its revision, also a quiet one."""

    def commit(self: DatumStore, datum: Datum, epoch: int, now: float) -> Change:
        if datum.pending is not None and not datum.pending.is_quiet:
            return _commit(self, datum, epoch, now)
        del self._dirty[datum.name]
        datum.pending = None
        return Change(datum.revision, datum.revision, (), (), is_quiet=True)

    return [(DatumStore, "commit", commit)]


def a_guard_against_sessions_in_their_grace() -> list[Patch]:
    """A departed session's publishers stay until meta forgets it; only then are they evicted."""

    def follow(self: Writes, membership: Membership) -> None:
        members = membership.of(Role.SESSION, *_LIVING)
        self._sessions = self._living = frozenset(member.incarnation for member in members)

    return [(Writes, "follow", follow)]


def a_counter_per_datum() -> list[Patch]:
    """The counter is one per data node process, never reset, shared by all its ids."""

    def commit(self: DatumStore, datum: Datum, epoch: int, now: float) -> Change:
        self._counter._counter = datum.revision.counter
        return _commit(self, datum, epoch, now)

    def restamp(self: DatumStore, datum: Datum, epoch: int, now: float) -> Change:
        self._counter._counter = datum.revision.counter
        return _restamp(self, datum, epoch, now)

    return [(DatumStore, "commit", commit), (DatumStore, "restamp", restamp)]


def no_fencing_of_a_deposed_primary() -> list[Patch]:
    """A node takes writes only of ids of which it is the primary in its own membership."""
    return [(Placement, "is_primary", lambda self, name: self.is_member)]


def working_taken_from_disk() -> list[Patch]:
    """A restarted data node is not what the disk says its predecessor was, until meta admits it."""

    def start(self: DataCore, now: float) -> list[Effect]:
        membership = self._cluster_member.membership
        living = membership.living(self._placement._node_id)
        if living is not None:
            self._placement.start_over(living.incarnation, membership)
            self._follow(membership, now)
        return list(_start(self, now))

    return [(DataCore, "start", start)]


def no_restamp() -> list[Patch]:
    """A follower that names a version above the primary's gets a snapshot at a new version."""
    return [(Followers, "_must_restamp", lambda self, datum, fetch: False)]


def tombstones_prolonged() -> list[Patch]:
    """A tombstone keeps the time of its first removal: a repetition never prolongs it."""

    def remove(self: DatumStore, name: object, removal: Removal, now: float) -> bool:
        datum = self.find(name)
        tombstone = None if datum is None else datum.tombstones.get(removal.publisher_id)
        if tombstone is not None and tombstone[0].version == removal.version:
            del datum.tombstones[removal.publisher_id]
        return _remove(self, name, removal, now)

    return [(DatumStore, "remove", remove)]


# --- rules that building taught -------------------------------------------------------------------


def a_quiet_change_is_hinted() -> list[Patch]:
    """A quiet change sends no hint: a reconnect storm pushes nothing."""
    return [(store_module, "same_to_subscribers", lambda left, right: False)]


def a_forgotten_session_proves_absence() -> list[Patch]:
    """That a session is forgotten proves nothing until each living session's digest was equal."""

    def follow(self: Placement, membership: Membership) -> bool:
        before = dict(self.unreconciled)
        has_new_ring = _follow_ring(self, membership)
        if not has_new_ring:
            self.unreconciled = {s: None for s in self.unreconciled if s in before}
        return has_new_ring

    return [(Placement, "follow", follow)]


def rings_slept_through_are_trusted() -> list[Patch]:
    """A node that cannot show that it followed every ring since trusts nothing."""

    def follow(self: Placement, membership: Membership) -> bool:
        self._epoch = max(self._epoch, membership.ring_epoch)
        return _follow_ring(self, membership)

    return [(Placement, "follow", follow)]


def suspicions_of_departed_sessions_count() -> list[Patch]:
    """Data nodes ignore removals after a close or silence from a departed session."""
    return [(Writes, "_is_suspicion_of_departed", lambda self, removal: False)]


def departed_sessions_register() -> list[Patch]:
    """A departed session registers nothing: the rest of its grace may be too short for a move."""

    def follow(self: Writes, membership: Membership) -> None:
        _follow_sessions(self, membership)
        self._living = self._sessions

    return [(Writes, "follow", follow)]


def suspicions_are_judged_at_once() -> list[Patch]:
    """A removal on suspicion waits until each session that may hold the client is heard."""
    return [(Suspicions, "hold", lambda self, peer, unpublish, now: False)]


def sessions_that_were_heard_are_there() -> list[Patch]:
    """A connection that stands may have been cut off a moment ago: each session is called first."""
    return [(RollCalls, "have_answered", lambda self, since, suspecting: True)]


def only_members_have_clients_that_wait() -> list[Patch]:
    """Meta may admit a session in a moment, with the client that another session suspects."""
    return [(UnadmittedSessions, "is_client_waiting", lambda self, client_id: False)]


def clients_wait_no_longer_than_a_connection() -> list[Patch]:
    """A session that is no member may connect again at once, with the clients that wait there."""

    def forget(self: UnadmittedSessions, peer: Peer, node_id: str, now: float) -> None:
        _forget_unadmitted(self, peer, node_id, now)
        self.expire(math.inf)

    return [(UnadmittedSessions, "forget", forget)]


def a_departed_session_had_no_clients() -> list[Patch]:
    """A session that departed before it compared with a new primary may have had the client."""
    return [(Placement, "lacks_departed", False)]


def a_new_life_keeps_what_the_former_held() -> list[Patch]:
    """An expired but living data node rejoins empty: sessions have written elsewhere meanwhile."""

    def take_roles(self: DataCore, now: float, *, has_new_ring: bool) -> list[Effect]:
        incarnation = self._placement.incarnation
        if incarnation is None or incarnation.node_id not in self._placement.ring.node_ids:
            return []
        return _take_roles(self, now, has_new_ring=has_new_ring)

    # What an INITIAL node has and its primary lacks, it does not offer: a second guard.
    may_merge = (Repairs, "_may_merge", lambda self, bucket, now: True)
    return [(DataCore, "_take_roles", take_roles), may_merge]


def a_publisher_id_is_shared() -> list[Patch]:
    """A publish under an id that another client holds is refused with a code."""
    return [(DatumStore, "publisher", lambda self, name, publisher_id: None)]


def peers_say_who_a_node_is() -> list[Patch]:
    """No message on a data link changes a node's own cluster, incarnation or status."""

    def take(
        self: ClusterMember, membership: Membership, now: float, *, is_answer: bool
    ) -> Learned:
        del is_answer
        return self._finish(self._on_membership(MembershipReply(0, membership), now))

    return [(ClusterMember, "take_from_member", take)]


def an_unidentified_session_is_not_answered() -> list[Patch]:
    """A data node that dropped a slow session's connection state says so: "say NodeHello"."""
    compare = SessionComparisons.on_compare_digest

    def stay_silent(self: SessionComparisons, peer: object, message: object) -> object:
        is_known = self._contacts.of_peer(peer) is not None
        return compare(self, peer, message) if is_known else ([], False)

    return [(SessionComparisons, "on_compare_digest", stay_silent)]
