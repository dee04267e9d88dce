"""The messages that did not leave because their peer does not read, tried again every turn."""

from collections import Counter
from typing import Final, Generic

from zreg.effects import UNREACHABLE, Peer
from zreg.reactor.outgoing.send_results import SendingLink, SendResults, SocketT, UsedSockets
from zreg.reactor.sockets.backlog import Backlog, Outcome

# The first byte of a MessagePack array of 16 to 65,535 elements; up to 15 it is 0x90 + length.
_ARRAY_16: Final = 0xDC


class RetryQueue(Generic[SocketT]):
    """The sockets that have a backlog for some peer.

    A socket is in `waiting` exactly while its `backlogs` is not empty.
    """

    def __init__(
        self, counts: Counter[str], results: SendResults, used: UsedSockets[SocketT]
    ) -> None:
        self._counts = counts
        self._results = results
        self._used = used
        self.waiting: dict[SocketT, SendingLink[SocketT]] = {}

    def add(
        self,
        sending_link: SendingLink[SocketT],
        socket: SocketT,
        peer: Peer,
        message: tuple[bytes, bytes],
    ) -> None:
        """Keep a message that the socket did not take; drop and count it beyond the bounds."""
        backlog = socket.backlogs.get(peer)
        if backlog is None:
            backlog = socket.backlogs[peer] = Backlog()
            self.waiting[socket] = sending_link
        header, frame = message
        if backlog.has_room_for(frame):
            backlog.add(header, frame)
            return
        self._counts["dropped_slow"] += record_count(frame)
        if not backlog.is_slow:
            backlog.is_slow = True
            self._results.slow[sending_link.link, peer] = None

    def retry(self) -> None:
        """Send what waits; a peer that took all of it is no longer slow."""
        for socket, sending_link in list(self.waiting.items()):
            self._used[socket] = None
            for peer, backlog in list(socket.backlogs.items()):
                outcome = self._send(socket, peer, backlog)
                if outcome is Outcome.GONE:
                    self.drop(socket, peer)
                    self._results.lost[sending_link.link, peer] = UNREACHABLE
                elif outcome is Outcome.SENT:
                    del socket.backlogs[peer]
            if not socket.backlogs:
                self.waiting.pop(socket, None)

    def drop(self, socket: SocketT, peer: Peer) -> None:
        """Drop the backlog of a peer that is gone, and count its records."""
        backlog = socket.backlogs.pop(peer, None)
        if backlog is not None:
            self._counts["dropped_gone"] += sum(
                record_count(frame) for _, frame in backlog.messages
            )
        if not socket.backlogs:
            self.waiting.pop(socket, None)

    def drop_all(self, socket: SocketT) -> None:
        """Drop all backlogs of a socket that is closed."""
        for peer in list(socket.backlogs):
            self.drop(socket, peer)
        self.waiting.pop(socket, None)

    def statistics(self) -> dict[str, int]:
        """Return how much waits."""
        backlogs = [backlog for socket in self.waiting for backlog in socket.backlogs.values()]
        return {
            "backlog_messages": sum(len(backlog.messages) for backlog in backlogs),
            "backlog_bytes": sum(backlog.bytes for backlog in backlogs),
            "slow_peers": sum(backlog.is_slow for backlog in backlogs),
        }

    def _send(self, socket: SocketT, peer: Peer, backlog: Backlog) -> Outcome:
        while backlog.messages:
            header, frame = backlog.messages[0]
            outcome = socket.send(peer, header, frame)
            if outcome is not Outcome.SENT:
                return outcome
            count_sent(self._counts, header, frame)
            backlog.drop_first()
        return Outcome.SENT


def count_sent(counts: Counter[str], header: bytes, frame: bytes) -> None:
    """Count one message that a socket took."""
    counts["messages_out"] += 1
    counts["records_out"] += record_count(frame)
    counts["bytes_out"] += len(header) + len(frame)


def record_count(frame: bytes) -> int:
    """Return how many records a frame of ours holds: the length of its MessagePack array."""
    first = frame[0]
    return first & 0x0F if first != _ARRAY_16 else int.from_bytes(frame[1:3])
