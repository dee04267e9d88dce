"""One running client: its core on a loop, a queue of commands for it, and what the events changed.

Calls of the API leave commands in the outgoing queue and wake the loop once per burst. Events of
the core arrive on the loop, change the publications and subscriptions under the lock, and wake what
waits. `threads` and `aio` say on which loop the core runs, and who waits how.
"""

import itertools
import math
import os
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import msgspec

from zreg.client.client_status import Status
from zreg.client.core.commands import (
    AddSubscription,
    Answer,
    Ask,
    ClientState,
    DropQuestion,
    DropSubscription,
    Question,
)
from zreg.client.locating.transports import CoreNode, new_node_without_zmq
from zreg.client.runtime.callbacks.inline_callbacks import InlineCallbacks
from zreg.client.runtime.client_node import ClientNode
from zreg.client.runtime.core_runner import CoreRunner
from zreg.client.runtime.events.changed import Changed
from zreg.client.runtime.events.connection_status import ConnectionStatus
from zreg.client.runtime.events.event_router import EventRouter
from zreg.client.runtime.events.listener import PublicationListener, SubscriptionListener
from zreg.client.runtime.events.listener_table import ListenerTable
from zreg.client.runtime.events.pending_answers import OutcomeListener, PendingAnswers
from zreg.client.runtime.events.setting_watches import SettingWatches
from zreg.client.runtime.events.state_callbacks import StateCallbacks
from zreg.client.runtime.health.check_call import CheckBeginner
from zreg.client.runtime.health.health_monitor import HealthMonitor
from zreg.client.runtime.lifecycle import Lifecycle
from zreg.client.runtime.publication_state import PublicationState
from zreg.config import Config
from zreg.errors import Error, UsageError
from zreg.reactor.log_lines import LogLines
from zreg.reactor.sockets.link_socket import ZmqContext

if TYPE_CHECKING:
    from zreg.client.cache.view_cache import ViewCache

