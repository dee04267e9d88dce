"""Which nodes meta has: the leader adds and removes them, and keeps what others know up to date.

Raft's configuration is the list of meta's nodes; the membership shows them to everybody else and
follows it. People ask for one change at a time. What follows from a change is the leader's
housekeeping, looked at again with every tick, so that it survives the loss of any leader: the vote
of a learner that has caught up, journals and addresses as nodes tell them, nodes to be shown, and
nodes to be shown no more.
"""

from collections.abc import Callable, Sequence
from typing import Final

from zreg.config import Limits
from zreg.effects import INFO, WARNING, Effect, Link, Log, Peer, Send
from zreg.errors import DeniedError, LimitError, NotReadyError, UsageError, VersionMismatchError
from zreg.meta.group.raft_driver import TICK_SECONDS, RaftDriver, Waiter
from zreg.meta.members.member_registrar import Propose
from zreg.meta.refusals import refused
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.model import Member, Role, checked_node_id
from zreg.raft.config import RaftConfig
from zreg.raft.configuration import VOTER_COUNT_MAX, Configuration, check_change
from zreg.raft.errors import ConfigurationError, NotLeaderError, RaftError
from zreg.raft.progress import CatchUpState
from zreg.raft.quorum import majority
from zreg.raft.status import PeerStatus
from zreg.wire.common_messages import Accepted, Refused
from zreg.wire.log_commands import AdmitMeta, DropMeta
from zreg.wire.membership_messages import Join
from zreg.wire.meta_messages import (
    AddMeta,
    FetchMetaNodes,
    MetaNodesReply,
    MetaNodeState,
    MetaNodeStatus,
    RemoveMeta,
)

# As many more as one can fail at a time, and their address can be typed wrongly.
_LEARNERS_MAX: Final = 2
# Who was silent for longer does not count as running.
_ALIVE_TICKS: Final = 2 * RaftConfig(node_id="").election_ticks


