"""What stands in the way of any change, as a sentence for people; said once in the log too."""

from typing import Final

from zreg.config import Limits
from zreg.effects import INFO, WARNING, Effect, Log
from zreg.meta.agreement import Agreement

# No leader for so many ticks is more than an election: a second and a half.
_TROUBLE_TICKS: Final = 30


class Trouble:
    """Looks whether the nodes of meta can agree."""

    def __init__(self, agreement: Agreement, node_id: str) -> None:
        self._agreement = agreement
        self._node_id = node_id
        self._is_said = False

    def __repr__(self) -> str:
        """Show the sentence."""
        return f"<Trouble {self.sentence()!r}>"

    def sentence(self) -> str:
        """Return what is the matter, and what to do; empty if nothing is."""
        raft = self._agreement.raft
        if not raft.configuration.members:
            return self._not_added()[: Limits.detail_characters_max]
        if raft.leader is not None or self._agreement.silent_ticks < _TROUBLE_TICKS:
            return ""
        missing = [f"{peer} ({why})" for peer, why in self._agreement.peers.troubles().items()]
        voters = len(raft.configuration.voters)
        reach = "reaches all of them"
        if missing:
            reach = f"has no connection to {', '.join(missing)}: start them, or look at the network"
        return (
            f"meta has no leader: {voters // 2 + 1} of its {voters} nodes must run and reach each "
            f"other; {self._node_id} {reach}"
        )[: Limits.detail_characters_max]

    def _not_added(self) -> str:
        address = self._agreement.peers.identity.address.removeprefix("tcp://")
        return (
            f"{self._node_id} waits to be taken in by the other meta nodes: run `zreg meta add "
            f"{self._node_id}={address}` with --meta naming one of them"
        )

    def look(self) -> list[Effect]:
        """Tell the log when trouble begins, and when it is over."""
        sentence = self.sentence()
        if bool(sentence) is self._is_said:
            return []
        self._is_said = bool(sentence)
        if not sentence:
            return [Log(INFO, "raft.quorum.restored", {"leader": str(self._agreement.raft.leader)})]
        return [Log(WARNING, "raft.quorum.missing", {"detail": sentence})]
