"""One running client: a core on the loop of all clients, a queue of commands for it, one lock.

Calls of the API leave commands in the outgoing queue and wake the loop once per burst. Events of
the core arrive on the loop's thread, change the publications and subscriptions under the lock, and
wake the threads that wait. Callbacks run on the dispatcher's thread, so they may call the API.

No code of the user runs under the lock, nor on the loop's thread, except callbacks that the program
declares quick (`InlineCallbacks`): it could take seconds, raise anything, or wait for the client
itself. Log lines are written by `BackgroundLog`, and the reactor looks names up on threads of their
own.
"""

import itertools
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import ParamSpec

import msgspec

from zreg import errors
from zreg.client.arguments import seconds_to_wait
from zreg.client.core.commands import (
    AddSubscription,
    Answer,
    Ask,
    ClientState,
    DropSubscription,
    Question,
)
from zreg.client.runtime.client_node import ClientNode
from zreg.client.runtime.events.connection_status import ConnectionStatus
from zreg.client.runtime.events.event_router import EventRouter
from zreg.client.runtime.events.listener import PublicationListener, SubscriptionListener
from zreg.client.runtime.events.listener_table import ListenerTable
from zreg.client.runtime.events.pending_answers import PendingAnswers, unanswered
from zreg.client.runtime.threads import closing
from zreg.client.runtime.threads.background_log import BACKGROUND_LOG
from zreg.client.runtime.threads.core_runner import CoreRunner
from zreg.client.runtime.threads.dispatcher import Dispatcher
from zreg.client.runtime.threads.inline_callbacks import InlineCallbacks
from zreg.client.runtime.threads.lifecycle import CLOSED, Lifecycle
from zreg.client.runtime.threads.loop_thread import is_loop_thread
from zreg.client.runtime.threads.outgoing_queue import OutgoingQueue
from zreg.config import Config
from zreg.errors import UsageError

