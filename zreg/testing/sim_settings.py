"""Somebody who writes settings all the time, and remembers which writes were acknowledged."""

from collections.abc import Sequence
from typing import Final

from zreg.effects import Connect, Disconnect, Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.wire.messages import Message, Refused
from zreg.wire.settings_messages import SetSetting, SettingsReply

_NAME_COUNT: Final = 5
_PAUSE_SECONDS: Final = 0.1
_ANSWER_SECONDS_MAX: Final = 1.0


class SettingsWriter:
    """A core that sets one setting after the other at whichever meta node leads.

    Each write has a value above all before it, so `acknowledged` says what a setting may hold in
    the end: that value, or a later one whose answer was lost.
    """

    epoch = 0

    def __init__(self, addresses: Sequence[str]) -> None:
        self.acknowledged: dict[str, int] = {}
        self._addresses = list(addresses)
        self._number = 0
        self._address = ""
        self._is_up = False
        self._next_at = 0.0

    def start(self, now: float) -> Sequence[Effect]:
        """Connect to the first address."""
        return self._go_on("", now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take an answer, or go where the leader is."""
        del link
        match message:
            case PeerUp() if message.peer == self._address:
                self._is_up = True
                return self._write(now)
            case PeerLost() if message.peer == self._address:
                self._is_up = False
            case SettingsReply(request_id=self._number) if peer == self._address:
                self.acknowledged[self._name()] = self._number
                self._next_at = now + _PAUSE_SECONDS
            case Refused(request_id=self._number) if peer == self._address:
                return self._go_on(message.address, now)
            case _:
                pass
        return ()

    def tick(self, now: float) -> Sequence[Effect]:
        """Write the next, or give up on an address."""
        if self._is_up and self._name() in self.acknowledged and self._is_answered():
            return self._write(now)
        return self._go_on("", now)

    def settle(self, now: float) -> Sequence[Effect]:
        """Return nothing: there is nothing to join."""
        del now
        return ()

    def next_tick_at(self) -> float | None:
        """When to write, or to look elsewhere."""
        return self._next_at

    def statistics(self) -> dict[str, int | float | str]:
        """Return how much was written."""
        return {"written": self._number, "acknowledged": sum(self.acknowledged.values())}

    def _name(self) -> str:
        return f"setting-{self._number % _NAME_COUNT}"

    def _is_answered(self) -> bool:
        return self.acknowledged[self._name()] == self._number

    def _write(self, now: float) -> list[Effect]:
        self._number += 1
        self._next_at = now + _ANSWER_SECONDS_MAX
        write = SetSetting(self._number, self._name(), str(self._number))
        return [Send(Link.META, self._address, write)]

    def _go_on(self, address: str, now: float) -> list[Effect]:
        former, self._is_up = self._address, False
        if not address:
            self._addresses.append(self._addresses.pop(0))
        self._address = address or self._addresses[0]
        self._next_at = now + (_ANSWER_SECONDS_MAX if address else 3 * _PAUSE_SECONDS)
        leave: list[Effect] = [Disconnect(Link.META, former)] if former else []
        return [*leave, Connect(Link.META, self._address, self._address)]
