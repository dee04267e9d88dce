"""What is said to the session, and what of it waits for an answer, with the time to say it again.

Whatever wants something of the session is an `Asker`: it says what to send *now*, so asking again
always says the newest. An asker waits for one answer at a time, that to its newest request.
"""

import abc
import math
from collections.abc import Sequence
from typing import Final

from zreg.effects import Effect, Link, Send
from zreg.wire.common_messages import Ping
from zreg.wire.messages import WireMessage

# Pauses double up to this many times the first one.
_RETRY_GROWTH_MAX: Final = 8


class Asker(abc.ABC):
    """Something that has to be said to the session until it is answered."""

    __slots__ = ("request_id", "retry_at", "retry_seconds")

    def __init__(self) -> None:
        self.request_id = 0
        self.retry_at = 0.0
        self.retry_seconds = 0.0

    @abc.abstractmethod
    def message(self, request_id: int) -> WireMessage:
        """Return what to send."""


class Conversation:
    """One connection after the other; request ids are never used twice."""

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._waiting: dict[int, Asker] = {}
        self._last_id = 0
        # Nobody is due before this time; it may be too early, never too late.
        self.next_retry_at = math.inf
        # The connection; open: the session knows us, and anything may be said.
        self.peer = ""
        self.is_open = False
        self.sent_at = 0.0
        self.heard_at = 0.0
        self.pinged_at = 0.0

    def __len__(self) -> int:
        """Return how many wait for an answer."""
        return len(self._waiting)

    def begin(self) -> None:
        """Start from nothing with a session that has just welcomed us."""
        self._waiting.clear()
        self.next_retry_at = math.inf
        self.is_open = True

    def ping_at(self, seconds: float) -> float:
        """Return when a ping is due: nothing was said for so long, or nothing was heard.

        A session that has no answer yet to what is repeated all the time may well live.
        """
        return min(self.sent_at, max(self.heard_at, self.pinged_at)) + seconds

    def ping(self, now: float) -> Send:
        """Ask for a sign of life, and give one."""
        self.pinged_at = now
        return self.say(Ping(), now)

    def say(self, message: WireMessage, now: float) -> Send:
        """Send something that is not waited for."""
        self.sent_at = now
        return Send(Link.SESSION, self.peer, message)

    def ask(self, asker: Asker, now: float) -> Sequence[Effect]:
        """Say it if somebody listens, else the next replay does; the newest answer counts."""
        if not self.is_open:
            return ()
        asker.retry_seconds = self._retry_seconds
        return (self._say_and_wait(asker, now),)

    def ask_again(self, now: float) -> list[Effect]:
        """Say once more, each after a longer pause, what has waited long enough."""
        if now < self.next_retry_at:
            return []
        due = [asker for asker in self._waiting.values() if asker.retry_at <= now]
        later = (asker.retry_at for asker in self._waiting.values() if asker.retry_at > now)
        self.next_retry_at = min(later, default=math.inf)
        retry_seconds_max = self._retry_seconds * _RETRY_GROWTH_MAX
        effects: list[Effect] = []
        for asker in due:
            asker.retry_seconds = min(asker.retry_seconds * 2, retry_seconds_max)
            effects.append(self._say_and_wait(asker, now))
        return effects

    def new_id(self) -> int:
        """Return a request id that was never used."""
        self._last_id += 1
        return self._last_id

    def waiting(self, request_id: int) -> Asker | None:
        """Return who waits for this answer; nobody if it is late or made up."""
        return self._waiting.get(request_id)

    def answered(self, request_id: int) -> Asker | None:
        """Return who waited for this answer, and waits no more."""
        return self._waiting.pop(request_id, None)

    def forget(self, asker: Asker) -> None:
        """Wait no more, whatever is answered."""
        self._waiting.pop(asker.request_id, None)

    def _say_and_wait(self, asker: Asker, now: float) -> Send:
        waiting = self._waiting
        waiting.pop(asker.request_id, None)
        self._last_id = request_id = self._last_id + 1
        asker.request_id = request_id
        asker.retry_at = retry_at = now + asker.retry_seconds
        waiting[request_id] = asker
        if retry_at < self.next_retry_at:  # noqa: PLR1730 -- as `min` it costs every publish 0.1 us
            self.next_retry_at = retry_at
        self.sent_at = now
        return Send(Link.SESSION, self.peer, asker.message(request_id))