class Voters:
    """The nodes of meta."""

    def __init__(
        self,
        member: Member,
        state: MetaState,
        agreement: RaftDriver,
        propose: Propose,
        elsewhere: Callable[[Peer, int], Send],
    ) -> None:
        self._member = member
        self._state = state
        self._agreement = agreement
        self._propose = propose
        self._elsewhere = elsewhere
        self._request_id = 0
        # Nodes whose removal from the membership was proposed and is not applied yet.
        self._dropping: dict[str, None] = {}

    def __repr__(self) -> str:
        """Show the nodes."""
        return f"<Voters {', '.join(self._agreement.raft.configuration.members)}>"

    # --- what people ask ---------------------------------------------------------------------

    def add(self, peer: Peer, message: AddMeta) -> list[Effect]:
        """Take a node in as a learner; its vote comes when it has caught up."""
        configuration = self._agreement.raft.configuration
        known = configuration.addresses.get(message.node_id)
        if known == message.address:
            return [Send(Link.NODES, peer, Accepted((message.request_id,)))]
        if (refusal := self._outdated(peer, message)) is not None:
            return [refusal]
        if (objection := self._objection(configuration, message, known)) is not None:
            return [refused(peer, message.request_id, *objection)]
        new = configuration.with_learner(message.node_id, message.address)
        return self._change(new, peer, message.request_id)

    def _objection(
        self, configuration: Configuration, message: AddMeta, known: str | None
    ) -> tuple[int, str] | None:
        """Return why a node cannot be taken in: a code, and a sentence for the operator."""
        node_id, my_id = message.node_id, self._member.node_id
        if known is not None:
            return DeniedError.code, f"{node_id} is a node of meta already, at {known}"
        try:
            checked_node_id(node_id)
        except UsageError as error:
            return DeniedError.code, str(error)
        present = self._state.membership.living(node_id)
        if present is not None and present.role is not Role.META:
            role = present.role.name.lower()
            return DeniedError.code, f"node id {node_id!r} is in use by a {role} node"
        if not configuration.addresses.get(my_id):
            return DeniedError.code, (
                f"{my_id} runs without --peer, and no other node can reach it: "
                f"restart it with --dir and --peer {my_id}=HOST:PORT first"
            )
        if (other := _at(configuration, message.address)) is not None:
            address = message.address.removeprefix("tcp://")
            return DeniedError.code, f"{other} is at {address} already"
        if len(configuration.members) >= VOTER_COUNT_MAX:
            return LimitError.code, f"meta has its {VOTER_COUNT_MAX} nodes: remove one first"
        if len(configuration.learners) >= _LEARNERS_MAX:
            waiting = ", ".join(configuration.learners)
            return LimitError.code, f"{waiting} have not caught up yet: wait, or remove"
        return None

    def remove(self, peer: Peer, message: RemoveMeta) -> list[Effect]:
        """Go on without a node; the leader hands over before it can be removed."""
        raft = self._agreement.raft
        node_id, configuration = message.node_id, raft.configuration
        if node_id not in configuration.members:
            return [Send(Link.NODES, peer, Accepted((message.request_id,)))]
        if (refusal := self._outdated(peer, message)) is not None:
            return [refusal]
        new = configuration.without(node_id)
        if (refusal := self._needed(peer, message, new)) is not None:
            return [refusal]
        if node_id == self._member.node_id and new.voters:
            self.hand_over()
            detail = f"{node_id} leads and hands over first: ask again"
            return [refused(peer, message.request_id, NotReadyError.code, detail)]
        return self._change(new, peer, message.request_id)

    def _outdated(self, peer: Peer, message: AddMeta | RemoveMeta) -> Effect | None:
        """Refuse what was decided on other members: a copy may come when all is done and undone."""
        term, index = self._agreement.raft.log.configuration_position
        if message.configuration_index == index and message.configuration_term in (0, term):
            return None
        detail = "the nodes of meta have changed meanwhile: look (`zreg meta ls`), then ask again"
        return refused(peer, message.request_id, VersionMismatchError.code, detail)

    def fetch(self, peer: Peer, message: FetchMetaNodes) -> list[Effect]:
        """Show the nodes of meta as the leader sees them."""
        status = self._agreement.raft.status()
        troubles = self._agreement.peers.troubles()
        nodes = tuple(
            MetaNodeStatus(
                node_id,
                status.configuration.addresses[node_id],
                _state_of(peer_status),
                peer_status.match_index if peer_status else status.last_index,
                int(peer_status.silent_ticks * TICK_SECONDS * 1000) if peer_status else 0,
                troubles.get(node_id, "")[: Limits.detail_characters_max],
            )
            for node_id in sorted(status.configuration.members)
            for peer_status in (status.peers.get(node_id),)
        )
        term, index = self._agreement.raft.log.configuration_position
        request_id, last_index = message.request_id, status.last_index
        reply = MetaNodesReply(request_id, status.term, last_index, index, nodes, term)
        return [Send(Link.NODES, peer, reply)]

    def _needed(self, peer: Peer, message: RemoveMeta, new: Configuration) -> Effect | None:
        """Refuse to remove a node without which too few would answer, or may do so."""
        needed_count = majority(len(new.voters))
        silent, unheard = self._silent_voters(new)
        if not new.voters or len(new.voters) - len(silent) - len(unheard) >= needed_count:
            return None
        if len(new.voters) - len(silent) >= needed_count:
            detail = f"{self._member.node_id} has not heard {', '.join(unheard)} yet: ask again"
            return refused(peer, message.request_id, NotReadyError.code, detail)
        detail = (
            f"without {message.node_id}, {needed_count} of {', '.join(new.voters)} must "
            f"run, and {', '.join(silent)} do not answer: start them, or remove those first"
        )
        return refused(peer, message.request_id, DeniedError.code, detail)

    def _silent_voters(self, configuration: Configuration) -> tuple[list[str], list[str]]:
        """Return who does not answer, and who has not yet answered this leader, or just now."""
        silent, unheard = [], []
        for voter, status in self._agreement.raft.status().peers.items():
            if voter not in configuration.voters:
                continue
            if status.silent_ticks > _ALIVE_TICKS:
                silent.append(voter)
            elif not status.match_index or not self._agreement.peers.is_up(voter):
                unheard.append(voter)
        return silent, unheard

    def _change(self, new: Configuration, peer: Peer, request_id: int) -> list[Effect]:
        """Propose a change of one member, and answer when it is applied."""

        def answer(applied: Applied | None, _now: float) -> Sequence[Effect]:
            if applied is None:
                detail = "the leader of meta changed meanwhile: ask again"
                return [refused(peer, request_id, NotReadyError.code, detail)]
            return [Send(Link.NODES, peer, Accepted((request_id,)))]

        try:
            check_change(self._agreement.raft.configuration, new)
        except ConfigurationError as error:
            return [refused(peer, request_id, DeniedError.code, f"meta: {error}")]
        try:
            self._agreement.change_configuration(new, answer)
        except NotLeaderError:
            return [self._elsewhere(peer, request_id)]
        except RaftError as error:
            detail = f"meta: {error}: ask again"
            return [refused(peer, request_id, NotReadyError.code, detail)]
        return []

    def hand_over(self) -> bool:
        """Have the best other voter lead, if this node leads and there is one; return whether."""
        raft = self._agreement.raft.status()
        if raft.transfer_target is not None:
            # Begun anew with every question it would never be given up.
            return True
        candidates = [
            (status.match_index, node_id)
            for node_id, status in raft.peers.items()
            if status.catch_up is None
            and status.silent_ticks <= _ALIVE_TICKS
            and self._agreement.peers.is_up(node_id)
        ]
        if not candidates:
            return False
        self._agreement.raft.transfer_leader(max(candidates)[1])
        return True

    # --- housekeeping ------------------------------------------------------------------------

    def tick(self) -> list[Effect]:
        """As the leader, see to what follows from the configuration."""
        raft = self._agreement.raft
        if not raft.is_configuration_committed:
            return []
        effects = self._drop_removed()
        new, event = self._next_configuration()
        if new is not None:
            try:
                self._agreement.change_configuration(new, lambda _applied, _now: [event])
            except RaftError:
                # Not now: the lead is being handed over, or has committed nothing yet.
                return effects
        return effects

    def _next_configuration(self) -> tuple[Configuration | None, Log]:
        """Return what the next change of the nodes should be, and how to tell of it."""
        configuration = self._agreement.raft.configuration
        known = self._agreement.peers.known
        for node_id in configuration.members:
            is_me = node_id == self._member.node_id
            them = self._agreement.peers.identity if is_me else known.get(node_id)
            if them is None:
                continue
            fields: dict[str, str | int | float] = {"node_id": node_id, "address": them.address}
            journal_id = configuration.journals.get(node_id)
            if journal_id is None and them.journal_id:
                new = configuration.with_journal(node_id, them.journal_id)
                return new, Log(INFO, "raft.member.known", fields)
            # Where another one is it will not be found: that address is a slip.
            is_moved = bool(them.address) and _at(configuration, them.address) is None
            if is_moved and journal_id == them.journal_id:
                new = configuration.with_address(node_id, them.address)
                return new, Log(INFO, "raft.member.moved", fields)
            is_ready = self._agreement.raft.catch_up_state(node_id) is CatchUpState.READY
            if node_id in configuration.learners and is_ready and journal_id is not None:
                return configuration.with_voter(node_id), Log(INFO, "raft.member.votes", fields)
        return None, _NOTHING

    def _drop_removed(self) -> list[Effect]:
        """Have the membership show no nodes of meta that are none any more."""
        members = self._agreement.raft.configuration.members
        effects: list[Effect] = []
        for shown in self._state.membership.of(Role.META):
            if shown.node_id not in members and shown.node_id not in self._dropping:
                self._dropping[shown.node_id] = None
                effects += self._propose(DropMeta(shown.node_id), "", 0, self._dropped(shown))
        return effects

    def _dropped(self, member: Member) -> Waiter:
        def answer(applied: Applied | None, _now: float) -> Sequence[Effect]:
            self._dropping.pop(member.node_id, None)
            if applied is None or not applied.is_changed:
                return []
            fields: dict[str, str | int | float] = {
                "node_id": member.node_id,
                "epoch": self._state.epoch,
            }
            return [Log(WARNING, "raft.member.removed", fields)]

        return answer

    # --- showing nodes of meta to everybody --------------------------------------------------

    def begin(self) -> list[Effect]:
        """Begin to lead: show this node."""
        self._dropping.clear()
        return self._show(self._member)

    def shown(self, peer: Peer, join: Join) -> list[Effect]:
        """As the leader, show another node of meta that asks for it."""
        members = self._agreement.raft.configuration.members
        if join.member.role is not Role.META or join.member.node_id not in members:
            return []
        if not self._agreement.peers.may_ask(join.member.node_id):
            # Else whoever reaches this port could send all nodes to an address of its own.
            detail = f"{join.member.node_id} has not said who it is"
            no = Refused(join.request_id, DeniedError.code, detail)
            return [Send(Link.RAFT_ANSWER, peer, no)]
        accepted = Send(Link.RAFT_ANSWER, peer, Accepted((join.request_id,)))
        return [*self._show(join.member), accepted]

    def show_myself(self) -> list[Effect]:
        """As a follower, ask the leader to have this node shown, unless it is."""
        leader = self._agreement.raft.leader
        if (
            leader is None
            or self._is_shown(self._member)
            or not self._agreement.peers.is_up(leader)
        ):
            return []
        self._request_id += 1
        cluster_id, epoch = self._state.membership.cluster_id, self._state.epoch
        join = Join(self._request_id, self._member, cluster_id, epoch)
        return [Send(Link.RAFT_ASK, leader, join)]

    def _show(self, member: Member) -> list[Effect]:
        present = self._state.membership.living(member.node_id)
        is_taken = present is not None and present.role is not Role.META
        if is_taken or self._is_shown(member):
            # A session or data node of its name came first: asked for twice a second, in vain.
            return []
        return self._propose(AdmitMeta(member), "", 0, lambda _applied, _now: [])

    def _is_shown(self, member: Member) -> bool:
        present = self._state.membership.living(member.node_id)
        return present is not None and present.process_id == member.process_id


_NOTHING: Final = Log(INFO, "", {})


def _at(configuration: Configuration, address: str) -> str | None:
    return next((each for each, at in configuration.addresses.items() if at == address), None)


def _state_of(peer: PeerStatus | None) -> MetaNodeState:
    if peer is None:
        return MetaNodeState.LEADER
    if peer.catch_up is None:
        return MetaNodeState.VOTER
    is_stuck = peer.catch_up is CatchUpState.FAILED
    return MetaNodeState.STUCK if is_stuck else MetaNodeState.LEARNER
