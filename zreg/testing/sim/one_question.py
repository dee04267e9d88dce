"""A simulated command: it asks one node one question, and keeps the answers."""

from collections.abc import Sequence
from typing import Final

from zreg.effects import Connect, Effect, Link, Local, Peer, PeerUp, Send
from zreg.wire.messages import Message

# The name of the connection.
TARGET: Final = "target"


class OneQuestion:
    """A core that connects to an address and asks there once; without a question it only hears."""

    epoch = 0

    def __init__(self, link: Link, address: str, question: Message | None = None) -> None:
        self.link = link
        self._address = address
        self._question = question
        self.answers: list[Message] = []

    def start(self, now: float) -> Sequence[Effect]:
        """Connect."""
        del now
        return [Connect(self.link, TARGET, self._address)]

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Ask once there is a connection; keep what comes."""
        del link, peer, now
        if isinstance(message, PeerUp) and self._question is not None:
            return [Send(self.link, TARGET, self._question)]
        if not isinstance(message, Local):
            self.answers.append(message)
        return []

    def tick(self, now: float) -> Sequence[Effect]:
        """Do nothing."""
        del now
        return []

    def settle(self, now: float) -> Sequence[Effect]:
        """Do nothing."""
        del now
        return []

    def next_tick_at(self) -> float | None:
        """Return that nothing is due."""
        return None

    def statistics(self) -> dict[str, int | float | str]:
        """Return nothing."""
        return {}
