"""The term in which this meta node leads and may decide."""

from zreg.meta.group.raft_driver import RaftDriver
from zreg.meta.group.voter_upkeep import VoterUpkeep
from zreg.meta.state.meta_state import MetaState


class LedTerm:
    """The term that has begun at this node, if it leads.

    Invariants:
    - This node decides only in a term that has begun, and only while Raft leads in it.
    - A term begins when the state holds all that earlier leaders have committed. The term in which
      the cluster is founded begins after Raft's configuration names the founders' journals.
    """

    def __init__(
        self, state: MetaState, raft_driver: RaftDriver, voter_upkeep: VoterUpkeep
    ) -> None:
        self._state = state
        self._raft_driver = raft_driver
        self._voter_upkeep = voter_upkeep
        # The number of the term; 0: this node does not lead.
        self._number = 0

    def __repr__(self) -> str:
        """Show the number."""
        return f"<LedTerm {self._number}>"

    @property
    def is_leading(self) -> bool:
        """Whether this node may decide."""
        return self._number > 0 and self._raft_driver.is_leading

    def take_next(self) -> int | None:
        """Begin or end a term, as Raft has decided: return its number, or 0 if none begins.

        Returns None if nothing is to change.
        """
        number = self._next()
        if number == self._number:
            return None
        self._number = number
        return number

    def _next(self) -> int:
        """Return the term in which this node may decide; 0: not at all, or not yet."""
        if not self._raft_driver.is_leading:
            return 0
        if not self._state.is_founded:
            self._voter_upkeep.name_founders()
            if self._raft_driver.peers.introductions.bootstrap.unnamed_voters():
                return 0
        return self._raft_driver.raft.term
