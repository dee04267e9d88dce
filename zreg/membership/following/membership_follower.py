"""A node's copy of the membership, kept up to date by epochs: hint, compare, fetch.

The copy may start from the node's disk. The leader's answers replace it or change it; it never goes
back to a lower epoch of the same cluster.
"""

from zreg.config import ring_hash_objection
from zreg.membership.following.changes import changed
from zreg.model import EMPTY_MEMBERSHIP, ZERO, Incarnation, Member, Membership, Version
from zreg.primitives.mirror import MEMBERS, Mirror, Verdict
from zreg.wire.records.membership_messages import FetchMembership, MembershipChanges


class MembershipFollower:
    """The copy, and the one request for a newer one that may be pending.

    `cached` is the membership from the node's disk; None or empty if there is none.
    """

    def __init__(self, cached: Membership | None) -> None:
        if cached is not None and why_not_followed(cached) is not None:
            # Meta's answer will lead to the error that says so.
            cached = None
        self.membership = cached or EMPTY_MEMBERSHIP
        # Whether the copy is from the disk: meta has sent none yet.
        self.is_cached = self.membership.epoch > 0
        self._mirror: Mirror[Incarnation, Member] = Mirror(MEMBERS)
        self._pending_id: int | None = None
        if self.is_cached:
            self._snapshot(self.membership)

    @property
    def is_fetching(self) -> bool:
        """Whether a request for a newer membership is pending."""
        return self._pending_id is not None

    @property
    def is_behind(self) -> bool:
        """Whether a higher epoch is known to exist."""
        return self._mirror.is_behind

    def hint(self, epoch: int) -> bool:
        """Take the news that an epoch exists; return whether it is above the copy's."""
        return self._mirror.hint(ZERO, Version(epoch, 0), None) is not Verdict.IGNORED

    def fetch(self, request_id: int, *, is_whole: bool = False) -> FetchMembership:
        """Return the request for the changes since the copy's epoch, or for the whole."""
        self._pending_id = request_id
        epoch = 0 if is_whole else self.membership.epoch
        return FetchMembership(request_id, self.membership.cluster_id, epoch)

    def forget_fetch(self) -> None:
        """Give up the pending request: its connection is gone, or a renewal asks again."""
        self._pending_id = None

    def take(self, membership: Membership, request_id: int, *, may_change_cluster: bool) -> bool:
        """Take a whole membership; return False if it is older, or of another cluster.

        `may_change_cluster`: meta has just admitted this node to that cluster.
        """
        if request_id == self._pending_id:
            self._pending_id = None
        if membership.cluster_id != self.membership.cluster_id:
            if not may_change_cluster:
                return False
            self._mirror.clear()
        if not self._snapshot(membership):
            return False
        self.membership = membership
        self.is_cached = False
        return True

    def _snapshot(self, membership: Membership) -> bool:
        """Give the mirror a membership; return False if it is older than the copy."""
        is_taken = self._mirror.snapshot(Version(membership.epoch, 0), membership.members)
        # Nothing asks for the difference: left there, it would grow with every life of a node.
        self._mirror.take_difference()
        return is_taken

    def apply(self, changes: MembershipChanges) -> Membership | None:
        """Return the copy with the changes; None if they do not start at it or do not add up."""
        return changed(self.membership, changes)

    def must_fetch_whole(self, changes: MembershipChanges) -> bool:
        """End the request that unusable changes answer; return whether the whole is needed."""
        if self._pending_id is None or changes.request_id != self._pending_id:
            return False
        self._pending_id = None
        return self.is_behind


def why_not_followed(membership: Membership) -> str | None:
    """Return why this version of zreg cannot place data as a membership says; None if it can."""
    objection = ring_hash_objection(membership.ring.hash_name)
    if objection is None:
        return None
    return (
        f"this node cannot follow the membership of the cluster: {objection}; run the version of "
        "zreg that its meta nodes run"
    )
