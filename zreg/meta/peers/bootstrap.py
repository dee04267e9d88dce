"""Whether a node may take part in elections: its journal must hold what it has promised.

An empty journal looks the same on the first day and on the day on which most disks were lost. Two
founders that came back empty are a majority of three. On their own they would found a second
cluster, while the third founder holds the first one. So a founder that has heard of no leader yet
takes part in elections only in two cases:

- all founders are connected, and all are as fresh as it is; or
- a node that has heard of a leader confirms its journal: it is the one that the members know.

The leader that founds the cluster has met all founders by then. It names their journals in Raft's
configuration before it commits anything else, so that no empty journal can pass for one of them
later.
"""

from collections.abc import Collection, Mapping

from zreg.errors import DeniedError, NotReadyError
from zreg.meta.peers.identity import Identity
from zreg.raft.consensus import RaftCore
from zreg.wire.records.meta_messages import Introduction


class Bootstrap:
    """What a founder knows of the other founders before their journals are named.

    `connected` and `introductions` are live views of the tables of peers.
    """

    def __init__(
        self,
        identity: Identity,
        raft: RaftCore,
        connected: Collection[str],
        introductions: Mapping[str, Introduction],
    ) -> None:
        self._identity = identity
        self._raft = raft
        self._connected = connected
        self._introductions = introductions
        # The journal that each voter named since this node started.
        self._journals: dict[str, str] = {}
        # Whether a peer knows this node by the journal that it has.
        self._is_journal_confirmed = False

    def __repr__(self) -> str:
        """Show which founders are missing."""
        return f"<Bootstrap waits for {self.missing_founders()}>"

    @property
    def is_fresh(self) -> bool:
        """Whether the log has at most the entry that founders write before their first start."""
        return self._raft.log.last_index <= 1

    @property
    def must_listen_first(self) -> bool:
        """Whether a peer may still come that knows this node by an earlier journal.

        A founder that was alone, and to which other nodes were added, would else lead at once after
        it lost its disk, and found a second cluster.
        """
        return bool(self.is_fresh and self._identity.founders and self._identity.address)

    # --- elections ---------------------------------------------------------------------------

    def may_elect(self, last_index: int) -> bool:
        """Return whether to vote for a candidate with this last entry, or to be that candidate."""
        me, history = self._identity, self._raft.log.history
        configuration = history.latest
        if me.node_id not in configuration.members:
            # The vote of a removed node may be needed to commit its removal (thesis §4.2.2).
            configuration = history.at(history.latest_index - 1)
        named = configuration.journals.get(me.node_id)
        if named is not None:
            # With another journal than the named one, this node was removed and added again, and
            # its log does not reach that addition yet.
            return named == me.journal_id
        if not me.founders:
            return False
        if configuration.voters == (me.node_id,):
            return True
        if not self.is_fresh or self._is_journal_confirmed:
            return True
        if self.missing_founders():
            return False
        # A founder that has heard of a leader may hold committed entries: it must lead then.
        introductions = self._introductions
        return last_index > 1 or all(introductions[peer].is_fresh for peer in self._other_voters())

    def missing_founders(self) -> list[str]:
        """Return which founders must connect before this one takes part in the first election."""
        is_waiting = self._identity.founders and self.is_fresh and not self._is_journal_confirmed
        if not is_waiting:
            return []
        return [peer for peer in self._other_voters() if peer not in self._connected]

    # --- journals ----------------------------------------------------------------------------

    def unnamed_voters(self) -> list[str]:
        """Return the voters whose journals the configuration does not name yet."""
        configuration = self._raft.configuration
        return [voter for voter in configuration.voters if voter not in configuration.journals]

    def unmet_voters(self) -> list[str]:
        """Return the unnamed voters whose journals this node does not know either."""
        known = self.journals_to_name()
        return [voter for voter in self.unnamed_voters() if voter not in known]

    def journals_to_name(self) -> dict[str, str]:
        """Return the journals of unnamed voters, as far as this node knows them."""
        known = {self._identity.node_id: self._identity.journal_id, **self._journals}
        return {voter: known[voter] for voter in self.unnamed_voters() if known.get(voter)}

    def lost_journal(self, introduction: Introduction) -> bool:
        """Return whether a peer knows this node by a journal that this node does not have."""
        is_other = introduction.receiver_journal_id not in ("", self._identity.journal_id)
        return is_other and self.must_listen_first and not introduction.is_fresh

    def undecided(self, introduction: Introduction) -> tuple[int, str] | None:
        """Return why to refuse a founder while this node has not written a list of founders.

        For its peer this node would count as a founder that is fresh. It may still agree on another
        list, so two clusters could begin.
        """
        me = self._identity
        is_listed = me.founders or self._raft.log.last_index
        if not me.bootstrap_expect or is_listed or not introduction.is_fresh:
            return None
        return NotReadyError.code, f"{me.node_id} has not agreed on the founders yet"

    def objection(self, introduction: Introduction) -> tuple[int, str] | None:
        """Return why to refuse a node that came with another journal before: code and sentence.

        Once there was an election, the node may have voted in the first of the two journals.
        """
        sender, journal_id = introduction.sender, introduction.journal_id
        first = self._journals.get(sender, journal_id)
        if first == journal_id or self._raft.term <= 1 or sender not in self.unnamed_voters():
            return None
        return DeniedError.code, (
            f"{sender} came with another journal before, in which it may have voted: if this "
            "cluster was never founded, stop all of its meta nodes, empty their directories and "
            "start them again"
        )

    def on_introduction(self, introduction: Introduction) -> None:
        """Take what a peer says of itself and of this node."""
        if introduction.sender in self._raft.configuration.voters:
            self._journals[introduction.sender] = introduction.journal_id
        if introduction.receiver_journal_id == self._identity.journal_id:
            self._is_journal_confirmed = True

    def _other_voters(self) -> list[str]:
        me = self._identity.node_id
        return [voter for voter in self._raft.configuration.voters if voter != me]
