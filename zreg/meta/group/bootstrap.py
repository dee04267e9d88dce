"""Whether a node may take part in elections: its journal must keep what it has promised.

An empty journal looks the same on the first day, and on the day on which most disks were lost. Two
nodes that came back empty are a majority of those who were named first: alone they would found a
second cluster, while a third one holds the first. So whoever has heard of no leader yet takes part
only while *all* founders are connected and are as fresh as it is; or if a node that has heard of
one takes its journal for the one that the members know.

The leader that founds the cluster has met all founders by then. It names their journals to all
before anything is agreed on, so that later no empty journal passes for one of them.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from zreg.effects import INFO, Log
from zreg.errors import DeniedError
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import RaftError
from zreg.wire.meta_messages import Introduction

if TYPE_CHECKING:
    from zreg.meta.group.meta_peers import Identity
    from zreg.meta.group.raft_driver import RaftDriver
    from zreg.meta.state.meta_state import MetaState


class Bootstrap:
    """What a node knows of the founders before their journals are named."""

    def __init__(
        self,
        identity: "Identity",
        raft: RaftCore,
        up: Collection[str],
        known: Mapping[str, Introduction],
    ) -> None:
        self._identity = identity
        self._raft = raft
        self._up = up
        self._known = known
        # The journals with which the others came since this node started.
        self._met: dict[str, str] = {}
        self._is_vouched_for = False

    def __repr__(self) -> str:
        """Show for whom it waits."""
        return f"<Bootstrap waits for {self.waits_for()}>"

    @property
    def is_fresh(self) -> bool:
        """Whether the log has at most the entry that founders write before their first start."""
        return self._raft.log.last_index <= 1

    def may_elect(self, last_index: int) -> bool:
        """Say whether to vote for a candidate with this last entry, or to be it."""
        me, history = self._identity, self._raft.log.history
        configuration = history.latest
        if me.node_id not in configuration.members:
            # A removed node may be needed to commit its removal (thesis §4.2.2).
            configuration = history.at(history.latest_index - 1)
        named = configuration.journals.get(me.node_id)
        if named is not None:
            # Another one is what a node reads that was added again: it has not come to that yet.
            return named == me.journal_id
        if configuration.voters == (me.node_id,) and me.founders:
            return True
        if not me.founders:
            return False
        if not self.is_fresh or self._is_vouched_for:
            return True
        if self.waits_for():
            return False
        # Of those who have heard of a leader, one must lead: it may hold what is agreed on.
        return last_index > 1 or all(self._known[each].is_fresh for each in self._others())

    @property
    def listens_first(self) -> bool:
        """Whether somebody may yet come who knows this node, of another time.

        One that was alone, and to which others were added since, would be a cluster at once.
        """
        return bool(self.is_fresh and self._identity.founders and self._identity.address)

    def is_forgetful(self, them: Introduction) -> bool:
        """Whether another node knows this one by the journal that it had, and does not have."""
        is_known = them.receiver_journal_id not in ("", self._identity.journal_id)
        return is_known and self.listens_first and not them.is_fresh

    def waits_for(self) -> list[str]:
        """Return who must be connected before this node takes part in the first election."""
        is_founder = self._identity.founders and self.is_fresh and not self._is_vouched_for
        return [each for each in self._others() if each not in self._up] if is_founder else []

    def journals(self) -> dict[str, str]:
        """Return the journals of members that are not named yet, as far as they are known."""
        met = {self._identity.node_id: self._identity.journal_id, **self._met}
        return {each: met[each] for each in self.unnamed() if met.get(each)}

    def unmet(self) -> list[str]:
        """Return whose journals can be named by nobody yet."""
        known = self.journals()
        return [each for each in self.unnamed() if each not in known]

    def unnamed(self) -> list[str]:
        """Return the voters whose journals the configuration does not name."""
        configuration = self._raft.configuration
        return [each for each in configuration.voters if each not in configuration.journals]

    def objection(self, them: Introduction) -> tuple[int, str] | None:
        """Refuse who comes with a second journal, once there may be promises in the first one."""
        met = self._met.get(them.sender, them.journal_id)
        if met == them.journal_id or self._raft.term <= 1 or them.sender not in self.unnamed():
            return None
        return DeniedError.code, (
            f"{them.sender} came with another journal before, in which it may have voted: if this "
            "cluster was never founded, stop all of its meta nodes, empty their directories and "
            "start them again"
        )

    def note(self, them: Introduction) -> None:
        """Take what a node says that is a peer."""
        if them.sender in self._raft.configuration.voters:
            self._met[them.sender] = them.journal_id
        if them.receiver_journal_id == self._identity.journal_id:
            self._is_vouched_for = True

    def _others(self) -> list[str]:
        me = self._identity.node_id
        return [each for each in self._raft.configuration.voters if each != me]


def term_to_lead(agreement: "RaftDriver", state: "MetaState") -> int:
    """Return the term in which a node may decide, 0 if it may not, or not yet."""
    may_lead = agreement.is_leading and (state.is_founded or name_founders(agreement))
    return agreement.raft.term if may_lead else 0


def name_founders(agreement: "RaftDriver") -> bool:
    """As the leader, say before anything else whose promises count; return whether it is said."""
    founding = agreement.peers.founding
    if founding.unmet():
        return False
    if not (journals := founding.journals()):
        return True
    new = agreement.raft.configuration
    for node_id, journal_id in journals.items():
        new = new.with_journal(node_id, journal_id)
    told = [
        Log(INFO, "raft.member.known", {"node_id": each, "address": new.addresses[each]})
        for each in journals
    ]
    try:
        agreement.change_configuration(new, lambda _applied, _now: told)
    except RaftError:
        # The lead is being handed over: whoever has it next does this.
        return False
    return True
