"""Removals that sessions concluded from silence, until this data node can judge them.

A client whose connection closed may live. It has then published again at another session. This node
may not hear that session, may not have seen the epoch at which it joined, or may have refused its
write for that reason. A removal now would take a living publisher out of all views.
"""

from collections import deque

from zreg.data.session_contacts import SessionContacts
from zreg.effects import Peer
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Cause
from zreg.wire.data_messages import UnpublishDatum

# What a session concludes from a closed connection or from silence, and its client did not say.
SUSPICIONS = (Cause.CLOSED, Cause.SILENT)


class Suspicions:
    """Holds removals in the order in which they came, each for the session grace at most.

    Bounded by what sessions have under way. The session gets its answer after the judgement, and
    sends nothing again meanwhile.
    """

    def __init__(
        self, grace_seconds: float, contacts: SessionContacts, cluster_member: ClusterMember
    ) -> None:
        self._grace_seconds = grace_seconds
        self._contacts = contacts
        self._cluster_member = cluster_member
        self._held: deque[tuple[float, Peer, UnpublishDatum]] = deque()

    def __len__(self) -> int:
        """Return how many requests are held."""
        return len(self._held)

    def must_wait(self, unpublish: UnpublishDatum, now: float) -> bool:
        """Return whether the request removes on suspicion, and cannot be judged now."""
        is_suspicion = any(removal.cause in SUSPICIONS for removal in unpublish.removals)
        return is_suspicion and not self._can_judge(now)

    def _can_judge(self, now: float) -> bool:
        return not self._cluster_member.is_behind and self._contacts.are_all_heard(now)

    def hold(self, peer: Peer, unpublish: UnpublishDatum, now: float) -> None:
        """Keep a request until it can be judged."""
        self._held.append((now + self._grace_seconds, peer, unpublish))

    def take_due(self, now: float) -> list[tuple[Peer, UnpublishDatum]]:
        """Return the requests that can be judged now, or have waited for the grace."""
        count = len(self._held)
        if not self._can_judge(now):
            count = sum(1 for deadline_at, _, _ in self._held if deadline_at <= now)
        return [self._held.popleft()[1:] for _ in range(count)]

    def forget(self, peer: Peer) -> None:
        """Drop the requests of a connection that is gone: its session sends them again."""
        self._held = deque(entry for entry in self._held if entry[1] != peer)
