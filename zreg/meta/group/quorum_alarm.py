"""What stands in the way of any change, as a sentence for people; said once in the log too."""

from typing import Final

from zreg.config import Limits
from zreg.effects import INFO, WARNING, Effect, Log
from zreg.meta.group.raft_driver import RaftDriver
from zreg.raft.status import Role

# No leader for so many ticks is more than an election: a second and a half.
_TROUBLE_TICKS: Final = 30


class QuorumAlarm:
    """Looks whether the nodes of meta can agree."""

    def __init__(self, agreement: RaftDriver, node_id: str) -> None:
        self._agreement = agreement
        self._node_id = node_id
        self._is_said = False

    def __repr__(self) -> str:
        """Show the sentence."""
        return f"<QuorumAlarm {self.sentence()!r}>"

    def sentence(self) -> str:
        """Return what is the matter, and what to do; empty if nothing is."""
        raft = self._agreement.raft
        if not raft.configuration.members:
            return self._not_added()[: Limits.detail_characters_max]
        founding = self._agreement.peers.founding
        if raft.role is Role.LEADER and (unmet := founding.unmet()):
            return (
                f"{self._node_id} leads, and founds the cluster when it has met "
                f"{', '.join(unmet)}: start them"
            )
        if raft.leader is not None or self._agreement.silent_ticks < _TROUBLE_TICKS:
            return ""
        missing = [f"{peer} ({why})" for peer, why in self._agreement.peers.troubles().items()]
        if founding.waits_for():
            return self._not_founded(", ".join(missing))[: Limits.detail_characters_max]
        voters = len(raft.configuration.voters)
        reach = "reaches all of them"
        if missing:
            reach = f"has no connection to {', '.join(missing)}: start them, or look at the network"
        return (
            f"meta has no leader: {voters // 2 + 1} of its {voters} nodes must run and reach each "
            f"other; {self._node_id} {reach}"
        )[: Limits.detail_characters_max]

    def _not_added(self) -> str:
        return (
            f"{self._node_id} waits to be taken in by the other meta nodes: run `zreg meta add "
            f"{self._myself}` with --meta naming one of them"
        )

    def _not_founded(self, missing: str) -> str:
        return (
            f"{self._node_id} begins with an empty journal, and a cluster is founded by all of its "
            f"meta nodes together; it has no connection to {missing}: start them. If this cluster "
            f"has run before, its directory was lost: run `zreg meta rm {self._node_id}`, then "
            f"`zreg meta add {self._myself}`, and start it with --join on an empty directory"
        )

    @property
    def _myself(self) -> str:
        address = self._agreement.peers.identity.address.removeprefix("tcp://")
        return f"{self._node_id}={address}"

    def look(self) -> list[Effect]:
        """Tell the log when trouble begins, and when it is over."""
        sentence = self.sentence()
        if bool(sentence) is self._is_said:
            return []
        self._is_said = bool(sentence)
        if not sentence:
            return [Log(INFO, "raft.quorum.restored", {"leader": str(self._agreement.raft.leader)})]
        return [Log(WARNING, "raft.quorum.missing", {"detail": sentence})]
