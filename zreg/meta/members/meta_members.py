"""The meta nodes in the membership, which shows them to all other nodes."""

from collections.abc import Sequence
from typing import Final

from zreg.effects import WARNING, Effect, HostChanged, Link, Log, Peer, Send
from zreg.errors import DeniedError
from zreg.meta.group.proposals import Proposals
from zreg.meta.group.raft_driver import RaftDriver
from zreg.meta.group.raft_requests import OnApplied
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.model import Member, Role
from zreg.wire.log_commands import AdmitMeta, DropMeta
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import Join

# How often a follower that the membership does not show asks the leader to show it.
_SHOW_SECONDS: Final = 0.5


class MetaMembers:
    """Shows the meta nodes of Raft's configuration in the membership, and no others."""

    def __init__(
        self,
        member: Member,
        state: MetaState,
        raft_driver: RaftDriver,
        proposals: Proposals,
        *,
        now: float,
    ) -> None:
        # This node, as it wants to be shown.
        self.member = member
        self._state = state
        self._raft = raft_driver.raft
        self._peers = raft_driver.peers
        self._proposals = proposals
        self._last_request_id = 0
        # When this node, as a follower, asks next to be shown.
        self.show_at = now
        # Meta nodes whose removal from the membership is proposed and not applied yet.
        self._dropping: dict[str, None] = {}

    # --- as the leader -----------------------------------------------------------------------

    def begin(self, now: float) -> list[Effect]:
        """Begin to lead: show this node."""
        self._dropping.clear()
        return self._show(self.member, now)

    def change_host(self, changed: HostChanged, now: float, *, is_leading: bool) -> list[Effect]:
        """Have this node shown at another host; a follower asks the leader for it."""
        self.member = self.member.at_host(changed.host, changed.process_id)
        self.show_at = now
        return self._show(self.member, now) if is_leading else []

    def tick(self, now: float) -> list[Effect]:
        """Remove the meta nodes from the membership that Raft's configuration has no more."""
        if not self._raft.is_configuration_committed:
            return []
        members = self._raft.configuration.members
        effects: list[Effect] = []
        for shown in self._state.membership.of(Role.META):
            if shown.node_id not in members and shown.node_id not in self._dropping:
                self._dropping[shown.node_id] = None
                drop = DropMeta(shown.node_id)
                effects += self._proposals.propose(drop, self._on_dropped(shown), now)
        return effects

    def on_join(self, peer: Peer, join: Join, now: float) -> list[Effect]:
        """Show another meta node, which asks for it."""
        node_id = join.member.node_id
        if node_id not in self._raft.configuration.members:
            return []
        if not self._peers.introductions.may_ask(node_id):
            # Else a process that reaches this port could send all nodes to an address of its own.
            no = Refused(join.request_id, DeniedError.code, f"{node_id} has not said who it is")
            return [Send(Link.RAFT_ANSWER, peer, no)]
        accepted = Send(Link.RAFT_ANSWER, peer, Accepted((join.request_id,)))
        return [*self._show(join.member, now), accepted]

    def _show(self, member: Member, now: float) -> list[Effect]:
        present = self._state.membership.living(member.node_id)
        is_taken = present is not None and present.role is not Role.META
        if is_taken or self._is_shown(member):
            # A session or data node may have joined with its id first. Proposing in vain, twice a
            # second, would only fill the log.
            return []
        return self._proposals.propose(AdmitMeta(member), lambda _applied, _now: [], now)

    def _on_dropped(self, member: Member) -> OnApplied:
        def on_applied(applied: Applied | None, _now: float) -> Sequence[Effect]:
            self._dropping.pop(member.node_id, None)
            if applied is None or not applied.is_changed:
                return []
            fields: dict[str, str | int | float] = {
                "node_id": member.node_id,
                "epoch": self._state.epoch,
            }
            return [Log(WARNING, "raft.member.removed", fields)]

        return on_applied

    # --- as a follower -----------------------------------------------------------------------

    def tick_as_follower(self, now: float) -> list[Effect]:
        """Ask the leader to show this node, unless the membership shows it already."""
        if now < self.show_at:
            return []
        self.show_at = now + _SHOW_SECONDS
        leader = self._raft.leader
        if leader is None or self._is_shown(self.member) or not self._peers.is_up(leader):
            return []
        self._last_request_id += 1
        cluster_id, epoch = self._state.membership.cluster_id, self._state.epoch
        join = Join(self._last_request_id, self.member, cluster_id, epoch)
        return [Send(Link.RAFT_ASK, leader, join)]

    def _is_shown(self, member: Member) -> bool:
        present = self._state.membership.living(member.node_id)
        return present is not None and present.process_id == member.process_id
