"""What one turn sends: collected per peer, encoded once, and kept for a while if it cannot leave.

Everything for one peer leaves as one message (or as few as the limits of a frame allow). A peer
that does not read gets a bounded backlog; beyond it what is sent is dropped and counted. Nothing
here knows a socket: a `Channel` sends, or says why not.
"""

import enum
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from zreg.effects import UNREACHABLE, Link, Peer
from zreg.wire.client_messages import Push
from zreg.wire.codec import encode_frames, encode_record
from zreg.wire.messages import Message

BACKLOG_BYTES_MAX: Final = 1 << 20
BACKLOG_MESSAGES_MAX: Final = 64

# The first byte of an array of up to 65,535; of up to 15 it is 0x90 + length.
_ARRAY_16: Final = 0xDC

logger = logging.getLogger("zreg.reactor")

Record = Message | msgspec.Raw
_ENCODING_ERRORS: Final = (ValueError, TypeError, OverflowError, msgspec.MsgspecError)


class Outcome(enum.Enum):
    """What became of one message that was handed to a socket."""

    SENT = enum.auto()
    FULL = enum.auto()  # the peer does not read: try again
    GONE = enum.auto()  # there is no such peer any more


class Backlog:
    """What waits for one peer that does not read, within bounds, oldest first."""

    def __init__(self) -> None:
        self.messages: deque[tuple[bytes, bytes]] = deque()
        self.bytes = 0
        # Once something was dropped all is, until the peer has read the rest: no hidden gaps.
        self.is_slow = False

    def add(self, header: bytes, frame: bytes) -> bool:
        """Keep the message, or return False if it was beyond the bound."""
        if self.is_slow:
            return False
        if (
            len(self.messages) >= BACKLOG_MESSAGES_MAX
            or self.bytes + len(frame) > BACKLOG_BYTES_MAX
        ):
            self.is_slow = True
            return False
        self.messages.append((header, frame))
        self.bytes += len(frame)
        return True

    def drop_first(self) -> None:
        """Forget the oldest message: it has left."""
        self.bytes -= len(self.messages.popleft()[1])

    def __repr__(self) -> str:
        """Show the state."""
        return f"<Backlog messages={len(self.messages)} bytes={self.bytes} slow={self.is_slow}>"


