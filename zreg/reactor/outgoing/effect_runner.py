"""Carry out what a core asks for.

Effects are carried out in list order. `Send` and `Broadcast` collect in outboxes that leave when
the turn ends; everything else happens at once.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from zreg.effects import (
    Broadcast,
    Connect,
    Disconnect,
    Effect,
    Emit,
    Flush,
    Link,
    Listen,
    Local,
    Log,
    Probe,
    Save,
    Send,
    Unlisten,
)
from zreg.errors import NotReadyError
from zreg.primitives.reports.event_ring import fields_text
from zreg.reactor.log_lines import LOG_AT_ONCE, LogLines, write_failure
from zreg.reactor.outgoing.connection_effects import (
    ConnectionEffects,
    ConnectionWatcher,
    MisplacedEffectError,
)
from zreg.reactor.outgoing.outbox import Outbox
from zreg.reactor.outgoing.send_results import SendResults
from zreg.reactor.sockets.bound.bound_sockets import BoundSocket
from zreg.reactor.sockets.link_socket import LinkSocket
from zreg.reactor.sockets.raft_sockets import RepSocket
from zreg.reactor.sockets.socket_set import SendingLinkSocket, SocketSet
from zreg.wire.codec import encode_frames
from zreg.wire.records.client_messages import Push
from zreg.wire.records.common_messages import Refused

_NO_ANSWER_FRAME: Final = encode_frames(
    [Refused(0, NotReadyError.code, "this node has no answer to the request yet: ask again")]
)[0]

EventCallback = Callable[[msgspec.Struct], None]


class Disk(Protocol):
    """What carries out `Save`: a `Journal`."""

    def save(self, step: Save) -> None:
        """Make `step` durable; raises `NodeEndError` if that is impossible."""
        ...


class Hooks(msgspec.Struct, frozen=True):
    """What an effect runner needs of the reactor around it."""

    header: Callable[[Link], bytes]
    watcher: ConnectionWatcher
    post: Callable[[Local], None]
    # The sockets that the turn polls once more before it ends.
    used: dict[LinkSocket, None]
    on_event: EventCallback | None = None
    # Without a disk a core may not ask for `Save`.
    disk: Disk | None = None
    log_lines: LogLines = LOG_AT_ONCE
    on_log: Callable[[Log], None] | None = None


class EffectRunner:
    """Turns effects into what sockets, loggers, the disk and the application see."""

    def __init__(self, socket_set: SocketSet, counts: Counter[str], hooks: Hooks) -> None:
        self._socket_set = socket_set
        self._counts = counts
        self._hooks = hooks
        self.send_results = SendResults()
        self.sends = Outbox[SendingLinkSocket](
            socket_set.sending(),
            counts,
            hooks.header,
            self.send_results,
            hooks.used,
            hooks.log_lines,
        )
        self._broadcasts = Outbox[BoundSocket](
            socket_set.pubs, counts, hooks.header, self.send_results, hooks.used, hooks.log_lines
        )
        self.connections = ConnectionEffects(
            socket_set, self.sends, self.send_results, hooks.watcher, hooks.post
        )

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Do what the effects say, in their order."""
        sends = self.sends
        pending = sends.pending
        for effect in effects:
            # Nearly all effects are handled in this loop, without another call.
            if type(effect) is Send:
                by_peer = pending.get(id(effect.link))
                if by_peer is None:
                    self._note_misplaced(effect)
                    continue
                message = effect.message
                record = sends.encoded(message) if type(message) is Push else message
                sends.has_pending = True
                records = by_peer.get(effect.peer)
                if records is None:
                    by_peer[effect.peer] = [record]
                else:
                    records.append(record)
            elif type(effect) is Flush:
                sends.flush()
            elif type(effect) is Save:
                self._save(effect)
            else:
                self._carry_out_other(effect)

    def flush(self) -> None:
        """End the turn: send what it collected, and answer the requests that the core did not.

        Broadcasts leave first: more peers wait for hints than for answers.
        """
        if self._broadcasts.has_pending:
            self._broadcasts.flush()
        self.sends.flush()
        for socket in self._socket_set.reps:
            if socket.unanswered is not None:
                self._answer_for_core(socket)

    def _answer_for_core(self, socket: RepSocket) -> None:
        """Refuse the request that the core left unanswered: the REP would be stuck otherwise."""
        assert socket.unanswered is not None
        self._counts["answered_for_core"] += 1
        socket.send(socket.unanswered, self._hooks.header(socket.link), _NO_ANSWER_FRAME)
        # The answer may have swallowed the wake-up for the next request.
        self._hooks.used[socket] = None

    def _carry_out_other(self, effect: Effect) -> None:
        connections = self.connections
        try:
            match effect:
                case Broadcast():
                    self._broadcast(effect)
                case Connect():
                    connections.connect(effect)
                case Disconnect():
                    connections.disconnect(effect)
                case Listen():
                    connections.listen(effect)
                case Unlisten():
                    connections.unlisten(effect)
                case Probe():
                    connections.probe(effect)
                case Log():
                    self.log(effect)
                case Emit():
                    self._emit(effect.event)
                case _:
                    self._note_misplaced(effect)
        except MisplacedEffectError:
            self._note_misplaced(effect)

    def _broadcast(self, effect: Broadcast) -> None:
        socket = self._socket_set.pub_sockets.get(id(effect.link))
        if socket is None:
            self._note_misplaced(effect)
        elif socket.topics.has_subscriber(effect.topic):
            self._broadcasts.add(effect.link, effect.topic, effect.message)
        else:
            self._counts["broadcasts_unheard"] += 1

    def _save(self, effect: Save) -> None:
        if self._hooks.disk is None:
            self._note_misplaced(effect)
            return
        # What was sent before does not rely on this save: peers may work on it meanwhile.
        self.sends.flush()
        self._hooks.disk.save(effect)

    def _emit(self, event: msgspec.Struct) -> None:
        if self._hooks.on_event is None:
            return
        try:
            self._hooks.on_event(event)
        except Exception:  # noqa: BLE001 -- the application may raise anything
            self._counts["event_errors"] += 1
            write_failure(
                self._hooks.log_lines, f"reactor.event.failed event={type(event).__name__}"
            )

    def _note_misplaced(self, effect: Effect) -> None:
        """Note an effect that the link table has no place for: a bug of the core or its node."""
        self._counts["core_errors"] += 1
        line = f"reactor.effect.misplaced effect={effect!r}"
        self._hooks.log_lines.write("zreg.reactor", logging.ERROR, line)

    def log(self, effect: Log) -> None:
        """Write a log line, and tell the node, which keeps it for those who ask."""
        if self._hooks.on_log is not None:
            self._hooks.on_log(effect)
        logger_name = f"zreg.{effect.event.partition('.')[0]}"
        log_lines = self._hooks.log_lines
        if log_lines.may_write(logger_name, effect.level):
            line = f"{effect.event} {fields_text(effect.fields)}".rstrip()
            log_lines.write(logger_name, effect.level, line)
