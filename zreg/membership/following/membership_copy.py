"""What keeps a node's copy of the membership current: announcements, fetches, and its cache.

`MembershipFollower` says what a copy takes and what it lacks; this class asks for it. The copy goes
to the disk whenever it has changed, if the node has one.
"""

from zreg.effects import Effect, Emit, MembershipTaken, Peer
from zreg.membership.following.announcements import Announcements
from zreg.membership.following.membership_follower import MembershipFollower
from zreg.membership.leader_link.leader_connection import LeaderConnection
from zreg.model import EMPTY_MEMBERSHIP, Membership
from zreg.wire.records.membership_messages import MembershipChanges


class MembershipCopy:
    """The copy, and the effects that each news about it leads to.

    `cached` is the membership on the node's disk, empty if there is none yet; None: it has no disk.
    Invariant: at most one fetch is pending, on the present connection to a meta node.
    """

    def __init__(self, cached: Membership | None, connection: LeaderConnection) -> None:
        self._has_disk = cached is not None
        self._connection = connection
        self._follower = MembershipFollower(cached)
        self._announcements = Announcements()

    @property
    def membership(self) -> Membership:
        """The newest membership that this node has."""
        return self._follower.membership

    @property
    def is_cached(self) -> bool:
        """Whether the copy is from the disk: meta has sent none since the start."""
        return self._follower.is_cached

    @property
    def is_behind(self) -> bool:
        """Whether a higher epoch than that of the copy is known to exist."""
        return self._follower.is_behind

    # --- asking -------------------------------------------------------------------------------

    def see_epoch(self, epoch: int) -> list[Effect]:
        """Fetch the membership if a higher epoch than the copy's exists."""
        return self._fetch() if self._follower.hint(epoch) else []

    def on_lease_asked(self) -> list[Effect]:
        """Take the place of a pending fetch: the answer to a renewal or a join says what is new.

        A lost connection to the announcements is made again here, not by attempts of its own.
        """
        self._follower.forget_fetch()
        return self._announcements.follow(self.membership)

    def on_announcer_lost(self, address: Peer) -> None:
        """Note that the connection to the announcements of a meta node ended."""
        self._announcements.on_peer_lost(address)

    def fetch_if_behind(self, former_epoch: int) -> list[Effect]:
        """Go on fetching after a step that brought the copy forward but not to the newest epoch."""
        is_step = self.membership.epoch > former_epoch
        return self._fetch() if self.is_behind and is_step else []

    def _fetch(self, *, is_whole: bool = False) -> list[Effect]:
        """Fetch the changes since the copy's epoch; one fetch at a time, until the next renewal."""
        connection = self._connection
        if not connection.is_up or self._follower.is_fetching:
            return []
        request_id = connection.next_request_id()
        return [connection.send(self._follower.fetch(request_id, is_whole=is_whole))]

    # --- taking -------------------------------------------------------------------------------

    def changed(self, changes: MembershipChanges) -> tuple[Membership | None, list[Effect]]:
        """Return the copy with the changes, not taken yet; else None, and the effects.

        If the changes were asked for and do not fit, the whole is fetched.
        """
        membership = self._follower.apply(changes)
        if membership is None and self._follower.must_fetch_whole(changes):
            return None, self._fetch(is_whole=True)
        return membership, []

    def take(
        self, membership: Membership, request_id: int, *, may_change_cluster: bool
    ) -> list[Effect] | None:
        """Take a whole membership; None if it is older, or of a cluster that it may not change to.

        `may_change_cluster`: meta has just admitted this node to that cluster.
        """
        former = _version_of(self.membership)
        if not self._follower.take(membership, request_id, may_change_cluster=may_change_cluster):
            return None
        effects = self._announcements.follow(membership)
        return effects if _version_of(membership) == former else effects + self._cache(membership)

    def forget_cluster(self) -> list[Effect]:
        """Empty the cache: the next start of this node joins the cluster that it reaches."""
        return self._cache(EMPTY_MEMBERSHIP)

    def _cache(self, membership: Membership) -> list[Effect]:
        return [Emit(MembershipTaken(membership))] if self._has_disk else []


def _version_of(membership: Membership) -> tuple[bytes, int]:
    return membership.cluster_id, membership.epoch