class Channel(Protocol):
    """A socket as the outbox sees it."""

    @property
    def backlogs(self) -> dict[Peer, Backlog]:
        """What waits, by peer."""
        ...

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Hand one message to the socket, without waiting."""
        ...


ChannelT = TypeVar("ChannelT", bound=Channel)
ChannelT_co = TypeVar("ChannelT_co", bound=Channel, covariant=True)


class Door(Protocol[ChannelT_co]):
    """A link that sends."""

    @property
    def link(self) -> Link:
        """Which one."""
        ...

    def channel(self, peer: Peer) -> ChannelT_co | None:
        """Return the socket that reaches the peer, None if it is not connected."""
        ...


class SendResults(Generic[ChannelT]):
    """What sending found out, for the next turn: a core is never called while it acts."""

    def __init__(self) -> None:
        # Peers found gone, and why.
        self.lost: dict[tuple[Link, Peer], str] = {}
        # Peers whose backlog overflowed.
        self.slow: dict[tuple[Link, Peer], None] = {}
        # Channels that sent since the reactor last looked: sending can swallow their wake-up.
        self.touched: dict[ChannelT, None] = {}


class Outbox(Generic[ChannelT]):
    """The messages of one turn, by link and peer, and the backlogs of those that did not leave."""

    def __init__(
        self,
        doors: Mapping[int, Door[ChannelT]],
        counts: Counter[str],
        header: Callable[[Link], bytes],
        news: SendResults[ChannelT],
    ) -> None:
        self._doors = doors
        self._counts = counts
        self._header = header
        self._news = news
        # By `id` of the link: an enum member's own hash is a Python function, 200 ns a message.
        self.pending: dict[int, dict[Peer, list[Record]]] = {key: {} for key in doors}
        # Whether `pending` holds anything: most turns are flushed more than once.
        self.has_pending = False
        self._waiting: dict[ChannelT, Door[ChannelT]] = {}
        self._encoded: dict[int, tuple[Push, msgspec.Raw]] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether a backlog has to be tried again."""
        return bool(self._waiting)

    def once(self, push: Push) -> msgspec.Raw:
        """Return the push as bytes, encoded once however many clients it goes to this turn."""
        known = self._encoded.get(id(push))
        if known is None:
            # The push is kept beside its bytes, or its id could be another object's by then.
            known = self._encoded[id(push)] = (push, encode_record(push))
        return known[1]

    def flush(self) -> None:
        """Send all that the turn collected, after what still waits from earlier turns."""
        if self._waiting:
            self._retry()
        if not self.has_pending:
            return
        for key, by_peer in self.pending.items():
            if by_peer:
                self.pending[key] = {}
                self._send_all(self._doors[key], by_peer)
        self._encoded.clear()
        # Last: what a failure held up leaves with the next flush.
        self.has_pending = False

    def add(self, link: Link, peer: Peer, record: Record) -> None:
        """Collect one record for a peer of a link that sends."""
        self.has_pending = True
        self.pending[id(link)].setdefault(peer, []).append(record)

    def flush_peer(self, door: Door[ChannelT], peer: Peer) -> None:
        """Send what the turn collected for one peer, which is about to be dropped."""
        records = self.pending.get(id(door.link), {}).pop(peer, None)
        if records is not None:
            self._send(door, peer, self._frames(records), self._header(door.link))

    def forget(self, door: Door[ChannelT], peer: Peer) -> None:
        """Drop what waits for the peer, and what the core would have been told of it."""
        self._news.lost.pop((door.link, peer), None)
        self._news.slow.pop((door.link, peer), None)
        channel = door.channel(peer)
        if channel is not None:
            self._drop_backlog(channel, peer)

    def close(self, channel: ChannelT) -> None:
        """Forget a channel that is closed."""
        for peer in list(channel.backlogs):
            self._drop_backlog(channel, peer)
        self._waiting.pop(channel, None)
        self._news.touched.pop(channel, None)

    def statistics(self) -> dict[str, int]:
        """Return what waits."""
        backlogs = [backlog for channel in self._waiting for backlog in channel.backlogs.values()]
        return {
            "backlog_messages": sum(len(backlog.messages) for backlog in backlogs),
            "backlog_bytes": sum(backlog.bytes for backlog in backlogs),
            "slow_peers": sum(backlog.is_slow for backlog in backlogs),
        }

    def _send_all(self, door: Door[ChannelT], by_peer: dict[Peer, list[Record]]) -> None:
        header, waiting = self._header(door.link), iter(by_peer.items())
        # Encoded first, for a few peers: what leaves in a row wakes libzmq's thread once.
        while ready := [(peer, self._frames(records)) for peer, records in islice(waiting, 4)]:
            for peer, frames in ready:
                self._send(door, peer, frames, header)

    def _send(self, door: Door[ChannelT], peer: Peer, frames: list[bytes], header: bytes) -> None:
        channel = door.channel(peer)
        if channel is None:
            self._counts["dropped_absent"] += sum(map(record_count, frames))
            return
        self._news.touched[channel] = None
        for frame in frames:
            outcome = Outcome.FULL
            if peer not in channel.backlogs:
                outcome = channel.send(peer, header, frame)
            if outcome is Outcome.SENT:
                self._count(header, frame)
            elif outcome is Outcome.FULL:
                self._keep(door, channel, peer, (header, frame))
            else:
                self._news.lost[door.link, peer] = UNREACHABLE
                self._counts["dropped_gone"] += record_count(frame)

    def _keep(
        self, door: Door[ChannelT], channel: ChannelT, peer: Peer, message: tuple[bytes, bytes]
    ) -> None:
        backlog = channel.backlogs.get(peer)
        if backlog is None:
            backlog = channel.backlogs[peer] = Backlog()
            self._waiting[channel] = door
        was_slow = backlog.is_slow
        if not backlog.add(*message):
            self._counts["dropped_slow"] += record_count(message[1])
            if not was_slow:
                self._news.slow[door.link, peer] = None

    def _retry(self) -> None:
        """Try what waits again; a peer that took all of it is no longer slow."""
        for channel, door in list(self._waiting.items()):
            self._news.touched[channel] = None
            for peer, backlog in list(channel.backlogs.items()):
                outcome = self._drain(channel, peer, backlog)
                if outcome is Outcome.GONE:
                    self._drop_backlog(channel, peer)
                    self._news.lost[door.link, peer] = UNREACHABLE
                elif outcome is Outcome.SENT:
                    del channel.backlogs[peer]
            if not channel.backlogs:
                self._waiting.pop(channel, None)

    def _drain(self, channel: ChannelT, peer: Peer, backlog: Backlog) -> Outcome:
        while backlog.messages:
            header, frame = backlog.messages[0]
            outcome = channel.send(peer, header, frame)
            if outcome is not Outcome.SENT:
                return outcome
            self._count(header, frame)
            backlog.drop_first()
        return Outcome.SENT

    def _count(self, header: bytes, frame: bytes) -> None:
        counts = self._counts
        counts["messages_out"] += 1
        counts["records_out"] += record_count(frame)
        counts["bytes_out"] += len(header) + len(frame)

    def _drop_backlog(self, channel: ChannelT, peer: Peer) -> None:
        backlog = channel.backlogs.pop(peer, None)
        if backlog is not None:
            self._counts["dropped_gone"] += sum(
                record_count(frame) for _, frame in backlog.messages
            )
        if not channel.backlogs:
            self._waiting.pop(channel, None)

    def _frames(self, records: list[Record]) -> list[bytes]:
        """Encode; a record that cannot be costs itself, not what it travels with."""
        try:
            return encode_frames(records)
        except _ENCODING_ERRORS as error:
            if len(records) == 1:
                self._counts["dropped_broken"] += 1
                name = type(records[0]).__name__
                logger.error("reactor.encode.failed record=%s error=%s", name, error)  # noqa: TRY400 -- the stack is ours, the record the core's
                return []
        return [frame for record in records for frame in self._frames([record])]


def record_count(frame: bytes) -> int:
    """Return how many records a frame of ours holds: the length of its MessagePack array."""
    first = frame[0]
    return first & 0x0F if first != _ARRAY_16 else int.from_bytes(frame[1:3])
