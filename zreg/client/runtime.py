"""The threads under a `Client`: a loop of its own, a queue of commands, one lock.

Calls of the API leave commands in a queue and wake the loop once per burst; a publication stands
in the queue at most once, however often it is republished. Events of the core come in on the loop's
thread, change what the handles show under the lock, and notify who waits. Callbacks run on the
dispatcher, so any of them may call any of this.
"""

import asyncio
import itertools
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from zreg import errors
from zreg.client.core.commands import (
    Answer,
    Answered,
    Ask,
    AskRefused,
    ClientState,
    ConnectionChanged,
    PublicationRefused,
    Question,
    Registered,
    SessionReached,
    SubscriptionRefused,
    Unanswered,
    ViewChanged,
)
from zreg.client.dispatcher import Dispatcher
from zreg.client.node import ClientNode
from zreg.client.registry_url import advice_on, route_host
from zreg.config import Config
from zreg.effects import Local
from zreg.errors import ClosedError, UnavailableError, UsageError, refusal

if TYPE_CHECKING:
    from zreg.client.publication import Publication
    from zreg.client.subscription import Subscription

CLOSE_SECONDS_MAX: Final = 1.0

logger = logging.getLogger("zreg.client")

# All that were not closed yet: for the end of the process, and for forked children.
_running: "weakref.WeakSet[Runtime]" = weakref.WeakSet()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is made of."""

    config: Config
    addresses: tuple[str, ...]
    app: str = ""
    # The address to publish in place of the one that the route tells.
    advertise_host: str | None = None


class Runtime:
    """One running client. Every method may be called from any thread, but for the private ones."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.changed = threading.Condition()
        self.client_id = os.urandom(16)
        self.state = ClientState.CONNECTING
        self._detail = ""
        self._address = ""
        # Of the last session that a connection stood to; the address above may be one that failed.
        self._reached_address = ""
        self._is_closed = False
        self._is_forked = False
        self._host = settings.advertise_host
        self._publications: dict[bytes, Publication] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._answers: dict[int, Answer | Exception | None] = {}
        self._numbers = itertools.count(1)
        self._commands: deque[Local | Publication] = deque()
        self._is_woken = False
        self._node: ClientNode | None = None
        name = f"zreg-{self.client_id.hex()[:8]}"
        self.dispatcher = Dispatcher(f"{name}-callbacks")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        _running.add(self)
        self._thread.start()

    def __repr__(self) -> str:
        """Show state and session."""
        return f"<Runtime {self.state.value} {self._address!r}>"

    # --- state ------------------------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        """Whether it is neither closed nor the parent's."""
        return not (self._is_closed or self._is_forked)

    def check_open(self) -> None:
        """Raise `ClosedError` if nothing can be asked of it any more."""
        self.check_not_forked()
        if self._is_closed:
            raise ClosedError("this client was closed: make a new zreg.Client")

    def check_not_forked(self) -> None:
        """Raise `ClosedError` in a child of the process that made the client."""
        if self._is_forked:
            raise ClosedError(
                "this client belongs to the parent of this forked process: "
                "make a new zreg.Client in the child"
            )

    def why_waiting(self) -> str:
        """Return a sentence on how the client stands to the registry."""
        if self.state is ClientState.CONNECTED:
            return f"connected to the session at {self._address}"
        addresses = ", ".join(map(_bare, self.settings.addresses))
        last = f" (last: {_bare(self._address)}: {self._detail})" if self._detail else ""
        return f"no session reached at {addresses}{last}: {advice_on(self.settings.addresses)}"

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people; they may be a moment old."""
        with self.changed:
            sizes: dict[str, int | float | str] = {
                "state": self.state.value,
                "session": self._address,
                "publications": len(self._publications),
                "subscriptions": len(self._subscriptions),
                "commands_waiting": len(self._commands),
            }
            node = self._node
        return sizes if node is None else node.statistics() | sizes

    def local_host(self) -> str | None:
        """Return where others reach this machine; None before a session was. Needs the lock."""
        if self._host is None and self._reached_address:
            self._host = route_host(self._reached_address)
        return self._host

    # --- calls ------------------------------------------------------------------------------

    def post(self, command: "Local | Publication") -> None:
        """Leave a command for the core; after the end it is dropped. Needs the lock."""
        if self._is_closed:
            return
        self._commands.append(command)
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._take_commands)

    def wait(
        self, condition: Callable[[], bool], timeout_seconds: float, why: Callable[[], str]
    ) -> None:
        """Wait until the condition holds; it is looked at under the lock, at every event."""
        self.check_not_forked()

        def is_over() -> bool:
            return condition() or self._is_closed

        with self.changed:
            if not self.changed.wait_for(is_over, timeout_seconds):
                raise errors.TimeoutError(f"{why()} (waited {timeout_seconds:g} s)")
            if not condition():
                self.check_open()

    def request(self, question: Question, timeout_seconds: float) -> Answer:
        """Ask the session; `UnavailableError` if nobody answers, `RefusedError` if it says no."""
        self.check_open()
        ask_id = next(self._numbers)
        with self.changed:
            self._answers[ask_id] = None
            self.post(Ask(ask_id, question, timeout_seconds))
            try:
                # The core sees to the deadline; the second on top is for its loop to say so.
                self.changed.wait_for(
                    lambda: self._answers[ask_id] is not None or self._is_closed,
                    timeout_seconds + 1,
                )
            finally:
                answer = self._answers.pop(ask_id)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            self.check_open()
            raise self._unanswered()
        return answer

    def add_publication(self, publication: "Publication") -> None:
        """Keep it, within the limit of a client; twice is fine. Needs the lock."""
        limit = self.settings.config.publishers_per_client_max
        if len(self._publications) >= limit and publication.publisher_id not in self._publications:
            raise UsageError(f"one client publishes at most {limit} times: use several clients")
        self._publications[publication.publisher_id] = publication

    def remove_publication(self, publication: "Publication") -> None:
        """Forget it. Needs the lock."""
        self._publications.pop(publication.publisher_id, None)

    def add_subscription(self, subscription: "Subscription") -> None:
        """Keep it, within the limit of a client. Needs the lock."""
        limit = self.settings.config.subscribers_per_client_max
        if len(self._subscriptions) >= limit:
            raise UsageError(f"one client subscribes at most {limit} times: use several clients")
        self._subscriptions[subscription.feed_id] = subscription

    def remove_subscription(self, subscription: "Subscription") -> None:
        """Forget it. Needs the lock."""
        self._subscriptions.pop(subscription.feed_id, None)

    def new_number(self) -> int:
        """Return a number that was not used yet."""
        return next(self._numbers)

    # --- the end ----------------------------------------------------------------------------

    def begin_close(self) -> None:
        """Say goodbye; twice is fine. In a forked child nothing is done."""
        if self._is_forked:
            return
        with self.changed:
            if self._is_closed:
                return
            self._is_closed = True
            now = time.monotonic()
            for subscription in self._subscriptions.values():
                subscription.session_lost(now)
            self._loop.call_soon_threadsafe(self._stop)
            self.changed.notify_all()
        self.dispatcher.close()

    def finish_close(self, deadline: float) -> None:
        """Wait, but not longer than that, until the goodbye has left."""
        if self._is_forked:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self.dispatcher.join(max(0.0, deadline - time.monotonic()))

    def forget_parent(self) -> None:
        """Note that this is a forked child: threads and sockets stayed with the parent."""
        self._is_forked = True

    # --- on the loop's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            logger.exception("client.loop.failed")
        finally:
            with self.changed:
                self._is_closed = True
                self.changed.notify_all()
            self._loop.close()

    async def _serve(self) -> None:
        settings = self.settings
        self._node = ClientNode(
            settings.config,
            client_id=self.client_id,
            addresses=settings.addresses,
            app=settings.app,
            on_event=self._on_event,
        )
        self._take_commands()
        if self._is_closed:
            self._node.stop()
        await self._node.run()

    def _take_commands(self) -> None:
        """Hand over what the burst left, in its order."""
        node = self._node
        if node is None:
            return
        with self.changed:
            self._is_woken = False
            commands, self._commands = self._commands, deque()
            for command in commands:
                if isinstance(command, Local):
                    node.post(command)
                elif (newest := command.take_command()) is not None:
                    node.post(newest)

    def _stop(self) -> None:
        # Closed before it began: `_serve` sees to it.
        if self._node is not None:
            self._take_commands()
            self._node.stop()

    def _on_event(self, event: msgspec.Struct) -> None:
        with self.changed:
            self._take_event(event)
            self.changed.notify_all()

    def _take_event(self, event: msgspec.Struct) -> None:
        match event:
            case Registered():
                for publisher_id in event.publisher_ids:
                    if (publication := self._publications.get(publisher_id)) is not None:
                        publication.registered()
            case PublicationRefused():
                if (publication := self._publications.get(event.publisher_id)) is not None:
                    publication.refused(event)
            case ViewChanged() | SubscriptionRefused():
                if (subscription := self._subscriptions.get(event.feed_id)) is not None:
                    subscription.take(event)
            case SessionReached() | ConnectionChanged():
                self._connection_changed(event)
            case Answered() | AskRefused() | Unanswered():
                self._answer(event)
            case _:
                pass

    def _connection_changed(self, event: SessionReached | ConnectionChanged) -> None:
        self._address = event.address
        if isinstance(event, SessionReached):
            self._reached_address = event.address
            self._look_for_host()
            return
        self.state, self._detail = event.state, event.detail
        if event.state is not ClientState.CONNECTED:
            now = time.monotonic()
            for subscription in self._subscriptions.values():
                subscription.session_lost(now)

    def _look_for_host(self) -> None:
        """Look again which way leads there: the address to publish may be another one now."""
        if self.settings.advertise_host is None:
            self._host = None
        waiting = [each for each in self._publications.values() if each.needs_host]
        if waiting and (host := self.local_host()) is not None:
            for publication in waiting:
                publication.host_found(host)

    def _answer(self, event: Answered | AskRefused | Unanswered) -> None:
        if event.ask_id not in self._answers:
            return
        match event:
            case Answered():
                self._answers[event.ask_id] = event.answer
            case AskRefused():
                self._answers[event.ask_id] = refusal(event.code, event.detail)
            case Unanswered():
                self._answers[event.ask_id] = self._unanswered()

    def _unanswered(self) -> UnavailableError:
        return UnavailableError(f"nobody answered: {self.why_waiting()}")


def close_all(runtimes: Sequence[Runtime], timeout_seconds: float = CLOSE_SECONDS_MAX) -> None:
    """Close several at once, within the time of one."""
    deadline = time.monotonic() + timeout_seconds
    for runtime in runtimes:
        runtime.begin_close()
    for runtime in runtimes:
        runtime.finish_close(deadline)


def _bare(address: str) -> str:
    return address.removeprefix("tcp://")


def running() -> list[Runtime]:
    """Return all that live in this process."""
    return list(_running)


def _forget_parent() -> None:
    for runtime in running():
        runtime.forget_parent()


os.register_at_fork(after_in_child=_forget_parent)
