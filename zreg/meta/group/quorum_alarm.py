"""Why the meta nodes cannot agree at present, as a sentence for people and for the log."""

from collections.abc import Callable
from typing import Final

from zreg.effects import INFO, WARNING, Effect, Log
from zreg.meta.group.raft_driver import RaftDriver
from zreg.raft.status import Role

# An election takes less than this many ticks, a second and a half, without a leader.
_SILENT_TICKS_MAX: Final = 30


class QuorumAlarm:
    """Logs once when the meta nodes can no longer agree, and once when they can again."""

    def __init__(
        self, raft_driver: RaftDriver, node_id: str, gathering_sentence: Callable[[], str]
    ) -> None:
        self._raft_driver = raft_driver
        # Returns how far the gathering of founders is; empty if there is none.
        self._gathering_sentence = gathering_sentence
        self._bootstrap = raft_driver.peers.introductions.bootstrap
        self._node_id = node_id
        self._is_logged = False

    def __repr__(self) -> str:
        """Show the sentence."""
        return f"<QuorumAlarm {self.sentence()!r}>"

    def sentence(self) -> str:
        """Return why the meta nodes cannot agree, and what to do; empty if they can."""
        raft = self._raft_driver.raft
        if not raft.configuration.members:
            return self._gathering_sentence() or self._not_added()
        if raft.role is Role.LEADER and (unmet := self._bootstrap.unmet_voters()):
            return (
                f"{self._node_id} leads, and founds the cluster when it has met "
                f"{', '.join(unmet)}: start them"
            )
        if raft.leader is not None or self._raft_driver.silent_ticks < _SILENT_TICKS_MAX:
            return ""
        missing = [f"{peer} ({why})" for peer, why in self._raft_driver.peers.missing().items()]
        if self._bootstrap.missing_founders():
            return self._not_founded(", ".join(missing))
        voters = len(raft.configuration.voters)
        reach = "reaches all of them"
        if missing:
            reach = f"has no connection to {', '.join(missing)}: start them, or check the network"
        return (
            f"meta has no leader: {voters // 2 + 1} of its {voters} nodes must run and reach each "
            f"other; {self._node_id} {reach}"
        )

    def _not_added(self) -> str:
        return (
            f"{self._node_id} waits to be added by the other meta nodes: run `zreg meta add "
            f"{self._myself}` with --meta naming one of them"
        )

    def _not_founded(self, missing: str) -> str:
        return (
            f"{self._node_id} begins with an empty journal, and a cluster is founded by all of its "
            f"meta nodes together; it has no connection to {missing}: start them, or if one is "
            "lost for good or has moved, empty the directories of all and start them again. If "
            "this cluster has run before, its directory was lost: run `zreg meta rm "
            f"{self._node_id}`, then `zreg meta add {self._myself}`, and start it with "
            "--join on an empty directory"
        )

    @property
    def _myself(self) -> str:
        address = self._raft_driver.peers.introductions.identity.address
        return f"{self._node_id}={address.removeprefix('tcp://')}"

    def tick(self) -> list[Effect]:
        """Log when the alarm begins, and when it ends."""
        sentence = self.sentence()
        if bool(sentence) is self._is_logged:
            return []
        self._is_logged = bool(sentence)
        if sentence:
            return [Log(WARNING, "raft.quorum.missing", {"detail": sentence})]
        leader = str(self._raft_driver.raft.leader)
        return [Log(INFO, "raft.quorum.restored", {"leader": leader})]
