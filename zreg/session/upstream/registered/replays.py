"""Which clients are replaying, and what data nodes are told of it.

A data node that is about to remove a publisher calls all sessions: its client may have moved. So a
call is answered once the input is read that came before it, once the clients that had greeted by
then have ended their replay, and behind the writes that came of all this.
"""

from typing import Final

from zreg.config import Config
from zreg.effects import Effect, Link, Send
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.session.upstream.registered.waiting_clients import WaitingClients
from zreg.wire.records.data_messages import Present

# A client that connected while this process was stopped has greeted so long after it goes on: the
# kernel accepts the connection, and both ends of ZeroMQ have to shake hands before the first word.
GREETING_SECONDS: Final = 0.1
# A tick may have waited for input since before the call. The next one waits for what came by then.
_TICKS: Final = 2


class _Call:
    """The call of a data node that is not answered yet."""

    __slots__ = ("due_at", "last_replay", "number", "ticks_left")

    def __init__(self, number: int, due_at: float) -> None:
        self.number = number
        # From when on ticks count, and how many have to come until all input is read.
        self.due_at = due_at
        self.ticks_left = _TICKS
        # The last replay that had begun when the input was read.
        self.last_replay = 0


class Replays:
    """Holds the newest call of each data node until it may be answered.

    A replay is waited for as long as a silent client is taken to live, so a client that never ends
    its replay holds up little. Times are monotonic seconds.
    """

    def __init__(self, config: Config, links: DataLinks, queues: NodeQueues) -> None:
        # Those that wait until this session is a member.
        self.waiting = WaitingClients(links, config.lease_seconds)
        self._lease_seconds = config.lease_seconds
        self._grace_seconds = config.session_grace_seconds
        self._queues = queues
        # The clients whose replay has not ended, with the number of the replay and its begin, in
        # this order.
        self._replays: dict[bytes, tuple[int, float]] = {}
        self._replay_count = 0
        self._calls: dict[str, _Call] = {}

    def begin(self, client_id: bytes, now: float) -> None:
        """Note that a client is about to say what it publishes, if it is not at it already."""
        if client_id not in self._replays:
            self._replay_count += 1
            self._replays[client_id] = self._replay_count, now

    def note_long(self, client_id: bytes, now: float) -> None:
        """Note that a replay takes more than a turn: all data nodes are told that writes wait."""
        self._queues.note_replaying(client_id, now + self._grace_seconds)

    def end(self, client_id: bytes) -> None:
        """Note that a client has ended its replay, or will not end it here."""
        self._queues.end_replaying(client_id)
        self._replays.pop(client_id, None)

    def unregistered(self) -> set[bytes]:
        """Return the clients that have not registered here all that they publish."""
        return self._queues.clients_with_writes() | self._replays.keys()

    def on_admitted(self) -> None:
        """Go on as a member: what waited is sent now, or replayed, also by clients that come back.

        A client that has just greeted may have sent nothing yet.
        """
        for client_id, until in self.waiting.take_all().items():
            if until is not None:
                self._queues.note_replaying(client_id, until)
            elif client_id in self._replays:
                _, began_at = self._replays[client_id]
                self.note_long(client_id, began_at)

    def on_roll_call(self, peer: str, number: int, now: float) -> None:
        """Take the call of a data node; one that is repeated waits no longer than the first."""
        call = self._calls.get(peer)
        if call is None or call.number != number:
            self._calls[peer] = _Call(number, now + GREETING_SECONDS)

    def forget(self, peer: str) -> None:
        """Drop the call of a data node that is gone."""
        self._calls.pop(peer, None)

    def tick(self, now: float) -> list[Effect]:
        """Answer what may be answered; the caller has sent the writes before.

        A reactor ticks a core once it has read the input that was there when the tick became due,
        or after a second.
        """
        while self._replays:
            client_id = next(iter(self._replays))
            if now < self._replays[client_id][1] + self._lease_seconds:
                break
            del self._replays[client_id]
        effects: list[Effect] = []
        for peer, call in list(self._calls.items()):
            if call.ticks_left and now >= call.due_at:
                call.ticks_left -= 1
                call.last_replay = self._replay_count
            if not call.ticks_left and call.last_replay < self._oldest_replay:
                del self._calls[peer]
                effects.append(Send(Link.DATA, peer, Present(call.number)))
        return effects

    @property
    def _oldest_replay(self) -> int:
        """The number of the oldest replay that has not ended; that of the next one if all have."""
        for number, _ in self._replays.values():
            return number
        return self._replay_count + 1

    def next_tick_at(self) -> float | None:
        """Return when a call is due, or a replay is waited for no longer; None without calls."""
        return min(map(self._due_at, self._calls.values())) if self._calls else None

    def _due_at(self, call: _Call) -> float:
        if call.ticks_left or call.last_replay < self._oldest_replay:
            return call.due_at
        _, began_at = next(iter(self._replays.values()))
        return began_at + self._lease_seconds
