"""A client that changes settings all the time, and checks that each change happens once."""

from collections.abc import Sequence
from typing import Final

import msgspec

from zreg.effects import Connect, Disconnect, Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.errors import VersionMismatchError
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.settings_messages import FetchSettings, SetSetting, Setting, SettingsReply

_NAME_COUNT: Final = 5
_PAUSE_SECONDS: Final = 0.1
_ANSWER_SECONDS_MAX: Final = 1.0
# Of so many changes one removes, one names a version, one is repeated late, one is read back.
_REMOVE_EVERY: Final = 7
_IF_VERSION_EVERY: Final = 2
_LATE_EVERY: Final = 3
# So many changes later the setting has another value, which a second effect would undo.
_LATE_BY: Final = 11
_READ_EVERY: Final = 4

SettingsRequest = SetSetting | FetchSettings


class SettingsWriter:
    """A core that changes one setting after the other, at meta itself or through sessions.

    No other client changes these settings, so the writer knows each correct answer. It repeats a
    change under the same change id until it is answered, and repeats some old changes late. It
    raises AssertionError if a change happens twice or is refused for a version that the change
    itself made, or if a read is not the newest.
    """

    epoch = 0

    def __init__(self, meta: Sequence[str], sessions: Sequence[str]) -> None:
        # What each setting must be now, and the change without an answer.
        self.settings: dict[str, Setting | None] = {}
        self.under_way: SetSetting | None = None
        self.answered_count = 0
        self.asked_again_count = 0
        self._answers: dict[int, tuple[SetSetting, SettingsReply]] = {}
        self._targets = [(Link.META, address) for address in meta]
        self._targets += [(Link.SESSION, address) for address in sessions]
        self._target = self._targets[0]
        self._requests: list[SettingsRequest] = []
        self._number = 0
        self._version = 0
        self._request_id = 0
        self._is_up = False
        self._is_waiting = False
        self._next_at = 0.0

    def replace_address(self, former: str, address: str) -> None:
        """Ask a meta node that has moved at its new address from now on."""
        self._targets[self._targets.index((Link.META, former))] = Link.META, address

    def start(self, now: float) -> Sequence[Effect]:
        """Connect to the first target."""
        self._add_requests()
        return self._move_to("", now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take an answer, or follow a redirect to the leader."""
        is_target = (link, peer) == self._target
        match message:
            case PeerUp() if (message.link, message.peer) == self._target:
                self._is_up = True
                return self._ask(now)
            case PeerLost() if (message.link, message.peer) == self._target:
                self._is_up = False
            case SettingsReply(request_id=self._request_id) if is_target:
                self._on_reply(message)
                self._next_at = now + _PAUSE_SECONDS
            case Refused(request_id=self._request_id) if is_target:
                assert message.code != VersionMismatchError.code, message.detail
                return self._move_to(message.address, now)
            case _:
                pass
        return ()

    def tick(self, now: float) -> Sequence[Effect]:
        """Send the next request, or the same one to another target."""
        if not self._requests:
            self._add_requests()
        if self._is_up and not self._is_waiting:
            return self._ask(now)
        self.asked_again_count += self._is_waiting
        return self._move_to("", now)

    def settle(self, now: float) -> Sequence[Effect]:
        """Return no effects: nothing is left to the end of a turn."""
        del now
        return ()

    def next_tick_at(self) -> float | None:
        """When to send the next request, or to try another target."""
        return self._next_at

    def statistics(self) -> dict[str, int | float | str]:
        """Return how many requests were answered, and how many repeated."""
        return {"answered": self.answered_count, "asked_again": self.asked_again_count}

    # --- requests and their answers -------------------------------------------------------------

    def _add_requests(self) -> None:
        """Add the next change, and at times a late copy of an old one and a read."""
        self._number += 1
        number, name = self._number, f"setting-{self._number % _NAME_COUNT}"
        value = None if number % _REMOVE_EVERY == 0 else str(number)
        if_version = None
        if number % _IF_VERSION_EVERY == 0:
            present = self.settings.get(name)
            if_version = 0 if present is None else present.version
        self.under_way = SetSetting(0, name, value, if_version, number.to_bytes(16))
        self._requests = [self.under_way]
        if number % _LATE_EVERY == 0 and number > _LATE_BY:
            self._requests.append(self._answers[number - _LATE_BY][0])
        if number % _READ_EVERY == 0:
            self._requests.append(FetchSettings(0, "setting-*"))

    def _on_reply(self, reply: SettingsReply) -> None:
        self.answered_count += 1
        self._is_waiting = False
        request = self._requests.pop(0)
        if isinstance(request, FetchSettings):
            present = [setting for setting in self.settings.values() if setting is not None]
            assert reply.settings == tuple(sorted(present, key=_name_of)), (
                "a read is not the newest"
            )
            return
        number = int.from_bytes(request.change_id)
        if request is not self.under_way:
            assert self._answers[number][1].settings == reply.settings, (
                "a late copy got another answer"
            )
            return
        self.under_way = None
        self._answers[number] = (request, reply)
        self._answers.pop(number - 2 * _LATE_BY, None)
        setting = reply.settings[0] if reply.settings else None
        if setting is not None:
            assert (setting.name, setting.value) == (request.name, request.value)
            assert setting.version > self._version, "the version did not rise"
            self._version = setting.version
        self.settings[request.name] = setting

    # --- targets --------------------------------------------------------------------------------

    def _ask(self, now: float) -> list[Effect]:
        self._request_id += 1
        self._is_waiting = True
        self._next_at = now + _ANSWER_SECONDS_MAX
        request = msgspec.structs.replace(self._requests[0], request_id=self._request_id)
        return [Send(*self._target, request)]

    def _move_to(self, leader: str, now: float) -> list[Effect]:
        """Connect to the leader, or to the next target if it is unknown."""
        former, self._is_up = self._target, False
        if leader:
            self._target = (Link.META, leader)
        else:
            self._targets.append(self._targets.pop(0))
            self._target = self._targets[0]
        self._next_at = now + (_ANSWER_SECONDS_MAX if leader else 3 * _PAUSE_SECONDS)
        return [Disconnect(*former), Connect(*self._target, self._target[1])]


def _name_of(setting: Setting) -> str:
    return setting.name
