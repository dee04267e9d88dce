"""Which peers say that this node was removed from meta, and when that is certain."""

from zreg.meta.peers.bootstrap import Bootstrap
from zreg.meta.peers.identity import Identity
from zreg.raft.consensus import RaftCore
from zreg.raft.leader.quorum import majority
from zreg.wire.records.meta_messages import MetaDeclined


class RemovalClaims:
    """The peers that do not know this node as a member (any more).

    One of them alone may be wrong: a peer that was away does not know of an addition yet, and
    neither does a node that is being added.
    """

    def __init__(self, identity: Identity, raft: RaftCore, bootstrap: Bootstrap) -> None:
        self._identity = identity
        self._raft = raft
        self._bootstrap = bootstrap
        self._claimants: dict[str, None] = {}

    def note(self, peer: str) -> None:
        """Note that a peer does not know this node."""
        self._claimants[peer] = None

    def drop(self, peer: str) -> None:
        """Forget what a peer said: its connection ended, or it knows this node now."""
        self._claimants.pop(peer, None)

    def are_certain(self, claim: MetaDeclined) -> bool:
        """Return whether the latest claim proves the removal, alone or with the earlier ones."""
        known = self._raft.configuration.journals.get(self._identity.node_id)
        was_member = known == self._identity.journal_id
        if self._raft.leader is not None and not was_member:
            # A leader sends its log to this node, so this node is a member for the leader.
            return False
        was_told_nothing = bool(self._identity.founders) and self._bootstrap.is_fresh
        is_later = claim.position > self._raft.log.configuration_position
        if (was_member or was_told_nothing) and is_later:
            return True
        voters = self._raft.configuration.voters
        if sum(voter in self._claimants for voter in voters) >= majority(len(voters)):
            return True
        return claim.configuration_term > self._raft.term
