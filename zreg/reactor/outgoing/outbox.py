"""The records of one turn, collected per peer and encoded once.

All records for one peer leave as one message, or as few as the limits of a frame allow. Over a
link that the peer shares with others they leave in messages of one share each (`SHARED`). A peer
that does not read gets a bounded backlog (`RetryQueue`); beyond it records are dropped and counted.
This module uses no socket: a `SendingSocket` sends a message, or says why it does not.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final, Generic

import msgspec

from zreg.effects import UNREACHABLE, Link, Peer
from zreg.reactor.link_table import records_max
from zreg.reactor.log_lines import LOG_AT_ONCE, LogLines
from zreg.reactor.outgoing.retry_queue import RetryQueue, count_sent, record_count
from zreg.reactor.outgoing.send_results import SendingLink, SendResults, SocketT, UsedSockets
from zreg.reactor.sockets.backlog import Outcome
from zreg.wire.codec import encode_frames, encode_record
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Push

Record = Message | msgspec.Raw
_ENCODING_ERRORS: Final = (ValueError, TypeError, OverflowError, msgspec.MsgspecError)
# For this many peers all frames are encoded before the first is sent: sends without a pause between
# them wake libzmq's thread once.
_PEERS_ENCODED_MAX: Final = 4


class Outbox(Generic[SocketT]):
    """The records of one turn, by link and peer, that have not been handed to a socket yet."""

    def __init__(
        self,
        sending_links: Mapping[int, SendingLink[SocketT]],
        counts: Counter[str],
        header: Callable[[Link], bytes],
        results: SendResults,
        used: UsedSockets[SocketT],
        log_lines: LogLines = LOG_AT_ONCE,
    ) -> None:
        self._sending_links = sending_links
        self._log_lines = log_lines
        self._counts = counts
        self._header = header
        self._results = results
        self._used = used
        self.retry_queue = RetryQueue(counts, results, used)
        # By `id` of the link: an enum member's own hash is a Python function, 200 ns a message.
        self.pending: dict[int, dict[Peer, list[Record]]] = {key: {} for key in sending_links}
        # Whether `pending` holds any record: most turns are flushed more than once.
        self.has_pending = False
        # By `id` of the push. The push is kept beside its bytes, so that its id stays its own.
        self._encoded: dict[int, tuple[Push, msgspec.Raw]] = {}

    def encoded(self, push: Push) -> msgspec.Raw:
        """Return the push as bytes; it is encoded once a turn, for all clients that it goes to."""
        known = self._encoded.get(id(push))
        if known is None:
            known = self._encoded[id(push)] = (push, encode_record(push))
        return known[1]

    def add(self, link: Link, peer: Peer, record: Record) -> None:
        """Collect one record for a peer of a link that sends."""
        self.has_pending = True
        self.pending[id(link)].setdefault(peer, []).append(record)

    def flush(self) -> None:
        """Send what still waits from earlier turns, then all that this turn collected."""
        if self.retry_queue.waiting:
            self.retry_queue.retry()
        if not self.has_pending:
            return
        for key, by_peer in self.pending.items():
            if by_peer:
                self.pending[key] = {}
                self._send_all(self._sending_links[key], by_peer)
        self._encoded.clear()
        # Set last: if a link fails, the records of the links after it leave with the next flush.
        self.has_pending = False

    def flush_peer(self, sending_link: SendingLink[SocketT], peer: Peer) -> None:
        """Send what this turn collected for one peer, before its connection is dropped."""
        records = self.pending.get(id(sending_link.link), {}).pop(peer, None)
        if records is not None:
            link = sending_link.link
            self._send(sending_link, peer, self._frames(link, records), self._header(link))

    def forget(self, sending_link: SendingLink[SocketT], peer: Peer) -> None:
        """Drop the peer's backlog, and what the core would be told about it."""
        self._results.forget(sending_link.link, peer)
        socket = sending_link.socket_to(peer)
        if socket is not None:
            self.retry_queue.drop(socket, peer)

    def close(self, socket: SocketT) -> None:
        """Drop what waits for a socket that is closed."""
        self.retry_queue.drop_all(socket)

    def _send_all(
        self, sending_link: SendingLink[SocketT], by_peer: dict[Peer, list[Record]]
    ) -> None:
        link = sending_link.link
        header, rest = self._header(link), iter(by_peer.items())
        while ready := [
            (peer, self._frames(link, records))
            for peer, records in islice(rest, _PEERS_ENCODED_MAX)
        ]:
            for peer, frames in ready:
                self._send(sending_link, peer, frames, header)

    def _send(
        self, sending_link: SendingLink[SocketT], peer: Peer, frames: list[bytes], header: bytes
    ) -> None:
        socket = sending_link.socket_to(peer)
        if socket is None:
            self._counts["dropped_absent"] += sum(map(record_count, frames))
            return
        self._used[socket] = None
        for frame in frames:
            outcome = Outcome.FULL
            if peer not in socket.backlogs:
                outcome = socket.send(peer, header, frame)
            if outcome is Outcome.SENT:
                count_sent(self._counts, header, frame)
            elif outcome is Outcome.FULL:
                self.retry_queue.add(sending_link, socket, peer, (header, frame))
            else:
                self._results.lost[sending_link.link, peer] = UNREACHABLE
                self._counts["dropped_gone"] += record_count(frame)

    def _frames(self, link: Link, records: list[Record]) -> list[bytes]:
        """Encode the records; one that cannot be encoded is dropped, the others are kept."""
        try:
            return encode_frames(records, records_max(link))
        except _ENCODING_ERRORS as error:
            if len(records) == 1:
                self._counts["dropped_broken"] += 1
                name = type(records[0]).__name__
                line = f"reactor.encode.failed record={name} error={error}"
                self._log_lines.write("zreg.reactor", logging.ERROR, line)
                return []
        return [frame for record in records for frame in self._frames(link, [record])]
