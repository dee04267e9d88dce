"""Carry out what a core asks for.

Effects run in list order. `Send` and `Broadcast` collect in outboxes that leave when the turn ends;
everything else happens at once.
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
    Peer,
    Probe,
    Save,
    Send,
    Unlisten,
)
from zreg.errors import NotReadyError, UnavailableError, UsageError
from zreg.reactor.checks import Checks
from zreg.reactor.links import Channel, DialChannel
from zreg.reactor.outbox import Outbox, SendResults
from zreg.reactor.raft_links import AnswerChannel
from zreg.reactor.socket_options import LINGER_MILLISECONDS
from zreg.reactor.socket_set import DialDoor, SocketSet
from zreg.storage.failures import CoreFailedError
from zreg.wire.client_messages import Push
from zreg.wire.codec import encode_frames
from zreg.wire.common_messages import Refused

_NO_ANSWER_FRAME: Final = encode_frames(
    [Refused(0, NotReadyError.code, "this node has no answer to that: ask again")]
)[0]

logger = logging.getLogger("zreg.reactor")

EventCallback = Callable[[msgspec.Struct], None]


class Disk(Protocol):
    """What `Save` is carried out by: a `Journal`."""

    def save(self, step: Save) -> None:
        """Make `step` durable; raises `NodeEndError` when it cannot be done."""
        ...


class Hooks(msgspec.Struct, frozen=True):
    """What a performer needs of the loop around it."""

    header: Callable[[Link], bytes]
    # Called with a channel that was opened, and with one that is about to be closed.
    watch: Callable[[DialChannel], None]
    unwatch: Callable[[DialChannel], None]
    post: Callable[[Local], None]
    on_event: EventCallback | None = None
    # Only a core that has one may ask for `Save`. Such a core ends its node when it raises.
    disk: Disk | None = None


class EffectRunner:
    """Turns effects into what sockets, loggers and the application see."""

    def __init__(self, doors: SocketSet, counts: Counter[str], hooks: Hooks) -> None:
        self._doors = doors
        self._dials = {**doors.dealers, **doors.subs}
        self._counts = counts
        self._hooks = hooks
        self.news: SendResults[Channel] = SendResults()
        self.sends = Outbox(doors.sending(), counts, hooks.header, self.news)
        self._broadcasts = Outbox(doors.pubs, counts, hooks.header, self.news)
        self.checks = Checks(hooks.post)

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Do what the effects say, in their order."""
        sends = self.sends
        pending = sends.pending
        for effect in effects:
            # Nearly all there is is handled here, without another call.
            if type(effect) is Send:
                by_peer = pending.get(id(effect.link))
                if by_peer is None:
                    self._misplaced(effect)
                    continue
                message = effect.message
                record = sends.once(message) if type(message) is Push else message
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
        """End the turn: send what it collected, and answer who is owed an answer.

        Broadcasts first: more are waiting for news than for an answer.
        """
        if self._broadcasts.has_pending:
            self._broadcasts.flush()
        self.sends.flush()
        for channel in self._doors.answers:
            if channel.owed is not None:
                self._answer_for_core(channel)

    def forget_routed(self, link: Link, peer: Peer) -> None:
        """Forget a peer of a ROUTER that is gone, and what waits for it."""
        router = self._doors.routers.get(id(link))
        if router is not None and isinstance(peer, bytes):
            router.peers.forget(peer)
            self.sends.forget(self._doors.bound[id(link)], peer)

    def core_failed(self, during: str) -> None:
        """Note what a core raised: it costs that call, or the node where others rely on its state.

        Must be called from an `except` block.
        """
        self._counts["core_errors"] += 1
        logger.exception("reactor.core.failed %s", during)  # noqa: LOG004 -- the caller handles one
        if self._hooks.disk is not None:
            raise CoreFailedError(
                "This node has met a bug in itself and ends, since its state cannot be trusted any "
                "more: start it again, and report what it has logged."
            )

    def close(self, channel: DialChannel, *, linger_milliseconds: int = 0) -> None:
        """Close a connection and forget all that waits for it."""
        self._hooks.unwatch(channel)
        self._dials[id(channel.link)].remove(channel.peer)
        self.sends.close(channel)
        channel.close(linger_milliseconds)

    def _answer_for_core(self, channel: AnswerChannel) -> None:
        """Answer the request that the core did not: a REP that owes an answer is stuck."""
        assert channel.owed is not None
        self._counts["answered_for_core"] += 1
        channel.send(channel.owed, self._hooks.header(channel.link), _NO_ANSWER_FRAME)
        # Answering may have swallowed the wake-up for the next request.
        self.news.touched[channel] = None

    def _carry_out_other(self, effect: Effect) -> None:
        match effect:
            case Broadcast():
                self._broadcast(effect)
            case Connect():
                self._connect(effect)
            case Disconnect():
                self._disconnect(effect.link, effect.peer)
            case Listen() | Unlisten():
                self._listen(effect)
            case Probe():
                self._probe(effect)
            case Log():
                _log(effect)
            case Emit():
                self._emit(effect.event)
            case _:
                self._misplaced(effect)

    def _broadcast(self, effect: Broadcast) -> None:
        channel = self._doors.pub_channels.get(id(effect.link))
        if channel is None:
            self._misplaced(effect)
        elif channel.topics.is_heard(effect.topic):
            self._broadcasts.add(effect.link, effect.topic, effect.message)
        else:
            self._counts["broadcasts_unheard"] += 1

    def _save(self, effect: Save) -> None:
        if self._hooks.disk is None:
            self._misplaced(effect)
            return
        # Nothing of it relies on what is saved now: peers may work on it meanwhile.
        self.sends.flush()
        self._hooks.disk.save(effect)

    def _connect(self, effect: Connect) -> None:
        door = self._dials.get(id(effect.link))
        if door is None:
            if effect.link in self._doors.checks:
                self.checks.begin(effect)
            else:
                self._misplaced(effect)
            return
        # A second Connect replaces the first, of which nothing more is heard.
        self._drop(door, effect.peer)
        try:
            channel = door.open(effect.peer, effect.address)
        except (UsageError, UnavailableError) as error:
            self.news.lost[effect.link, effect.peer] = str(error)
        else:
            self._hooks.watch(channel)

    def _disconnect(self, link: Link, peer: Peer) -> None:
        router = self._doors.routers.get(id(link))
        if router is not None:
            door = self._doors.bound[id(link)]
            self.sends.flush_peer(door, peer)
            self.sends.forget(door, peer)
            if isinstance(peer, bytes):
                router.peers.forget(peer)
        elif (dial := self._dials.get(id(link))) is not None:
            self._drop(dial, peer)
        else:
            self._misplaced(Disconnect(link, peer))

    def _drop(self, door: DialDoor, peer: Peer) -> None:
        """Close a connection after what was sent before in this turn has been handed over."""
        if id(door.link) in self.sends.pending:
            self.sends.flush_peer(door, peer)
        self.sends.forget(door, peer)
        channel = door.find(peer)
        if channel is not None:
            self.close(channel, linger_milliseconds=LINGER_MILLISECONDS)

    def _listen(self, effect: Listen | Unlisten) -> None:
        door = self._doors.subs.get(id(effect.link))
        if door is None:
            self._misplaced(effect)
        elif type(effect) is Listen:
            door.listen(effect.topic)
        else:
            door.unlisten(effect.topic)

    def _probe(self, effect: Probe) -> None:
        router = self._doors.routers.get(id(effect.link))
        if router is None or not isinstance(effect.peer, bytes):
            self._misplaced(effect)
        else:
            router.peers.probe(effect.peer)

    def _emit(self, event: msgspec.Struct) -> None:
        if self._hooks.on_event is None:
            return
        try:
            self._hooks.on_event(event)
        except Exception:
            self._counts["event_errors"] += 1
            logger.exception("reactor.event.failed event=%s", type(event).__name__)

    def _misplaced(self, effect: Effect) -> None:
        """Note an effect that the link table has no place for: a bug of the core or its node."""
        self._counts["core_errors"] += 1
        logger.error("reactor.effect.misplaced effect=%r", effect)


def _log(effect: Log) -> None:
    target = logging.getLogger(f"zreg.{effect.event.partition('.')[0]}")
    if target.isEnabledFor(effect.level):
        fields = "".join(f" {name}={_shown(value)}" for name, value in effect.fields.items())
        target.log(effect.level, "%s%s", effect.event, fields)


def _shown(value: str | float) -> str:
    """Return the value, quoted if it would read as more than one."""
    text = str(value)
    return repr(text) if not text or any(c.isspace() or c in "='\"" for c in text) else text
