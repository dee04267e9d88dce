"""An operator's requests that another number of data nodes keeps each datum."""

from collections.abc import Sequence

from zreg.effects import INFO, Effect, Link, Log, Peer, Send
from zreg.errors import ForeignClusterError, NotReadyError
from zreg.meta.group.proposals import Proposals, refused
from zreg.meta.members.cluster_check import names_other_cluster
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.wire.log_commands import ChangeReplicaCount
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import SetReplicaCount


class ReplicaCountRequests:
    """Changes the ring of all nodes; data nodes then make or drop copies by themselves."""

    def __init__(self, state: MetaState, proposals: Proposals) -> None:
        self._state = state
        self._proposals = proposals

    def on_set_replica_count(self, peer: Peer, request: SetReplicaCount) -> list[Effect]:
        """Begin the change; answer when the membership has it."""
        request_id, count = request.request_id, request.replica_count
        if names_other_cluster(request.cluster_id, self._state.membership):
            detail = "the request is for another cluster: ask the meta nodes of that cluster"
            return [refused(peer, request_id, ForeignClusterError.code, detail)]

        def on_applied(applied: Applied | None, _now: float) -> Sequence[Effect]:
            if applied is None:
                detail = "the leader of meta changed meanwhile: ask again"
                return [refused(peer, request_id, NotReadyError.code, detail)]
            accepted = Send(Link.NODES, peer, Accepted((request_id,)))
            if not applied.is_changed:
                return [accepted]
            fields: dict[str, str | int | float] = {
                "replica_count": count,
                "epoch": self._state.epoch,
            }
            return [Log(INFO, "ring.replica_count", fields), accepted]

        command = ChangeReplicaCount(count)
        return self._proposals.propose_for(peer, request_id, command, on_applied)
