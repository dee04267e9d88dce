"""The answers to clients that are collected during a turn, and sent once when it ends."""

from collections import defaultdict

from zreg.effects import Effect, Link, Peer, Send
from zreg.wire.parts import accepted_records
from zreg.wire.records.client_messages import WhoAreYou


class TurnAnswers:
    """The accepted requests of this turn by peer, and the peers that must identify themselves."""

    def __init__(self) -> None:
        # By peer and number of copies.
        self._accepted: defaultdict[tuple[Peer, int], list[int]] = defaultdict(list)
        self._unidentified: dict[Peer, None] = {}

    def accept(self, peer: Peer, request_id: int, copies: int = 1) -> None:
        """Tell a client that a request of it is done, and how many data nodes hold it."""
        self._accepted[peer, copies].append(request_id)

    def ask_who(self, peer: Peer) -> None:
        """Ask a peer to identify itself: it then says Hello, and replays what it wants."""
        self._unidentified[peer] = None

    def on_hello(self, peer: Peer) -> None:
        """Do not ask a peer that has just said Hello."""
        self._unidentified.pop(peer, None)

    def settle(self) -> list[Effect]:
        """Return the messages of this turn."""
        effects: list[Effect] = [
            Send(Link.CLIENTS, peer, accepted)
            for (peer, copies), request_ids in self._accepted.items()
            for accepted in accepted_records(request_ids, copies)
        ]
        self._accepted.clear()
        effects += [Send(Link.CLIENTS, peer, WhoAreYou()) for peer in self._unidentified]
        self._unidentified.clear()
        return effects
