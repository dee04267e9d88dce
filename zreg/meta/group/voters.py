"""Which nodes meta has: operators list, add and remove them, one change at a time.

Raft's configuration is the list. What follows from a change is done by `VoterUpkeep`, and
`MetaMembers` shows the nodes in the membership.
"""

from collections.abc import Sequence
from typing import Final

from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import DeniedError, LimitError, NotReadyError, UsageError, VersionMismatchError
from zreg.meta.group.leader_handover import LeaderHandover
from zreg.meta.group.proposals import Proposals, refused
from zreg.meta.group.raft_driver import ALIVE_TICKS, TICK_SECONDS, RaftDriver
from zreg.meta.group.voter_upkeep import node_at
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.model import Incarnation, Role, checked_node_id
from zreg.raft.configuration import VOTER_COUNT_MAX, Configuration, check_change
from zreg.raft.errors import ConfigurationError, NotLeaderError, RaftError
from zreg.raft.leader.progress import CatchUpState
from zreg.raft.leader.quorum import majority
from zreg.raft.status import PeerStatus
from zreg.tcp_address import why_no_address
from zreg.wire.parts import cut_detail
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import GoneNode, SessionLoad
from zreg.wire.records.meta_messages import (
    GONE_NODES_MAX,
    AddMeta,
    CopyProgress,
    FetchMetaNodes,
    MetaNodesReply,
    MetaNodeState,
    MetaNodeStatus,
    RemoveMeta,
)

# One more than can fail at a time, in case the address of one was typed wrongly.
_LEARNERS_MAX: Final = 2


