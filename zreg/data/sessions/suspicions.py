"""Removals that sessions concluded from silence, until this data node can judge them.

A client whose connection closed may live. It has then published again at another session. This node
may not hear that session (it calls each, see `RollCalls`), may not have seen the epoch at which it
joined, or may have refused its write for that reason; that session may have more writes than it can
send at once; or this node has become the primary of the datum, and the session does not know yet.
A removal now would take a living publisher out of all views.
"""

from collections import deque
from typing import NamedTuple

from zreg.data.placement import Placement
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.roll_calls import RollCalls
from zreg.effects import Effect, Peer
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Cause, DataInfoId, Incarnation
from zreg.wire.records.data_messages import UnpublishDatum

# What a session concludes from a closed connection or from silence, and its client did not say.
SUSPICIONS = (Cause.CLOSED, Cause.SILENT)
# What a session concludes because it does not know the publisher, which may have moved.
_CONCLUSIONS = (*SUSPICIONS, Cause.NOT_REPLAYED)


class Held(NamedTuple):
    """A request that waits, since when and from which connection."""

    since: float
    peer: Peer
    unpublish: UnpublishDatum


class Suspicions:
    """Holds removals in the order in which they came, each for the session grace at most.

    Bounded by what sessions have under way. The session gets its answer after the judgement, and
    sends nothing again meanwhile.
    """

    def __init__(
        self,
        grace_seconds: float,
        contacts: SessionContacts,
        cluster_member: ClusterMember,
        placement: Placement,
    ) -> None:
        self._grace_seconds = grace_seconds
        self._contacts = contacts
        self._cluster_member = cluster_member
        self._placement = placement
        self._roll_calls = RollCalls(contacts)
        self._held: deque[Held] = deque()
        # When the newest suspicion came that is or was held.
        self._suspected_at = 0.0
        # What was known when all were judged last: without news none but the oldest may be due.
        self._judged_with: tuple[object, ...] | None = None

    def __len__(self) -> int:
        """Return how many requests are held."""
        return len(self._held)

    def hold(self, peer: Peer, unpublish: UnpublishDatum, now: float) -> bool:
        """Keep a request that cannot be judged yet; return False if it can be."""
        if all(removal.cause not in _CONCLUSIONS for removal in unpublish.removals):
            return False
        held = Held(now, peer, unpublish)
        if self._can_judge(held):
            return False
        self._held.append(held)
        if _is_suspicion(unpublish):
            self._suspected_at = now
        return True

    def _can_judge(self, held: Held) -> bool:
        """Return whether this node knows of all clients which vanished at that time and came back.

        If it has become the primary, all sessions that may hold them have compared with it since:
        its own copy may be old, or these sessions may not know it yet. Of a suspicion it has to
        hear all such sessions besides, now.
        """
        since, peer, unpublish = held
        placement, name = self._placement, unpublish.data_info_id
        may_lack = placement.is_primary(name) and placement.is_unreconciled(name)
        if may_lack and self._contacts.hears_any_of(placement.unreconciled):
            return False
        if not _is_suspicion(unpublish):
            return True
        contacts = self._contacts
        is_behind = self._cluster_member.is_behind or contacts.owes_writes
        if is_behind or contacts.has_unheard(since):
            return False
        return self._roll_calls.have_answered(since, contacts.of_peer(peer))

    def call_sessions(self, now: float) -> list[Effect]:
        """Call the sessions whose answer a suspicion waits for."""
        return self._roll_calls.call(self._suspected_at, now) if self._held else []

    def on_present(self, peer: Peer, number: int) -> None:
        """Note that a session has answered."""
        self._roll_calls.on_present(peer, number)

    def of(self, session: Incarnation) -> dict[bytes, tuple[DataInfoId, int]]:
        """Return the publishers of one session whose removal waits: id, datum and version."""
        return {
            removal.publisher_id: (held.unpublish.data_info_id, removal.version)
            for held in self._held
            for removal in held.unpublish.removals
            if removal.session == session
        }

    def take_due(self, now: float) -> list[tuple[Peer, UnpublishDatum]]:
        """Return the requests that can be judged now, or have waited for the grace."""
        placement = self._placement
        known = (
            self._contacts.news_count,
            self._roll_calls.news_count,
            self._cluster_member.is_behind,
            placement.ring_epoch,
            tuple(placement.unreconciled),
        )
        if known == self._judged_with:
            due = self._take_old(now)
        else:
            self._judged_with = known
            oldest = now - self._grace_seconds
            due = [held for held in self._held if held.since <= oldest or self._can_judge(held)]
            taken = set(map(id, due))
            self._held = deque(held for held in self._held if id(held) not in taken)
        return [(held.peer, held.unpublish) for held in due]

    def _take_old(self, now: float) -> list[Held]:
        old: list[Held] = []
        while self._held and now - self._held[0].since >= self._grace_seconds:
            old.append(self._held.popleft())
        return old

    def forget(self, peer: Peer) -> None:
        """Drop the requests of a connection that is gone: its session sends them again."""
        self._roll_calls.forget(peer)
        self._held = deque(held for held in self._held if held.peer != peer)


def _is_suspicion(unpublish: UnpublishDatum) -> bool:
    return any(removal.cause in SUSPICIONS for removal in unpublish.removals)
