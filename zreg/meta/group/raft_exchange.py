"""Raft's messages with the other meta nodes: requests to them, and answers to theirs."""

from collections.abc import Sequence

from zreg.effects import (
    Effect,
    Link,
    Local,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.errors import DeniedError
from zreg.meta.peers.meta_peers import MetaPeers
from zreg.raft.consensus import RaftCore
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.meta_messages import IntroduceMeta, MetaDeclined, MetaIntroduced
from zreg.wire.records.raft_messages import Reply, Request


class RaftExchange:
    """The requests under way to other meta nodes, and from them.

    A peer is asked one thing at a time (REQ). Its requests are answered within the turn in which
    they came; later the reactor has answered them itself.
    """

    def __init__(self, raft: RaftCore, peers: MetaPeers, node_id: str) -> None:
        self._raft = raft
        self._peers = peers
        self._node_id = node_id
        # The sequence number of the last request to each peer.
        self._asked: dict[str, int] = {}
        # The connection of each request in this turn, by sender and sequence number.
        self._askers: dict[tuple[str, int], Peer] = {}
        # Requests of unknown nodes or for other nodes, and answers that no request waits for.
        self.unexpected_count = 0

    def __repr__(self) -> str:
        """Show how many requests wait for an answer."""
        return f"<RaftExchange asked={len(self._asked)} askers={len(self._askers)}>"

    # --- inputs ------------------------------------------------------------------------------

    def on_answer(self, peer: str, message: Message, now: float) -> list[Effect]:
        """Take an answer of another meta node."""
        if isinstance(message, Reply) and message.sender == peer:
            if self._peers.is_up(peer):
                self._raft.step(message)
            return []
        match message:
            case MetaIntroduced():
                return self._peers.on_meta_introduced(peer, message, now)
            case MetaDeclined():
                self._give_up(peer)
                return self._peers.on_meta_declined(peer, message, now)
            case Refused():
                self._give_up(peer)
                return self._peers.on_refused(peer, message, now)
            case Accepted():
                return []
            case _:
                self.unexpected_count += 1
                return []

    def on_request(self, peer: Peer, message: Message) -> list[Effect]:
        """Take a request of another meta node."""
        if isinstance(message, IntroduceMeta):
            return self._peers.on_introduce_meta(peer, message)
        if not isinstance(message, Request):
            self.unexpected_count += 1
            return []
        if not self._peers.introductions.may_ask(message.sender):
            self.unexpected_count += 1
            detail = f"{message.sender} has not said who it is since {self._node_id} started"
            return [Send(Link.RAFT_ANSWER, peer, Refused(0, DeniedError.code, detail))]
        if message.receiver != self._node_id:
            self.unexpected_count += 1
        self._askers[message.sender, message.sequence] = peer
        self._raft.step(message)
        return []

    def on_event(self, event: Local, now: float) -> list[Effect]:
        """Take an event of the connection to a peer."""
        match event:
            case PeerUp(link=Link.RAFT_ASK):
                return self._peers.on_peer_up(str(event.peer), now)
            case PeerLost(link=Link.RAFT_ASK):
                self._give_up(str(event.peer))
                return self._peers.on_peer_lost(str(event.peer), now)
            case PeerIncompatible(link=Link.RAFT_ASK):
                return self._peers.on_peer_incompatible(str(event.peer), event.detail, now)
            case _:
                return []

    def _give_up(self, peer: str) -> None:
        sequence = self._asked.pop(peer, None)
        if sequence is not None:
            self._raft.unreachable(peer, sequence)

    # --- outputs -----------------------------------------------------------------------------

    def send(self, requests: Sequence[Request], unsent: list[Request]) -> list[Effect]:
        """Send requests to the peers that are up; add the others to `unsent`."""
        effects: list[Effect] = []
        for request in requests:
            peer = request.receiver
            if self._peers.is_up(peer):
                self._asked[peer] = request.sequence
                effects.append(Send(Link.RAFT_ASK, peer, request))
            else:
                unsent.append(request)
        return effects

    def answer(self, reply: Reply) -> list[Effect]:
        """Answer a request of this turn."""
        asker = self._askers.pop((reply.receiver, reply.sequence), None)
        return [] if asker is None else [Send(Link.RAFT_ANSWER, asker, reply)]

    def end_turn(self) -> None:
        """Forget the requests that were not answered: the reactor answers them."""
        self._askers.clear()
