"""What the client still has to say to its session: requests without an answer, and pings.

A record of the desired state is a `Requester`. It builds its request each time the request is sent,
so a repeated request always carries the newest state.

A connection keeps what is sent over it, so a request is not repeated because its answer is late:
after each Welcome the client says everything again. Only a session that lost or refused a request
for now needs it once more, so the pauses between repetitions double, up to half a minute. A
repetition keeps the id of its request: an answer to either counts, however late it comes.

A program may publish thousands of ids at once. Their requests have a window: so many may be
unanswered and not repeated yet, the rest waits here. So no session holds all of them while other
clients wait behind. Half of a window is sent at once when so many were answered: full messages cost
less. What is not a publication needs no room in the window and waits for none.
"""

import abc
import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile
from typing import ClassVar, Final

from zreg.config import Limits
from zreg.effects import Effect, Link, Send
from zreg.wire.messages import WireMessage
from zreg.wire.records.common_messages import Ping

# Pauses between repeated requests double, up to this one.
_PAUSE_SECONDS_MAX: Final = 30.0


class Requester(abc.ABC):
    """A record that has to be sent to the session until the session answers."""

    __slots__ = ("request_id", "retry_at")

    # Whether its requests need room in the window.
    is_windowed: ClassVar[bool] = False

    def __init__(self) -> None:
        # The id of the request that waits for an answer; 0 if none does.
        self.request_id = 0
        self.retry_at = 0.0

    @abc.abstractmethod
    def message(self, request_id: int) -> WireMessage:
        """Return the request to send now."""

    def begin(self) -> None:  # noqa: B027 -- most have nothing to note
        """Note that a request with the present state is sent for the first time."""


