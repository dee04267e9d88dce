"""One running client: its core on a loop, a queue of commands for it, and what the events changed.

Calls of the API leave commands in the outgoing queue and wake the loop once per burst. Events of
the core arrive on the loop, change the publications and subscriptions under the lock, and wake what
waits. `threads` and `aio` say on which loop the core runs, and who waits how.
"""

import itertools
import os
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import ParamSpec

import msgspec

from zreg.client.core.commands import AddSubscription, Ask, ClientState, DropSubscription, Question
from zreg.client.runtime.callbacks.inline_callbacks import InlineCallbacks
from zreg.client.runtime.client_node import ClientNode
from zreg.client.runtime.core_runner import CoreRunner
from zreg.client.runtime.events.changed import Changed
from zreg.client.runtime.events.connection_status import ConnectionStatus
from zreg.client.runtime.events.event_router import EventRouter
from zreg.client.runtime.events.listener import PublicationListener, SubscriptionListener
from zreg.client.runtime.events.listener_table import ListenerTable
from zreg.client.runtime.events.pending_answers import PendingAnswers
from zreg.client.runtime.lifecycle import Lifecycle
from zreg.client.transports import CoreNode, new_node_without_zmq
from zreg.config import Config
from zreg.errors import UsageError
from zreg.reactor.log_lines import LogLines
from zreg.reactor.sockets.link_socket import ZmqContext

P = ParamSpec("P")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings with which a runtime is built."""

    config: Config
    addresses: tuple[str, ...]
    app: str = ""
    # The host to publish in place of the one that the route to the session shows.
    advertise_host: str | None = None


class Runtime:
    """One running client: what is the same on threads and on a loop of the program.

    `changed` is the one lock; it is notified at every event. A method that needs it says so.

    The client and its publications, subscriptions and services refer to the runtime. What runs the
    core does not, nor does what that refers to. So the runtime is garbage once the program has
    dropped them all, and then it closes itself with a `ResourceWarning`.
    """

    core_runner: CoreRunner
    lifecycle: Lifecycle
    inline_callbacks: InlineCallbacks

    def __init__(self, settings: Settings, changed: Changed) -> None:
        self.settings = settings
        self.changed = changed
        self.client_id = os.urandom(16)
        self.connection = ConnectionStatus(
            settings.addresses, advertise_host=settings.advertise_host
        )
        self._listeners = ListenerTable(settings.config)
        self._answers = PendingAnswers()
        self._router = EventRouter(self.connection, self._listeners, self._answers)
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        """Show state and session."""
        return f"<{type(self).__name__} {self.connection.state.value} {self.connection.address!r}>"

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
        self.notify(publisher_id)

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
        self.notify(feed_id)

    def begin_question(self, question: Question, timeout_seconds: float) -> int:
        """Ask the session and return the number of the question. Needs the lock."""
        if not isinstance(question, Question):
            raise UsageError(f"{question!r:.80} is no question to a session")
        ask_id = next(self._numbers)
        self._answers.add(ask_id)
        self.core_runner.outgoing.put(Ask(ask_id, question, timeout_seconds))
        self.core_runner.wake()
        return ask_id

    def notify(self, key: bytes | int) -> None:
        """Have the waits for a publisher id, feed id or ask id look again. Needs the lock."""
        raise NotImplementedError

    # --- the end ----------------------------------------------------------------------------

    def begin_close(self, why: str) -> None:
        """Say goodbye; a second call does nothing. A forked child has nothing to close."""
        if self.lifecycle.is_forked:
            return
        with self.changed:
            if self.core_runner.is_closed:
                return
            self.core_runner.close(why)
            self._end_waits()

    def on_forked(self) -> None:
        """Note that this is a forked child: threads and sockets stayed with the parent."""
        self.lifecycle.is_forked = True

    # --- on the loop's thread ---------------------------------------------------------------

    def _new_node(self, log_lines: LogLines) -> Callable[[ZmqContext], CoreNode]:
        """Return what makes the node, and does not refer to this runtime."""
        settings = self.settings
        return partial(
            new_node_without_zmq(settings.addresses) or ClientNode,
            settings.config,
            client_id=self.client_id,
            addresses=settings.addresses,
            app=settings.app,
            on_event=weak_call(self._on_event),
            log_lines=log_lines,
        )

    def _end_waits(self) -> None:
        """Begin no callback any more, and have all waits end. Needs the lock."""
        self._listeners.on_session_lost(time.monotonic())
        self.inline_callbacks.close()
        self.changed.notify_all()

    def _on_event(self, event: msgspec.Struct) -> None:
        raise NotImplementedError


def weak_call(method: Callable[P, None]) -> Callable[P, None]:
    """Return a call of the method that does not keep its object."""
    weak = weakref.WeakMethod(method)

    def call(*arguments: P.args, **keywords: P.kwargs) -> None:
        alive = weak()
        if alive is not None:
            alive(*arguments, **keywords)

    return call