class Voters:
    """Answers operators about the nodes of meta, as their leader."""

    def __init__(
        self,
        node_id: str,
        state: MetaState,
        raft_driver: RaftDriver,
        proposals: Proposals,
        handover: LeaderHandover,
    ) -> None:
        self._node_id = node_id
        self._state = state
        self._raft_driver = raft_driver
        self._proposals = proposals
        self._handover = handover

    def __repr__(self) -> str:
        """Show the nodes."""
        return f"<Voters {', '.join(self._raft_driver.raft.configuration.members)}>"

    def on_fetch_meta_nodes(
        self,
        peer: Peer,
        message: FetchMetaNodes,
        copying: tuple[CopyProgress, ...] = (),
        loads: tuple[SessionLoad, ...] = (),
        gone: tuple[GoneNode, ...] = (),
        silent: tuple[Incarnation, ...] = (),
    ) -> list[Effect]:
        """List the nodes of meta as the leader sees them, and what other nodes told it."""
        status = self._raft_driver.raft.status()
        missing = self._raft_driver.peers.missing()
        nodes = tuple(
            MetaNodeStatus(
                node_id,
                status.configuration.addresses[node_id],
                _state_of(peer_status),
                peer_status.match_index if peer_status else status.last_index,
                int(peer_status.silent_ticks * TICK_SECONDS * 1000) if peer_status else 0,
                cut_detail(missing.get(node_id, "")),
            )
            for node_id in sorted(status.configuration.members)
            for peer_status in (status.peers.get(node_id),)
        )
        term, index = self._raft_driver.raft.log.configuration_position
        request_id, last_index = message.request_id, status.last_index
        told = copying, loads, gone, silent[:GONE_NODES_MAX]
        reply = MetaNodesReply(request_id, status.term, last_index, index, nodes, term, *told)
        return [Send(Link.NODES, peer, reply)]

    # --- adding ------------------------------------------------------------------------------

    def on_add_meta(self, peer: Peer, message: AddMeta) -> list[Effect]:
        """Add a node as a learner; it gets its vote when it has caught up.

        A node that was added, and not found so far, can be added again at its right address.
        """
        configuration = self._raft_driver.raft.configuration
        known = configuration.addresses.get(message.node_id)
        if known == message.address:
            return [Send(Link.NODES, peer, Accepted((message.request_id,)))]
        if (refusal := self._refusal_if_outdated(peer, message)) is not None:
            return [refusal]
        if (objection := self._objection(configuration, message, known)) is not None:
            return [refused(peer, message.request_id, *objection)]
        new = configuration.with_learner(message.node_id, message.address)
        return self._change(new, peer, message.request_id)

    def _objection(
        self, configuration: Configuration, message: AddMeta, known: str | None
    ) -> tuple[int, str] | None:
        """Return why a node cannot be added: a code, and a sentence for the operator."""
        node_id, me = message.node_id, self._node_id
        is_unmet = node_id in configuration.learners and node_id not in configuration.journals
        if known is not None and not is_unmet:
            at = known.removeprefix("tcp://")
            return DeniedError.code, (
                f"{node_id} is a node of meta already, at {at}: when it moves, it tells the others"
            )
        try:
            checked_node_id(node_id)
        except UsageError as error:
            return DeniedError.code, str(error)
        if (why := why_no_address(message.address)) is not None:
            return DeniedError.code, f"{message.address!r} is no address of a node: {why}"
        present = self._state.membership.living(node_id)
        if present is not None and present.role is not Role.META:
            role = present.role.name.lower()
            return DeniedError.code, f"node id {node_id!r} is in use by a {role} node"
        if not configuration.addresses.get(me):
            return DeniedError.code, (
                f"{me} runs without --peer, and no other node can reach it: "
                f"restart it with --dir and --peer {me}=HOST:PORT first"
            )
        if (other := node_at(configuration, message.address)) is not None:
            address = message.address.removeprefix("tcp://")
            return DeniedError.code, f"{other} is at {address} already"
        if is_unmet:
            return None
        if len(configuration.members) >= VOTER_COUNT_MAX:
            return LimitError.code, f"meta has its {VOTER_COUNT_MAX} nodes: remove one first"
        if len(configuration.learners) >= _LEARNERS_MAX:
            waiting = ", ".join(configuration.learners)
            return LimitError.code, f"{waiting} have not caught up yet: wait, or remove"
        return None

    # --- removing ----------------------------------------------------------------------------

    def on_remove_meta(self, peer: Peer, message: RemoveMeta) -> list[Effect]:
        """Remove a node; the leader hands over before it can be removed itself."""
        raft = self._raft_driver.raft
        node_id, configuration = message.node_id, raft.configuration
        if node_id not in configuration.members:
            return [Send(Link.NODES, peer, Accepted((message.request_id,)))]
        if (refusal := self._refusal_if_outdated(peer, message)) is not None:
            return [refusal]
        new = configuration.without(node_id)
        if (refusal := self._refusal_if_needed(peer, message, new)) is not None:
            return [refusal]
        if node_id == self._node_id and new.voters:
            self._handover.transfer()
            detail = f"{node_id} leads and hands over first: ask again"
            return [refused(peer, message.request_id, NotReadyError.code, detail)]
        return self._change(new, peer, message.request_id)

    def _refusal_if_needed(
        self, peer: Peer, message: RemoveMeta, new: Configuration
    ) -> Effect | None:
        """Return a refusal if the other voters that answer would be, or may be, no majority."""
        needed_count = majority(len(new.voters))
        silent, unheard = self._silent_voters(new)
        if not new.voters or len(new.voters) - len(silent) - len(unheard) >= needed_count:
            return None
        if len(new.voters) - len(silent) >= needed_count:
            detail = f"{self._node_id} has not heard {', '.join(unheard)} yet: ask again"
            return refused(peer, message.request_id, NotReadyError.code, detail)
        detail = (
            f"without {message.node_id}, {needed_count} of {', '.join(new.voters)} must "
            f"run, and {', '.join(silent)} do not answer: start them, or remove those first"
        )
        return refused(peer, message.request_id, DeniedError.code, detail)

    def _silent_voters(self, configuration: Configuration) -> tuple[list[str], list[str]]:
        """Return which voters do not answer, and which this leader has not heard (again) yet."""
        silent, unheard = [], []
        for voter, status in self._raft_driver.raft.status().peers.items():
            if voter not in configuration.voters:
                continue
            if status.silent_ticks > ALIVE_TICKS:
                silent.append(voter)
            elif not status.match_index or not self._raft_driver.peers.is_up(voter):
                unheard.append(voter)
        return silent, unheard

    # --- changing ----------------------------------------------------------------------------

    def _refusal_if_outdated(self, peer: Peer, message: AddMeta | RemoveMeta) -> Effect | None:
        """Return a refusal if the nodes have changed since the operator listed them.

        Otherwise a late copy of a request could undo a later change.
        """
        term, index = self._raft_driver.raft.log.configuration_position
        if message.configuration_index == index and message.configuration_term in (0, term):
            return None
        detail = "the nodes of meta have changed meanwhile: look (`zreg meta ls`), then ask again"
        return refused(peer, message.request_id, VersionMismatchError.code, detail)

    def _change(self, new: Configuration, peer: Peer, request_id: int) -> list[Effect]:
        """Propose a change of one member, and answer when it is applied."""

        def answer(applied: Applied | None, _now: float) -> Sequence[Effect]:
            if applied is None:
                detail = "the leader of meta changed meanwhile: ask again"
                return [refused(peer, request_id, NotReadyError.code, detail)]
            return [Send(Link.NODES, peer, Accepted((request_id,)))]

        try:
            check_change(self._raft_driver.raft.configuration, new)
        except ConfigurationError as error:
            return [refused(peer, request_id, DeniedError.code, f"meta: {error}")]
        try:
            self._raft_driver.requests.change_configuration(new, answer)
        except NotLeaderError:
            return [self._proposals.not_leading(peer, request_id)]
        except RaftError as error:
            detail = f"meta: {error}: ask again"
            return [refused(peer, request_id, NotReadyError.code, detail)]
        return []


def _state_of(peer: PeerStatus | None) -> MetaNodeState:
    if peer is None:
        return MetaNodeState.LEADER
    if peer.catch_up is None:
        return MetaNodeState.VOTER
    is_stuck = peer.catch_up is CatchUpState.FAILED
    return MetaNodeState.STUCK if is_stuck else MetaNodeState.LEARNER