class Conversation:
    """The requests to the session, over the present connection.

    Invariants:
    - A requester waits under at most one id, which no other request ever had. When it changes, it
      gets a new one. So an answer to what it said before finds no requester.
    - `_new` holds the requesters whose request was sent once, `_repeated` those whose request was
      repeated, by the pause that they wait for. Each of these is in the order of `retry_at`, so a
      tick touches only the requests that are due.
    - `next_retry_at` is never later than the first retry that is due. It may be earlier: keeping it
      exact would cost every answer a search.
    - Nothing is requested while the conversation is not open. The replay after the next Welcome
      sends the whole desired state, so nothing is lost.
    - A requester in `_waiting` has no request under way. It keeps its place when it changes, and is
      sent once, in its newest state. `_waiting` is in the order of sending, and holds between the
      requesters the messages that must not overtake them.
    - `_unanswered` counts the requests in `_new` that need room in the window. A repeated request
      needs none: what waits for a data node that is gone holds up nothing for the others.

    The table is not a `PendingRequests`, since every publish passes through here. There is only one
    peer, and one lower bound in place of exact deadlines makes a publish a third cheaper.
    """

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._pause_seconds_max = max(retry_seconds, _PAUSE_SECONDS_MAX)
        self._new: dict[int, Requester] = {}
        self._repeated: dict[float, dict[int, Requester]] = {}
        self._waiting: OrderedDict[Requester | WireMessage, None] = OrderedDict()
        self._unanswered = 0
        self._window = Limits.client_window
        self._last_id = 0
        # Messages to the session were dropped, as it did not read: the client has to replay.
        self.has_dropped = False
        self.next_retry_at = math.inf
        # The name of the connection; empty if there is none.
        self.peer = ""
        # Whether the session has welcomed the client, so that it accepts requests.
        self.is_open = False
        self.sent_at = 0.0
        self.heard_at = 0.0
        self.pinged_at = 0.0
        # How long the last Hello or Ping took to be answered.
        self.round_trip_seconds = 0.0

    def __len__(self) -> int:
        """Return how many requests wait for an answer, or to be sent."""
        return len(self._new) + sum(map(len, self._repeated.values())) + len(self._waiting)

    # --- the connection ---------------------------------------------------------------------

    def open(self) -> None:
        """Start anew with a session that has just welcomed the client: nothing is pending."""
        self._new.clear()
        self._repeated.clear()
        self._waiting.clear()
        self._unanswered = 0
        self._window = Limits.client_window
        self.next_retry_at = math.inf
        self.is_open = True
        self.has_dropped = False

    def close(self) -> None:
        """Note that the connection is gone; its requests stay until the next one opens."""
        self.peer = ""
        self.is_open = False
        self.has_dropped = False

    # --- messages without an answer ---------------------------------------------------------

    def send(self, message: WireMessage, now: float) -> Send:
        """Return the message as an effect."""
        self.sent_at = now
        return Send(Link.SESSION, self.peer, message)

    def send_behind(self, message: WireMessage, now: float) -> Sequence[Effect]:
        """Send the message once all that waits now was sent; it must not overtake it."""
        if not self._waiting:
            return (self.send(message, now),)
        self._waiting[message] = None
        return ()

    def ping(self, now: float) -> Send:
        """Return a Ping: it shows that the client lives, and asks the session for the same."""
        self.pinged_at = now
        return self.send(Ping(), now)

    def ping_due_at(self, ping_seconds: float) -> float:
        """Return when to ping: the client sent nothing, or heard nothing, for `ping_seconds`.

        A session that cannot answer the repeated requests yet may well live: only a Ping tells.
        After messages were dropped only a Pong tells that the session reads again.
        """
        if self.has_dropped:
            return self.pinged_at + ping_seconds
        return min(self.sent_at, max(self.heard_at, self.pinged_at)) + ping_seconds

    # --- requests ---------------------------------------------------------------------------

    def request(self, requester: Requester, now: float) -> Sequence[Effect]:
        """Send a request if the conversation is open; only the answer to the newest one counts.

        If the window has no room, or others wait for it, the request waits too: see `send_waiting`.
        """
        if not self.is_open:
            return ()
        if requester.request_id:
            self.take(requester.request_id)
            requester.request_id = 0
        if requester.is_windowed:
            if self._waiting or self._unanswered >= self._window:
                self._waiting[requester] = None
                return ()
            self._unanswered += 1
        return (self._send_new(requester, now),)

    def send_waiting(self, now: float) -> Sequence[Effect]:
        """Send what has waited for the window, as far as it has room for half of it or the rest."""
        waiting, room = self._waiting, self._window - self._unanswered
        if not waiting or not self.is_open or room < min(len(waiting), max(self._window // 2, 1)):
            return ()
        effects: list[Effect] = []
        while waiting:
            first = next(iter(waiting))
            if not isinstance(first, Requester):
                effects.append(self.send(first, now))
            elif self._unanswered < self._window:
                self._unanswered += 1
                effects.append(self._send_new(first, now))
            else:
                break
            del waiting[first]
        return effects

    def _send_new(self, requester: Requester, now: float) -> Send:
        requester.begin()
        self._last_id = request_id = self._last_id + 1
        requester.request_id = request_id
        requester.retry_at = retry_at = now + self._retry_seconds
        self._new[request_id] = requester
        if retry_at < self.next_retry_at:  # noqa: PLR1730 -- as `min` it costs every publish 0.1 us
            self.next_retry_at = retry_at
        self.sent_at = now
        return Send(Link.SESSION, self.peer, requester.message(request_id))

    def send_due(self, now: float) -> list[Effect]:
        """Repeat the requests that have waited long enough, each with twice its last pause."""
        if now < self.next_retry_at:
            return []
        waiting = [(self._retry_seconds, self._new), *self._repeated.items()]
        due = [(pause, self._take_due(requesters, now)) for pause, requesters in waiting]
        self._open_window(due[0][1])
        effects: list[Effect] = [
            self._repeat(requester, min(2 * pause, self._pause_seconds_max), now)
            for pause, requesters in due
            for requester in requesters
        ]
        first = (next(iter(group.values())) for group in self._groups() if group)
        self.next_retry_at = min((each.retry_at for each in first), default=math.inf)
        return effects

    def new_id(self) -> int:
        """Return a request id that was never used."""
        self._last_id += 1
        return self._last_id

    def owner(self, request_id: int) -> Requester | None:
        """Return the requester of a pending request; None if the answer is late or made up."""
        groups = (group for group in self._groups() if request_id in group)
        group = next(groups, None)
        return None if group is None else group[request_id]

    def take(self, request_id: int) -> Requester | None:
        """End a pending request and return its requester; None if the request is not pending."""
        requester = self._new.pop(request_id, None)
        if requester is None:
            requester = self._take_repeated(request_id)
        else:
            self._unanswered -= requester.is_windowed
        if requester is not None:
            requester.request_id = 0
        return requester

    def cancel(self, requester: Requester) -> None:
        """End the requester's request without an answer, or before it was sent."""
        self.take(requester.request_id)
        self._waiting.pop(requester, None)

    def _groups(self) -> list[dict[int, Requester]]:
        return [self._new, *self._repeated.values()]

    def _take_repeated(self, request_id: int) -> Requester | None:
        for group in self._repeated.values():
            if request_id in group:
                return group.pop(request_id)
        return None

    def _take_due(self, group: dict[int, Requester], now: float) -> list[Requester]:
        """Remove and return the requesters at the front of a group whose pause is over."""
        due = list(takewhile(lambda requester: requester.retry_at <= now, group.values()))
        for requester in due:
            del group[requester.request_id]
        return due

    def _open_window(self, late: Sequence[Requester]) -> None:
        """Let others be sent in place of requests that are late, and more of them each time.

        They may wait for a data node that is gone, while those of other data nodes wait behind.
        """
        count = sum(requester.is_windowed for requester in late)
        self._unanswered -= count
        if count and self._waiting:
            self._window *= 2

    def _repeat(self, requester: Requester, pause: float, now: float) -> Send:
        requester.retry_at = now + pause
        self._repeated.setdefault(pause, {})[requester.request_id] = requester
        return self.send(requester.message(requester.request_id), now)
