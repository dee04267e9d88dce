"""What only the leading meta node does: it answers requests, and decides who is a member."""

from typing import Final

from zreg.config import Config
from zreg.effects import Effect, Link, Peer, PeerLost, PeerUp
from zreg.meta.group.leader_handover import LeaderHandover
from zreg.meta.group.proposals import Proposals
from zreg.meta.group.raft_driver import RaftDriver
from zreg.meta.group.voter_upkeep import VoterUpkeep
from zreg.meta.group.voters import Voters
from zreg.meta.loss_watch import LossWatch
from zreg.meta.members.departures.departures import Departures
from zreg.meta.members.departures.drain_requests import DrainRequests
from zreg.meta.members.departures.eviction_limiter import EvictionLimiter
from zreg.meta.members.departures.failure_checks import FailureChecks
from zreg.meta.members.departures.loss_requests import LossRequests
from zreg.meta.members.member_registrar import MemberRegistrar
from zreg.meta.members.memory.node_memory import NodeMemory
from zreg.meta.members.meta_members import MetaMembers
from zreg.meta.members.newcomers import Newcomers
from zreg.meta.members.replica_count_requests import ReplicaCountRequests
from zreg.meta.setting_requests import SettingRequests
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.model import Member, Membership, RingParameters
from zreg.wire.log_commands import Found
from zreg.wire.messages import Message
from zreg.wire.records.membership_messages import (
    DismissLoss,
    Drain,
    Join,
    Leave,
    Ready,
    Renew,
    ReportGone,
    SetReplicaCount,
)
from zreg.wire.records.meta_messages import AddMeta, FetchMetaNodes, RemoveMeta
from zreg.wire.records.settings_messages import FetchSettings, SetSetting

# The requests that only a leader answers.
REQUESTS: Final = (
    Renew,
    Join,
    Leave,
    Ready,
    Drain,
    DismissLoss,
    SetReplicaCount,
    SetSetting,
    FetchSettings,
    AddMeta,
    RemoveMeta,
    FetchMetaNodes,
)


class Leader:
    """The leader's components. Their memory (leases, evidence, waits) begins anew at `begin`."""

    def __init__(  # noqa: PLR0913 -- each is a part of what it is
        self,
        member: Member,
        config: Config,
        state: MetaState,
        raft_driver: RaftDriver,
        proposals: Proposals,
        *,
        loss_watch: LossWatch,
        cluster_id: bytes,
        now: float,
    ) -> None:
        self._config = config
        self._state = state
        self._proposals = proposals
        self._cluster_id = cluster_id
        self._memory = memory = NodeMemory(config, now=now)
        self.lease_holders = memory.lease_holders
        self.failure_evidence = memory.failure_evidence
        self.departures = Departures(state, proposals, memory, EvictionLimiter(config))
        self.registrar = MemberRegistrar(
            state, raft_driver.raft, proposals, self.departures, memory, loss_watch
        )
        self._loss_watch = loss_watch
        self._loss_requests = LossRequests(state, proposals, loss_watch)
        self.newcomers = Newcomers(state, proposals, self.departures, memory.flap_damping)
        self._drain_requests = DrainRequests(state, proposals)
        self._replica_counts = ReplicaCountRequests(state, proposals)
        self.failure_checks = FailureChecks(state, self.departures, memory)
        self.meta_members = MetaMembers(member, state, raft_driver, proposals, now=now)
        self.handover = LeaderHandover(raft_driver)
        self.voter_upkeep = VoterUpkeep(raft_driver, member.node_id)
        self.voters = Voters(member.node_id, state, raft_driver, proposals, self.handover)
        self._settings = SettingRequests(state, proposals)

    def begin(self, now: float) -> list[Effect]:
        """Begin to lead; found the cluster if it has not begun."""
        if self._state.is_founded:
            self.begin_leases(now)
            return self.meta_members.begin(now)
        config = self._config
        ring = RingParameters(config.ring_hash, config.virtual_node_count, config.replica_count)
        first = Membership(self._cluster_id, 1, 0, ring, (self.meta_members.member,))
        return self._proposals.propose(Found(first), self._on_founded, now)

    def _on_founded(self, _applied: Applied | None, now: float) -> list[Effect]:
        self.begin_leases(now)
        return []

    def begin_leases(self, now: float) -> None:
        """Forget what an earlier leadership knew of nodes: each has a whole lease from now on."""
        self._memory.begin(self._state.membership, now)
        self.departures.begin()
        self._loss_requests.begin()
        self.newcomers.begin()
        self.departures.follow_membership(now)

    def on_request(self, peer: Peer, message: Message, now: float) -> list[Effect] | None:
        """Answer a request; None if a leader does not take this kind of message."""
        match message:
            case Renew() | Join():
                return self.registrar.on_join_or_renew(peer, message, now)
            case Ready():
                return self.newcomers.on_ready(peer, message, now)
            case Drain():
                return self._drain_requests.on_drain(peer, message)
            case Leave():
                return self.registrar.on_leave(peer, message)
            case ReportGone():
                return self.failure_checks.on_report_gone(peer, message, now)
            case _:
                return self._on_operators_request(peer, message, now)

    def _on_operators_request(
        self, peer: Peer, message: Message, now: float
    ) -> list[Effect] | None:
        match message:
            case SetSetting():
                return self._settings.on_set_setting(peer, message)
            case FetchSettings():
                return self._settings.on_fetch_settings(peer, message)
            case SetReplicaCount():
                return self._replica_counts.on_set_replica_count(peer, message)
            case AddMeta():
                return self.voters.on_add_meta(peer, message)
            case RemoveMeta():
                return self.voters.on_remove_meta(peer, message)
            case FetchMetaNodes():
                copying = self._memory.copy_progress.unfinished(self._state.membership)
                loads = self._memory.client_counts.all()
                missing = (self._loss_watch.gone(now), self.departures.silent)
                return self.voters.on_fetch_meta_nodes(peer, message, copying, loads, *missing)
            case DismissLoss():
                return self._loss_requests.on_dismiss(peer, message)
            case _:
                return None

    def on_event(self, event: PeerUp | PeerLost, now: float) -> list[Effect]:
        """Take an event of a node's connection, or the result of a check of its address."""
        if event.link is Link.CHECKS:
            return self.failure_checks.on_check(event, now)
        return self.failure_checks.on_node_lost(event.peer, now)

    def tick(self, now: float) -> list[Effect]:
        """Evict, forget, end drains and waits, and check; then keep the nodes of meta up to date.

        Departures come first, so that a node which departs in this tick does not begin to work.
        """
        effects = [
            *self.departures.tick(now),
            *self._loss_requests.tick(now),
            *self.newcomers.tick(now),
            *self.failure_checks.tick(now),
            *self.meta_members.tick(now),
        ]
        self.voter_upkeep.tick()
        return effects
