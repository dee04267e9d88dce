"""Which clients are replaying, and what data nodes are told of it.

A data node that is about to remove a publisher calls all sessions: its client may have moved. So a
call is answered once the input is read that came before it, once the clients that had greeted by
then have ended their replay, and behind the writes that came of all this.
"""

from zreg.config import Config
from zreg.effects import Effect, Link, Send
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.wire.records.data_messages import Present


class Replays:
    """Holds the newest call of each data node until it may be answered.

    A replay is waited for as long as a silent client is taken to live, so a client that never ends
    its replay holds up little. Times are monotonic seconds.
    """

    def __init__(self, config: Config, queues: NodeQueues) -> None:
        self._lease_seconds = config.lease_seconds
        self._grace_seconds = config.session_grace_seconds
        self._queues = queues
        # The clients whose replay has not ended, with the number of the replay and its begin, in
        # this order.
        self._replays: dict[bytes, tuple[int, float]] = {}
        self._replay_count = 0
        # The calls that came since the last tick, and when the first of them did.
        self._unread: dict[str, int] = {}
        self._called_at = 0.0
        # The other calls: the number of each, and the last replay that had begun before it.
        self._calls: dict[str, tuple[int, int]] = {}

    def begin(self, client_id: bytes, now: float) -> None:
        """Note that a client has greeted, and is about to say what it publishes."""
        self._replays.pop(client_id, None)
        self._replay_count += 1
        self._replays[client_id] = self._replay_count, now

    def note_long(self, client_id: bytes, now: float) -> None:
        """Note that a client waits for answers before it can go on: all data nodes are told."""
        self._queues.note_replaying(client_id, now + self._grace_seconds)

    def end(self, client_id: bytes) -> None:
        """Note that a client has ended its replay, or will not end it here."""
        self._queues.end_replaying(client_id)
        self._replays.pop(client_id, None)

    def on_roll_call(self, peer: str, number: int, now: float) -> None:
        """Take the call of a data node."""
        if not self._unread:
            self._called_at = now
        self._unread[peer] = number

    def forget(self, peer: str) -> None:
        """Drop the call of a data node that is gone."""
        self._unread.pop(peer, None)
        self._calls.pop(peer, None)

    def tick(self, now: float) -> list[Effect]:
        """Answer what may be answered; the caller has sent the writes before.

        A reactor ticks a core once it has read the input that was there.
        """
        while self._replays:
            client_id = next(iter(self._replays))
            if now < self._replays[client_id][1] + self._lease_seconds:
                break
            del self._replays[client_id]
        effects: list[Effect] = []
        for peer, number in self._unread.items():
            # A call that is repeated waits for no more than it did before.
            former, _ = known = self._calls.get(peer, (0, 0))
            self._calls[peer] = known if former == number else (number, self._replay_count)
        self._unread.clear()
        for peer, (number, last_replay) in list(self._calls.items()):
            if last_replay < self._oldest_replay:
                del self._calls[peer]
                effects.append(Send(Link.DATA, peer, Present(number)))
        return effects

    @property
    def _oldest_replay(self) -> int:
        """The number of the oldest replay that has not ended; that of the next one if all have."""
        for number, _ in self._replays.values():
            return number
        return self._replay_count + 1

    def next_tick_at(self) -> float | None:
        """Return when a call may be answered: at once, or when a replay is waited for no longer."""
        if self._unread:
            return self._called_at
        if not self._calls:
            return None
        if any(last_replay < self._oldest_replay for _, last_replay in self._calls.values()):
            return self._called_at
        _, began_at = next(iter(self._replays.values()))
        return began_at + self._lease_seconds
