"""What is forgotten of lost nodes: what an operator dismisses, and what is long ago."""

from collections.abc import Sequence

from zreg.effects import INFO, Effect, Link, Log, Peer, Send
from zreg.errors import ForeignClusterError, NotReadyError
from zreg.meta.group.proposals import Proposals, refused
from zreg.meta.loss_watch import LossWatch
from zreg.meta.members.cluster_check import names_other_cluster
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.model import NO_INCARNATION, Incarnation
from zreg.wire.log_commands import Forget
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import DismissLoss


class LossRequests:
    """Proposes that losses are forgotten; one proposal of the leader itself at a time."""

    def __init__(self, state: MetaState, proposals: Proposals, loss_watch: LossWatch) -> None:
        self._state = state
        self._proposals = proposals
        self._loss_watch = loss_watch
        self._is_forgetting = False

    def begin(self) -> None:
        """Begin to lead: proposals of an earlier leadership do not count."""
        self._is_forgetting = False

    def tick(self, now: float) -> list[Effect]:
        """Forget what is long ago."""
        if self._is_forgetting or not (old := self._loss_watch.old(now)):
            return []

        def on_applied(_applied: Applied | None, _now: float) -> Sequence[Effect]:
            self._is_forgetting = False
            return []

        self._is_forgetting = True
        return self._proposals.propose(Forget(NO_INCARNATION, tuple(old)), on_applied, now)

    def on_dismiss(self, peer: Peer, dismiss: DismissLoss) -> list[Effect]:
        """Forget the loss of a node; answer when no meta node shows it any more."""
        request_id = dismiss.request_id
        if names_other_cluster(dismiss.cluster_id, self._state.membership):
            detail = "the request is for another cluster: ask the meta nodes of that cluster"
            return [refused(peer, request_id, ForeignClusterError.code, detail)]
        accepted = Send(Link.NODES, peer, Accepted((request_id,)))
        dismissed = self._losses_of(dismiss.node_id)
        if not dismissed:
            return [accepted]

        def on_applied(applied: Applied | None, _now: float) -> Sequence[Effect]:
            if applied is None:
                detail = "the leader of meta changed meanwhile: ask again"
                return [refused(peer, request_id, NotReadyError.code, detail)]
            fields: dict[str, str | int | float] = {"incarnation": str(dismissed[0])}
            return [Log(INFO, "member.dismissed", fields), accepted]

        command = Forget(NO_INCARNATION, dismissed)
        return self._proposals.propose_for(peer, request_id, command, on_applied)

    def _losses_of(self, node_id: str) -> tuple[Incarnation, ...]:
        lost = (loss.incarnation for loss in self._state.losses)
        return tuple(incarnation for incarnation in lost if incarnation.node_id == node_id)