P = ParamSpec("P")


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

    The client and its publications, subscriptions and services refer to the runtime. Its threads do
    not, nor does what they refer to. So it is garbage once the program has dropped them all, and
    then it closes itself with a `ResourceWarning`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.changed = threading.Condition()
        self.client_id = os.urandom(16)
        self.connection = ConnectionStatus(
            settings.addresses, advertise_host=settings.advertise_host
        )
        self._listeners = ListenerTable(settings.config)
        self._answers = PendingAnswers()
        self._router = EventRouter(self.connection, self._listeners, self._answers)
        self._numbers = itertools.count(1)
        self._event_count = 0
        name = f"zreg-{self.client_id.hex()[:8]}"
        self.dispatcher = Dispatcher(f"{name}-callbacks")
        new_node = partial(
            ClientNode,
            settings.config,
            client_id=self.client_id,
            addresses=settings.addresses,
            app=settings.app,
            on_event=_weak_call(self._on_event),
            log_lines=BACKGROUND_LOG,
        )
        self.core_runner = CoreRunner(
            self.changed, OutgoingQueue(), new_node, _weak_call(self._on_core_failed)
        )
        self.inline_callbacks = InlineCallbacks(self.core_runner.call_soon)
        self.lifecycle = Lifecycle(self.core_runner)
        self.core_runner.start()
        closing.add(self)

    def __repr__(self) -> str:
        """Show state and session."""
        return f"<Runtime {self.connection.state.value} {self.connection.address!r}>"

    @property
    def state(self) -> ClientState:
        """The state of the connection to the registry; CLOSED if the client cannot be used."""
        return self.connection.state if self.lifecycle.is_usable else ClientState.CLOSED

    def why_waiting(self) -> str:
        """Return a sentence that says what ended this client, or else how its connection is."""
        return self.lifecycle.why_closed() or self.connection.why_waiting()

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people; they may be a moment old."""
        with self.changed:
            sizes: dict[str, int | float | str] = {
                "state": self.connection.state.value,
                "session": self.connection.address,
                "publications": len(self._listeners.publications),
                "subscriptions": len(self._listeners.subscriptions),
                "commands_waiting": len(self.core_runner.outgoing),
            }
            node = self.core_runner.node
        return sizes if node is None else node.statistics() | sizes

    # --- publications, subscriptions, questions ---------------------------------------------

    def add_publication(self, publisher_id: bytes, listener: PublicationListener) -> None:
        """Tell the listener of its publication from now on. Needs the lock."""
        self._listeners.add_publication(publisher_id, listener)

    def withdraw(self, publisher_id: bytes) -> None:
        """Unpublish, and tell the listener nothing more. Needs the lock."""
        self._listeners.remove_publication(publisher_id)
        self.core_runner.outgoing.put_withdrawal(publisher_id)
        self.core_runner.wake()
        self.notify_all()

    def new_feed_id(self) -> int:
        """Return a number for a subscription that was not used yet."""
        return next(self._numbers)

    def subscribe(self, command: AddSubscription, listener: SubscriptionListener) -> None:
        """Follow a datum, and tell the listener of it. Needs the lock."""
        self._listeners.add_subscription(command.feed_id, listener)
        self.core_runner.outgoing.put(command)
        self.core_runner.wake()

    def unsubscribe(self, feed_id: int) -> None:
        """End a subscription, and tell the listener nothing more. Needs the lock."""
        self._listeners.remove_subscription(feed_id)
        self.core_runner.outgoing.put(DropSubscription(feed_id))
        self.core_runner.wake()

    def request(self, question: Question, timeout_seconds: float) -> Answer:
        """Return the session's answer; raise `UnavailableError` or `RefusedError` without one."""
        seconds = seconds_to_wait(timeout_seconds)
        if not isinstance(question, Question):
            raise UsageError(f"{question!r:.80} is no question to a session")
        self.lifecycle.check_open()
        self.lifecycle.check_may_wait()
        ask_id = next(self._numbers)

        def is_over() -> bool:
            return self._answers.has_outcome(ask_id) or self.core_runner.is_closed

        with self.changed:
            self._answers.add(ask_id)
            deadline = math.inf if seconds is None else seconds
            self.core_runner.outgoing.put(Ask(ask_id, question, deadline))
            self.core_runner.wake()
            try:
                # The core keeps the deadline; its loop has one second more to tell of it.
                self.changed.wait_for(is_over, None if seconds is None else seconds + 1)
            finally:
                outcome = self._answers.take(ask_id)
        if outcome is None:
            self.lifecycle.check_open()
            raise unanswered(self.connection.why_waiting())
        if isinstance(outcome, errors.Error):
            raise outcome
        return outcome

    def wait(
        self, condition: Callable[[], bool], timeout_seconds: float, why: Callable[[], str]
    ) -> None:
        """Wait until the condition holds; it is evaluated without the lock, after every event.

        Raises `zreg.TimeoutError` with the reason that `why` returns, and `ClosedError`.
        """
        seconds = seconds_to_wait(timeout_seconds)
        self.lifecycle.check_not_forked()
        self.lifecycle.check_may_wait()

        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            # Before the condition looks: what happens from now on is looked at again.
            count, is_closed = self._event_count, self.core_runner.is_closed
            if condition():
                return
            if is_closed:
                self.lifecycle.check_open()
            if not self._wait_for_event(count, deadline):
                raise errors.TimeoutError(f"{why()} (waited {seconds:g} s)")

    def _wait_for_event(self, count: int, deadline: float) -> bool:
        """Wait until more than `count` events have come; return False after the deadline."""

        def is_over() -> bool:
            return self._event_count != count or self.core_runner.is_closed

        left = None if deadline == math.inf else deadline - time.monotonic()
        with self.changed:
            return self.changed.wait_for(is_over, left)

    def notify_all(self) -> None:
        """Have all threads that wait look again. Needs the lock."""
        self._event_count += 1
        self.changed.notify_all()

    # --- the end ----------------------------------------------------------------------------

    def begin_close(self, why: str = CLOSED) -> None:
        """Say goodbye; a second call does nothing. A forked child has nothing to close."""
        if self.lifecycle.is_forked:
            return
        with self.changed:
            if self.core_runner.is_closed:
                return
            self.core_runner.close(why)
            self._listeners.on_session_lost(time.monotonic())
            self.notify_all()
            self.inline_callbacks.close()
        self.dispatcher.close()

    def finish_close(self, deadline: float) -> None:
        """Wait until the goodbye has left, but not beyond the deadline.

        An inline callback does not wait: the goodbye leaves when it has returned.
        """
        if self.lifecycle.is_forked or is_loop_thread():
            return
        self.core_runner.join(max(0.0, deadline - time.monotonic()))
        self.dispatcher.join(max(0.0, deadline - time.monotonic()))

    def on_forked(self) -> None:
        """Note that this is a forked child: threads and sockets stayed with the parent."""
        self.lifecycle.is_forked = True

    def __del__(self) -> None:
        """Close a runtime that the program has dropped, without waiting for the goodbye."""
        lifecycle = getattr(self, "lifecycle", None)
        if lifecycle is not None and lifecycle.is_usable:
            self.begin_close(closing.DROPPED)
            closing.warn_dropped(
                self,
                ", ".join(self.settings.addresses),
                is_loop_thread=is_loop_thread(),
            )

    # --- on the loop's thread ---------------------------------------------------------------

    def _on_core_failed(self) -> None:
        """End what relies on the thread, which has failed. Needs the lock."""
        self._listeners.on_session_lost(time.monotonic())
        self.dispatcher.close()
        self.inline_callbacks.close()
        self.notify_all()

    def _on_event(self, event: msgspec.Struct) -> None:
        with self.changed:
            self._router.on_event(event)
            self.notify_all()
        self.inline_callbacks.run()


def _weak_call(method: Callable[P, None]) -> Callable[P, None]:
    """Return a function that calls a bound method, as long as its object is not garbage."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: P.args, **named: P.kwargs) -> None:
        target = reference()
        if target is not None:
            target(*arguments, **named)

    return call