P = ParamSpec("P")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings with which a runtime is built."""

    config: Config
    addresses: tuple[str, ...]
    # Whether a session is looked for on the LAN if none of these answers.
    discovers: bool = False
    app: str = ""
    # The host to publish in place of the one that the route to the session shows.
    advertise_host: str | None = None
    # Where the last known views are kept; None if they are not.
    cache_dir: Path | None = None


class Runtime(ABC):
    """One running client: what is the same on threads and on a loop of the program.

    `changed` is the one lock; it is notified at every event. A method that needs it says so.

    The client and its publications, subscriptions and services refer to the runtime. What runs the
    core does not, nor does what that refers to. So the runtime is garbage once the program has
    dropped them all, and then it closes itself with a `ResourceWarning`.
    """

    core_runner: CoreRunner
    lifecycle: Lifecycle
    inline_callbacks: InlineCallbacks
    health: HealthMonitor
    cache: "ViewCache | None"
    setting_watches: SettingWatches

    def __init__(self, settings: Settings, changed: Changed) -> None:
        self.settings = settings
        self.changed = changed
        self.client_id = os.urandom(16)
        self.connection = ConnectionStatus(
            settings.addresses, advertise_host=settings.advertise_host
        )
        self._listeners = ListenerTable(settings.config)
        self._answers = PendingAnswers()
        self.state_callbacks = StateCallbacks(self.connection.why_waiting)
        self._router = EventRouter(
            self.connection, self.state_callbacks, self._listeners, self._answers
        )
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
        if why := self.lifecycle.why_closed():
            return why
        if self.lifecycle.is_inherited:
            return "inherited by this forked process, where it connects with its first use"
        return self.connection.why_waiting()

    def status(self) -> Status:
        """Return how the connection is now."""
        with self.changed:
            state, node = self.state, self.core_runner.node
            # In a forked child the node is the parent's.
            core = None if node is None or self.lifecycle.is_inherited else node.core
            is_connected = state is ClientState.CONNECTED
            return Status(
                state=state,
                session=self.connection.address.removeprefix("tcp://"),
                round_trip_seconds=core.round_trip_seconds if core and is_connected else None,
                heard_seconds=(
                    max(0.0, time.monotonic() - core.heard_at)
                    if core and core.heard_at
                    else math.inf
                ),
                publications=len(self._listeners.publications),
                subscriptions=len(self._listeners.subscriptions),
                why=self.why_waiting(),
            )

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people; they may be a moment old."""
        with self.changed:
            sizes: dict[str, int | float | str] = {
                "state": self.state.value,
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

    def show(self, state: PublicationState) -> None:
        """Have the registry hold a publication as subscribers may see it now. Needs the lock."""
        former = state.publisher_id
        if state.is_withdrawn:
            return
        if state.is_withheld:
            state.withhold()
            # It keeps its place under the id with which it returns.
            self._listeners.remove_publication(former)
            self._listeners.add_publication(state.publisher_id, state)
            self.core_runner.outgoing.put_withdrawal(former)
            self.core_runner.wake()
        else:
            state.submit()
        self.notify(former)

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
        self._ask(Ask(ask_id, question, timeout_seconds))
        return ask_id

    def end_question(self, ask_id: int) -> Answer | Error | None:
        """Return the outcome; None if the wait for it has ended before. Needs the lock."""
        outcome = self._answers.take(ask_id)
        if outcome is None:
            # Otherwise the core would ask each session until the deadline.
            self.core_runner.outgoing.put(DropQuestion(ask_id))
            self.core_runner.wake()
        return outcome

    def _ask_and_listen(
        self, question: Question, timeout_seconds: float, listener: OutcomeListener
    ) -> None:
        """Ask the session, and pass the outcome to the listener. Needs the lock."""
        ask_id = next(self._numbers)
        self._answers.listen(ask_id, listener)
        self._ask(Ask(ask_id, question, timeout_seconds))

    def _ask(self, command: Ask) -> None:
        self.core_runner.outgoing.put(command)
        self.core_runner.wake()

    @abstractmethod
    def notify(self, key: bytes | int) -> None:
        """Have the waits for a publisher id, feed id or ask id look again. Needs the lock."""

    # --- the end ----------------------------------------------------------------------------

    def begin_close(self, why: str) -> None:
        """Say goodbye, unless a forked child has not used it; a second call does nothing."""
        with self.changed:
            if self.core_runner.is_closed:
                return
            if self.lifecycle.is_inherited:
                self.core_runner.abandon(why)
            else:
                self.core_runner.close(why)
            self._end_waits()

    def on_forked(self) -> None:
        """Note that this is a forked child: threads and sockets stayed with the parent."""
        self.lifecycle.is_inherited = True
        self.connection.forget()
        self.health.on_forked()
        if self.cache is not None:
            self.cache.on_forked()

    # --- on the loop's thread ---------------------------------------------------------------

    def _new_node(self, log_lines: LogLines) -> Callable[[ZmqContext], CoreNode]:
        """Return what makes the node, and does not refer to this runtime."""
        settings = self.settings
        return partial(
            new_node_without_zmq(settings.addresses)
            or partial(ClientNode, discovers=settings.discovers),
            settings.config,
            client_id=self.client_id,
            addresses=settings.addresses,
            app=settings.app,
            on_event=weak_call(self._on_event),
            log_lines=log_lines,
        )

    def _new_health(self, checks: CheckBeginner, log_lines: LogLines) -> HealthMonitor:
        """Return what checks the publications, and does not keep this runtime."""
        return HealthMonitor(
            self.changed, self.core_runner, checks, weak_call(self.show), log_lines
        )

    def _new_cache(self, log_lines: LogLines) -> "ViewCache | None":
        """Return what keeps views on disk; None if the program named no directory for it."""
        settings = self.settings
        if settings.cache_dir is None:
            return None
        from zreg.client.cache.view_cache import ViewCache  # noqa: PLC0415 -- few programs cache
        from zreg.client.cache.view_files import ViewFiles  # noqa: PLC0415

        config = settings.config
        files = ViewFiles(
            settings.cache_dir,
            cluster=config.cluster,
            data_center=config.data_center,
            zone=config.zone,
        )
        return ViewCache(files, log_lines)

    def _new_setting_watches(self) -> SettingWatches:
        """Return what asks for the settings that the program watches."""
        runner = self.core_runner
        return SettingWatches(
            self.changed, runner.call_soon, runner.call_later, weak_call(self._ask_and_listen)
        )

    def _begin_health_in_child(self) -> None:
        """Check what a forked child publishes too, from the beginning. Needs the lock."""
        self.health.begin_in_child()
        for publication in list(self._listeners.publications.values()):
            if isinstance(publication, PublicationState) and publication.watch is not None:
                self.health.resume(publication)
                self.show(publication)

    def _end_waits(self) -> None:
        """Begin no callback any more, and have all waits end. Needs the lock."""
        self._listeners.on_session_lost(time.monotonic())
        if self.cache is not None:
            self.cache.close()
        self.inline_callbacks.close()
        self.setting_watches.close()
        self.health.close()
        self.changed.notify_all()

    @abstractmethod
    def _on_event(self, event: msgspec.Struct) -> None:
        """Take an event of the core."""


def weak_call(method: Callable[P, None]) -> Callable[P, None]:
    """Return a call of the method that does not keep its object."""
    weak = weakref.WeakMethod(method)

    def call(*arguments: P.args, **keywords: P.kwargs) -> None:
        alive = weak()
        if alive is not None:
            alive(*arguments, **keywords)

    return call
