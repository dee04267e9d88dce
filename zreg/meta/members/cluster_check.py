"""Which cluster a node has seen, and what to do when it has seen more than meta.

A meta node without a disk has forgotten its cluster when it starts. It adopts the membership that
its nodes remember (they show an epoch above its own), and judges nobody for one lease. A meta node
with a disk forgets nothing: nodes of another cluster are refused from the start.
"""

from collections.abc import Sequence
from typing import Final

from zreg.config import Config
from zreg.effects import WARNING, Effect, Link, Log, Peer, Send
from zreg.errors import ForeignClusterError
from zreg.meta.members.member_registrar import MemberRegistrar
from zreg.meta.refusals import refused
from zreg.meta.state import Applied, MetaState
from zreg.model import Membership
from zreg.wire.log_commands import Adopt, Raise
from zreg.wire.membership_messages import FetchMembership, Join, Renew

# A node may have seen epochs that this process has not, but never this many: that is a forgery.
_EPOCH_JUMP_MAX: Final = 1 << 40


class ClusterCheck:
    """What this process has forgotten: everything at `forgot_at`, or nothing (None)."""

    def __init__(
        self,
        state: MetaState,
        seats: MemberRegistrar,
        config: Config,
        *,
        own_cluster_id: bytes,
        forgot_at: float | None,
    ) -> None:
        self._state = state
        self._registrar = seats
        self._config = config
        # A cluster id made by this process is given up when a node remembers an older cluster.
        self._own_cluster_id = own_cluster_id
        self._forgot_at = forgot_at
        self._request_id = 0

    def ask_or_refuse(self, peer: Peer, request: Join | Renew, now: float) -> list[Effect] | None:
        """Look at which cluster a node has seen, and up to which epoch; None: go on with it."""
        is_ours = request.cluster_id == self._state.membership.cluster_id
        # A newcomer has seen none, and one that joined this process before it adopted, no other.
        if not is_ours and request.cluster_id in (b"", self._own_cluster_id):
            return None
        if self._is_young(now) and request.epoch > (self._state.epoch if is_ours else 0):
            self._request_id += 1
            return [Send(Link.NODES, peer, FetchMembership(self._request_id))]
        if is_ours and request.epoch <= self._state.epoch + _EPOCH_JUMP_MAX:
            if request.epoch <= self._state.epoch:
                return None

            # Go above an epoch of this cluster that somebody has seen and meta has not.
            def go_on(_applied: Applied | None, now: float) -> Sequence[Effect]:
                return self._registrar.take(peer, request, now)

            return self._registrar.propose(Raise(request.epoch), peer, request.request_id, go_on)
        detail = (
            "this node has been a member of another cluster: give it the addresses of its own "
            "meta nodes, or restart it to join this cluster as a new node"
        )
        return [refused(peer, request.request_id, ForeignClusterError.code, detail)]

    def _is_young(self, now: float) -> bool:
        """Return whether somebody may remember what this process has forgotten.

        For one lease, and on until the first node has come: this process may have been away.
        """
        if self._forgot_at is None:
            return False
        is_early = now - self._forgot_at < self._config.lease_seconds
        return is_early or not self._registrar.holders.leases

    def adopt(self, theirs: Membership, now: float) -> list[Effect]:
        """Go on from what a node remembers, if this process is young enough to have forgotten."""
        is_known = theirs.cluster_id == self._state.membership.cluster_id
        is_fresh = self._state.membership.cluster_id == self._own_cluster_id
        if not self._is_young(now) or not (is_known or is_fresh) or theirs.epoch == 0:
            return []
        if is_known and theirs.epoch <= self._state.epoch:
            return []

        def answer(_applied: Applied | None, now: float) -> Sequence[Effect]:
            # Incarnations of the cluster that is given up may look like some of this one.
            if not is_known:
                self._registrar.holders.forget_peers()
            self._registrar.holders.give_all(self._state.membership, now)
            self._registrar.follow(now)
            epochs: dict[str, str | int | float] = {
                "epoch": self._state.epoch,
                "from_epoch": theirs.epoch,
            }
            return [Log(WARNING, "membership.adopted", epochs)]

        return self._registrar.propose(Adopt(theirs), "", 0, answer)
