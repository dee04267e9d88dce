"""What the client still has to say to its session: requests without an answer, and pings.

A record of the desired state is a `Requester`. It builds its request each time the request is sent,
so a repeated request always carries the newest state. A repeated request keeps its id, since the
answer may only be late.
"""

import abc
import math
from collections.abc import Sequence
from typing import Final

from zreg.effects import Effect, Link, Send
from zreg.wire.common_messages import Ping
from zreg.wire.messages import WireMessage

# Pauses between repeated requests double, up to this many times the first pause.
_RETRY_GROWTH_MAX: Final = 8


class Requester(abc.ABC):
    """A record that has to be sent to the session until the session answers."""

    __slots__ = ("request_id", "retry_at", "retry_seconds")

    def __init__(self) -> None:
        # The id of the newest request; 0 before the first one.
        self.request_id = 0
        self.retry_at = 0.0
        self.retry_seconds = 0.0

    @abc.abstractmethod
    def message(self, request_id: int) -> WireMessage:
        """Return the request to send now."""


class Conversation:
    """The requests to the session, over the present connection.

    Invariants:
    - Two requests never have the same id, and a requester waits under at most one id: that of its
      newest request. So an answer to an older request finds no requester.
    - `_pending` holds the requesters that wait for an answer, in the order of their requests.
    - `next_retry_at` is never later than the first retry that is due. It may be earlier: keeping it
      exact would cost every answer a search.
    - Nothing is requested while the conversation is not open. The replay after the next Welcome
      sends the whole desired state, so nothing is lost.

    The table is not a `PendingRequests`, since every publish passes through here. There is only one
    peer, and one lower bound in place of exact deadlines makes a publish a third cheaper.
    """

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._pending: dict[int, Requester] = {}
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

    def __len__(self) -> int:
        """Return how many requests wait for an answer."""
        return len(self._pending)

    # --- the connection ---------------------------------------------------------------------

    def open(self) -> None:
        """Start anew with a session that has just welcomed the client: nothing is pending."""
        self._pending.clear()
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
        """Send a request if the conversation is open; only the answer to the newest one counts."""
        if not self.is_open:
            return ()
        requester.retry_seconds = self._retry_seconds
        self._pending.pop(requester.request_id, None)
        self._last_id = request_id = self._last_id + 1
        return (self._send_request(requester, request_id, now),)

    def send_due(self, now: float) -> list[Effect]:
        """Repeat the requests that have waited long enough."""
        return self._repeat_requests(now) if now >= self.next_retry_at else []

    def new_id(self) -> int:
        """Return a request id that was never used."""
        self._last_id += 1
        return self._last_id

    def owner(self, request_id: int) -> Requester | None:
        """Return the requester of a pending request; None if the answer is late or made up."""
        return self._pending.get(request_id)

    def take(self, request_id: int) -> Requester | None:
        """End a pending request and return its requester; None if the request is not pending."""
        return self._pending.pop(request_id, None)

    def cancel(self, requester: Requester) -> None:
        """End the requester's request without an answer."""
        self._pending.pop(requester.request_id, None)

    def _repeat_requests(self, now: float) -> list[Effect]:
        due = [requester for requester in self._pending.values() if requester.retry_at <= now]
        later = (each.retry_at for each in self._pending.values() if each.retry_at > now)
        self.next_retry_at = min(later, default=math.inf)
        retry_seconds_max = self._retry_seconds * _RETRY_GROWTH_MAX
        effects: list[Effect] = []
        for requester in due:
            requester.retry_seconds = min(requester.retry_seconds * 2, retry_seconds_max)
            effects.append(self._send_request(requester, requester.request_id, now))
        return effects

    def _send_request(self, requester: Requester, request_id: int, now: float) -> Send:
        requester.request_id = request_id
        requester.retry_at = retry_at = now + requester.retry_seconds
        self._pending[request_id] = requester
        if retry_at < self.next_retry_at:  # noqa: PLR1730 -- as `min` it costs every publish 0.1 us
            self.next_retry_at = retry_at
        self.sent_at = now
        return Send(Link.SESSION, self.peer, requester.message(request_id))
