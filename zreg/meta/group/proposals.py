"""How the leader's components propose commands, and how a request is refused if that fails."""

from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import LimitError, NotLeaderError
from zreg.meta.group.quorum_alarm import QuorumAlarm
from zreg.meta.group.raft_driver import RaftDriver
from zreg.meta.group.raft_requests import OnApplied, OnConfirmed
from zreg.meta.state.meta_state import MetaState
from zreg.raft.errors import CommandTooLargeError, OverloadedError, RaftError
from zreg.wire.log_commands import AnyCommand
from zreg.wire.parts import cut_detail
from zreg.wire.records.common_messages import Refused


def refused(peer: Peer, request_id: int, code: int, detail: str) -> Send:
    """Return the refusal of a node's or an operator's request."""
    return Send(Link.NODES, peer, Refused(request_id, code, detail))


class Proposals:
    """Proposes what the leader decides."""

    def __init__(
        self, raft_driver: RaftDriver, state: MetaState, quorum_alarm: QuorumAlarm, node_id: str
    ) -> None:
        self._raft = raft_driver.raft
        self._requests = raft_driver.requests
        self._state = state
        self._quorum_alarm = quorum_alarm
        self._node_id = node_id

    def propose(self, command: AnyCommand, on_applied: OnApplied, now: float) -> list[Effect]:
        """Propose what the leader itself wants; if that fails, `on_applied` gets None at once."""
        try:
            self._requests.propose(command, on_applied)
        except RaftError:
            return list(on_applied(None, now))
        return []

    def propose_for(
        self, peer: Peer, request_id: int, command: AnyCommand, on_applied: OnApplied
    ) -> list[Effect]:
        """Propose what a request asks for; if that fails, refuse the request."""
        try:
            self._requests.propose(command, on_applied)
        except (OverloadedError, CommandTooLargeError) as error:
            return [refused(peer, request_id, LimitError.code, f"meta: {error}")]
        except RaftError:
            return [self.not_leading(peer, request_id)]
        return []

    def read_for(self, peer: Peer, request_id: int, on_confirmed: OnConfirmed) -> list[Effect]:
        """Wait until a read may be answered; if that fails, refuse the request."""
        try:
            self._requests.read(on_confirmed)
        except OverloadedError as error:
            return [refused(peer, request_id, LimitError.code, f"meta: {error}")]
        except RaftError:
            return [self.not_leading(peer, request_id)]
        return []

    def not_leading(self, peer: Peer, request_id: int) -> Send:
        """Return the refusal that names the leader, or says why there is none."""
        leader = self._raft.leader
        member = self._state.membership.living(leader) if leader is not None else None
        is_elsewhere = member is not None and leader != self._node_id
        address = member.address if member is not None and is_elsewhere else ""
        usual = "another meta node leads" if address else "the meta nodes are electing a leader"
        detail = cut_detail(self._quorum_alarm.sentence()) or usual
        refusal = Refused(request_id, NotLeaderError.code, detail, address=address)
        return Send(Link.NODES, peer, refusal)
