"""Removals that sessions concluded from silence, until this data node can judge them.

A client whose connection closed may live. It has then published again at another session. This node
may not hear that session, may not have seen the epoch at which it joined, or may have refused its
write for that reason; that session may have more writes than it can send at once; or this node has
become the primary of the datum, and the session does not know yet.
A removal now would take a living publisher out of all views.
"""

from collections import deque
from typing import NamedTuple

from zreg.data.placement import Placement
from zreg.data.sessions.contacts import SessionContacts
from zreg.effects import Peer
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
        self._held: deque[Held] = deque()
        # What was known when all were judged last: without news none but the oldest may be due.
        self._judged_with: tuple[object, ...] | None = None

    def __len__(self) -> int:
        """Return how many requests are held."""
        return len(self._held)

    def hold(self, peer: Peer, unpublish: UnpublishDatum, now: float) -> bool:
        """Keep a request that cannot be judged yet; return False if it can be."""
        if all(removal.cause not in _CONCLUSIONS for removal in unpublish.removals):
            return False
        if self._can_judge(now, unpublish):
            return False
        self._held.append(Held(now, peer, unpublish))
        return True

    def _can_judge(self, since: float, unpublish: UnpublishDatum) -> bool:
        """Return whether this node knows of all clients which vanished at that time and came back.

        If it has become the primary, all sessions that may hold them have compared with it since:
        its own copy may be old, or these sessions may not know it yet. Of a suspicion it has to
        hear all such sessions besides.
        """
        placement, name = self._placement, unpublish.data_info_id
        may_lack = placement.is_primary(name) and placement.is_unreconciled(name)
        if may_lack and self._contacts.hears_any_of(placement.unreconciled):
            return False
        if all(removal.cause not in SUSPICIONS for removal in unpublish.removals):
            return True
        is_behind = self._cluster_member.is_behind or self._contacts.owes_writes
        return not is_behind and not self._contacts.has_unheard(since)

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
            self._cluster_member.is_behind,
            placement.ring_epoch,
            tuple(placement.unreconciled),
        )
        if known == self._judged_with:
            due = self._take_old(now)
        else:
            self._judged_with = known
            oldest = now - self._grace_seconds
            due = [
                held
                for held in self._held
                if held.since <= oldest or self._can_judge(held.since, held.unpublish)
            ]
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
        self._held = deque(held for held in self._held if held.peer != peer)
