"""One running client: a core on a thread of its own, a queue of commands for it, one lock.

Calls of the API leave commands in the outgoing queue and wake the loop once per burst. Events of
the core arrive on the loop's thread, change the publications and subscriptions under the lock, and
wake the threads that wait. Callbacks run on the dispatcher's thread, so they may call the API.
"""

import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from zreg import errors
from zreg.client.core.commands import (
    AddSubscription,
    Answer,
    Ask,
    ClientState,
    DropSubscription,
    Question,
    SetPublication,
)
from zreg.client.runtime.client_node import ClientNode
from zreg.client.runtime.connection_status import ConnectionStatus
from zreg.client.runtime.core_thread import CoreThread
from zreg.client.runtime.dispatcher import Dispatcher
from zreg.client.runtime.event_router import EventRouter
from zreg.client.runtime.listener import PublicationListener, SubscriptionListener
from zreg.client.runtime.listener_table import ListenerTable
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.client.runtime.pending_answers import PendingAnswers, unanswered
from zreg.config import Config
from zreg.errors import ClosedError

CLOSE_SECONDS_MAX: Final = 1.0

# The runtimes that are not closed yet: for the end of the process, and for forked children.
_running: "weakref.WeakSet[Runtime]" = weakref.WeakSet()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings with which a runtime is built."""

    config: Config
    addresses: tuple[str, ...]
    app: str = ""
    # The host to publish in place of the one that the route to the session shows.
    advertise_host: str | None = None


class Runtime:
    """One running client. Any thread may call the public methods.

    `changed` is the one lock; it is notified at every event. A method that needs it says so.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.changed = threading.Condition()
        self.client_id = os.urandom(16)
        self.connection = ConnectionStatus(
            settings.addresses, advertise_host=settings.advertise_host
        )
        self.outgoing = OutgoingQueue()
        self._listeners = ListenerTable(settings.config)
        self._answers = PendingAnswers()
        self._router = EventRouter(self.connection, self._listeners, self._answers)
        self._numbers = itertools.count(1)
        self._is_forked = False
        name = f"zreg-{self.client_id.hex()[:8]}"
        self.dispatcher = Dispatcher(f"{name}-callbacks")
        self._core_thread = CoreThread(name, self.changed, self.outgoing, self._new_node)
        _running.add(self)
        self._core_thread.start()

    def __repr__(self) -> str:
        """Show state and session."""
        return f"<Runtime {self.connection.state.value} {self.connection.address!r}>"

    # --- whether it can be used -------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        """Whether this runtime is open, and not inherited by a forked child."""
        return not (self._core_thread.is_closed or self._is_forked)

    @property
    def state(self) -> ClientState:
        """The state of the connection to the registry; CLOSED if the client cannot be used."""
        return self.connection.state if self.is_usable else ClientState.CLOSED

    def check_open(self) -> None:
        """Raise `ClosedError` if it was closed, or belongs to the parent process."""
        self.check_not_forked()
        if self._core_thread.is_closed:
            raise ClosedError("this client was closed: make a new zreg.Client")

    def check_not_forked(self) -> None:
        """Raise `ClosedError` in a child of the process that made the client."""
        if self._is_forked:
            raise ClosedError(
                "this client belongs to the parent of this forked process: "
                "make a new zreg.Client in the child"
            )

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people; they may be a moment old."""
        with self.changed:
            sizes: dict[str, int | float | str] = {
                "state": self.connection.state.value,
                "session": self.connection.address,
                "publications": len(self._listeners.publications),
                "subscriptions": len(self._listeners.subscriptions),
                "commands_waiting": len(self.outgoing),
            }
            node = self._core_thread.node
        return sizes if node is None else node.statistics() | sizes

    # --- publications, subscriptions, questions ---------------------------------------------

    def add_publication(self, publisher_id: bytes, listener: PublicationListener) -> None:
        """Tell the listener of its publication from now on. Needs the lock."""
        self._listeners.add_publication(publisher_id, listener)

    def publish(self, command: SetPublication) -> None:
        """Publish, or republish under a known id. Needs the lock."""
        self.outgoing.put_publication(command)
        if not self._core_thread.is_woken:
            self._core_thread.wake()

    def withdraw(self, publisher_id: bytes) -> None:
        """Unpublish, and tell the listener nothing more. Needs the lock."""
        self._listeners.remove_publication(publisher_id)
        self.outgoing.put_withdrawal(publisher_id)
        self._core_thread.wake()

    def new_feed_id(self) -> int:
        """Return a number for a subscription that was not used yet."""
        return next(self._numbers)

    def subscribe(self, command: AddSubscription, listener: SubscriptionListener) -> None:
        """Follow a datum, and tell the listener of it. Needs the lock."""
        self._listeners.add_subscription(command.feed_id, listener)
        self.outgoing.put(command)
        self._core_thread.wake()

    def unsubscribe(self, feed_id: int) -> None:
        """End a subscription, and tell the listener nothing more. Needs the lock."""
        self._listeners.remove_subscription(feed_id)
        self.outgoing.put(DropSubscription(feed_id))
        self._core_thread.wake()

    def request(self, question: Question, timeout_seconds: float) -> Answer:
        """Return the session's answer; raise `UnavailableError` or `RefusedError` without one."""
        self.check_open()
        ask_id = next(self._numbers)

        def is_over() -> bool:
            return self._answers.has_outcome(ask_id) or self._core_thread.is_closed

        with self.changed:
            self._answers.add(ask_id)
            self.outgoing.put(Ask(ask_id, question, timeout_seconds))
            self._core_thread.wake()
            try:
                # The core keeps the deadline; its loop has one second more to tell of it.
                self.changed.wait_for(is_over, timeout_seconds + 1)
            finally:
                outcome = self._answers.take(ask_id)
        if outcome is None:
            self.check_open()
            raise unanswered(self.connection.why_waiting())
        if isinstance(outcome, errors.Error):
            raise outcome
        return outcome

    def wait(
        self, condition: Callable[[], bool], timeout_seconds: float, why: Callable[[], str]
    ) -> None:
        """Wait until the condition holds; it is evaluated under the lock, at every event.

        Raises `zreg.TimeoutError` with the reason that `why` returns, and `ClosedError`.
        """
        self.check_not_forked()

        def is_over() -> bool:
            return condition() or self._core_thread.is_closed

        with self.changed:
            if not self.changed.wait_for(is_over, timeout_seconds):
                raise errors.TimeoutError(f"{why()} (waited {timeout_seconds:g} s)")
            if not condition():
                self.check_open()

    # --- the end ----------------------------------------------------------------------------

    def begin_close(self) -> None:
        """Say goodbye; a second call does nothing. A forked child has nothing to close."""
        if self._is_forked:
            return
        with self.changed:
            if self._core_thread.is_closed:
                return
            self._core_thread.close()
            self._listeners.on_session_lost(time.monotonic())
            self.changed.notify_all()
        self.dispatcher.close()

    def finish_close(self, deadline: float) -> None:
        """Wait until the goodbye has left, but not beyond the deadline."""
        if self._is_forked:
            return
        self._core_thread.join(max(0.0, deadline - time.monotonic()))
        self.dispatcher.join(max(0.0, deadline - time.monotonic()))

    def on_forked(self) -> None:
        """Note that this is a forked child: threads and sockets stayed with the parent."""
        self._is_forked = True

    # --- on the loop's thread ---------------------------------------------------------------

    def _new_node(self) -> ClientNode:
        settings = self.settings
        return ClientNode(
            settings.config,
            client_id=self.client_id,
            addresses=settings.addresses,
            app=settings.app,
            on_event=self._on_event,
        )

    def _on_event(self, event: msgspec.Struct) -> None:
        with self.changed:
            self._router.on_event(event)
            self.changed.notify_all()


def close_all(runtimes: Sequence[Runtime], timeout_seconds: float = CLOSE_SECONDS_MAX) -> None:
    """Close several clients together, within the time of one."""
    deadline = time.monotonic() + timeout_seconds
    for runtime in runtimes:
        runtime.begin_close()
    for runtime in runtimes:
        runtime.finish_close(deadline)


def running() -> list[Runtime]:
    """Return the runtimes of this process that are not garbage."""
    return list(_running)


def _on_forked() -> None:
    for runtime in running():
        runtime.on_forked()


os.register_at_fork(after_in_child=_on_forked)
