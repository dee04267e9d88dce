"""Somebody who changes settings all the time, and checks that each change happens once."""

from collections.abc import Sequence
from typing import Final

import msgspec

from zreg.effects import Connect, Disconnect, Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.errors import VersionMismatchError
from zreg.wire.common_messages import Refused
from zreg.wire.messages import Message
from zreg.wire.settings_messages import FetchSettings, SetSetting, Setting, SettingsReply

_NAME_COUNT: Final = 5
_PAUSE_SECONDS: Final = 0.1
_ANSWER_SECONDS_MAX: Final = 1.0
# Every so many changes one removes, one tells the version that it means, one comes late, one reads.
_REMOVE_EVERY: Final = 7
_IF_VERSION_EVERY: Final = 2
_LATE_EVERY: Final = 3
# How late: the setting has another value by then, which a second effect would undo.
_LATE_BY: Final = 11
_READ_EVERY: Final = 4

Question = SetSetting | FetchSettings


class SettingsWriter:
    """A core that changes one setting after the other, at meta itself or through sessions.

    Nobody else changes them, so it knows what must be answered. It asks again until it is, under
    the same change id, and copies of old changes come late: an AssertionError says that one
    happened twice or was told a mismatch of its own making, or that a read was not the newest.
    """

    epoch = 0

    def __init__(self, meta: Sequence[str], sessions: Sequence[str]) -> None:
        # What each setting must be now, and the change that nobody answered yet.
        self.settings: dict[str, Setting | None] = {}
        self.under_way: SetSetting | None = None
        self.answered_count = 0
        self.asked_again_count = 0
        self._answers: dict[int, tuple[SetSetting, SettingsReply]] = {}
        self._places = [(Link.META, address) for address in meta]
        self._places += [(Link.SESSION, address) for address in sessions]
        self._place = self._places[0]
        self._questions: list[Question] = []
        self._number = 0
        self._version = 0
        self._request_id = 0
        self._is_up = False
        self._is_waiting = False
        self._next_at = 0.0

    def start(self, now: float) -> Sequence[Effect]:
        """Connect to the first place."""
        self._think()
        return self._go_on("", now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take an answer, or go where the leader is."""
        is_mine = (link, peer) == self._place
        match message:
            case PeerUp() if (message.link, message.peer) == self._place:
                self._is_up = True
                return self._ask(now)
            case PeerLost() if (message.link, message.peer) == self._place:
                self._is_up = False
            case SettingsReply(request_id=self._request_id) if is_mine:
                self._answered(message)
                self._next_at = now + _PAUSE_SECONDS
            case Refused(request_id=self._request_id) if is_mine:
                assert message.code != VersionMismatchError.code, message.detail
                return self._go_on(message.address, now)
            case _:
                pass
        return ()

    def tick(self, now: float) -> Sequence[Effect]:
        """Ask the next, or the same elsewhere."""
        if not self._questions:
            self._think()
        if self._is_up and not self._is_waiting:
            return self._ask(now)
        self.asked_again_count += self._is_waiting
        return self._go_on("", now)

    def settle(self, now: float) -> Sequence[Effect]:
        """Return nothing: there is nothing to join."""
        del now
        return ()

    def next_tick_at(self) -> float | None:
        """When to ask, or to look elsewhere."""
        return self._next_at

    def statistics(self) -> dict[str, int | float | str]:
        """Return how much was asked."""
        return {"answered": self.answered_count, "asked_again": self.asked_again_count}

    # --- what to ask, and what must be answered -------------------------------------------------

    def _think(self) -> None:
        """Find the next questions."""
        self._number += 1
        number, name = self._number, f"setting-{self._number % _NAME_COUNT}"
        value = None if number % _REMOVE_EVERY == 0 else str(number)
        if_version = None
        if number % _IF_VERSION_EVERY == 0:
            present = self.settings.get(name)
            if_version = 0 if present is None else present.version
        self.under_way = SetSetting(0, name, value, if_version, number.to_bytes(16))
        self._questions = [self.under_way]
        if number % _LATE_EVERY == 0 and number > _LATE_BY:
            self._questions.append(self._answers[number - _LATE_BY][0])
        if number % _READ_EVERY == 0:
            self._questions.append(FetchSettings(0, "setting-*"))

    def _answered(self, reply: SettingsReply) -> None:
        self.answered_count += 1
        self._is_waiting = False
        question = self._questions.pop(0)
        if isinstance(question, FetchSettings):
            present = [setting for setting in self.settings.values() if setting is not None]
            assert reply.settings == tuple(sorted(present, key=_name_of)), "read something else"
            return
        number = int.from_bytes(question.change_id)
        if question is not self.under_way:
            assert self._answers[number][1].settings == reply.settings, "answered in another way"
            return
        self.under_way = None
        self._answers[number] = (question, reply)
        self._answers.pop(number - 2 * _LATE_BY, None)
        setting = reply.settings[0] if reply.settings else None
        if setting is not None:
            assert (setting.name, setting.value) == (question.name, question.value)
            assert setting.version > self._version, "an older version than the one before"
            self._version = setting.version
        self.settings[question.name] = setting

    # --- where to ask ---------------------------------------------------------------------------

    def _ask(self, now: float) -> list[Effect]:
        self._request_id += 1
        self._is_waiting = True
        self._next_at = now + _ANSWER_SECONDS_MAX
        question = msgspec.structs.replace(self._questions[0], request_id=self._request_id)
        return [Send(*self._place, question)]

    def _go_on(self, leader: str, now: float) -> list[Effect]:
        """Go to the leader, or to the next of all places."""
        former, self._is_up = self._place, False
        if leader:
            self._place = (Link.META, leader)
        else:
            self._places.append(self._places.pop(0))
            self._place = self._places[0]
        self._next_at = now + (_ANSWER_SECONDS_MAX if leader else 3 * _PAUSE_SECONDS)
        return [Disconnect(*former), Connect(*self._place, self._place[1])]


def _name_of(setting: Setting) -> str:
    return setting.name
