"""Hand each event of the core to the part of the runtime that it concerns."""

import time

import msgspec

from zreg.client.core.commands import (
    Answered,
    AskRefused,
    ClientState,
    ConnectionChanged,
    PublicationRefused,
    Registered,
    SessionReached,
    SessionWelcomed,
    SubscriptionRefused,
    Unanswered,
    ViewChanged,
)
from zreg.client.runtime.events.connection_status import ConnectionStatus
from zreg.client.runtime.events.listener_table import ListenerTable
from zreg.client.runtime.events.pending_answers import PendingAnswers
from zreg.client.runtime.events.state_callbacks import StateCallbacks
from zreg.reactor.lookups.local_host import find_local_host


class EventRouter:
    """Takes the events on the loop's thread, under the runtime's lock."""

    def __init__(
        self,
        connection: ConnectionStatus,
        state_callbacks: StateCallbacks,
        listeners: ListenerTable,
        answers: PendingAnswers,
    ) -> None:
        self._connection = connection
        self._state_callbacks = state_callbacks
        self._listeners = listeners
        self._answers = answers

    def on_event(self, event: msgspec.Struct) -> None:
        """Handle one event."""
        match event:
            case Registered():
                self._listeners.on_registered(event)
            case PublicationRefused():
                self._listeners.on_publication_refused(event)
            case ViewChanged():
                self._listeners.on_view_changed(event)
            case SubscriptionRefused():
                self._listeners.on_subscription_refused(event)
            case SessionReached() | SessionWelcomed():
                self._on_session(event)
            case ConnectionChanged():
                self._connection.on_connection_changed(event)
                if event.state is not ClientState.CONNECTED:
                    self._listeners.on_session_lost(time.monotonic())
                self._state_callbacks.on_state(event.state)
            case Answered():
                self._answers.on_answered(event)
            case AskRefused() | Unanswered():
                self._answers.on_failed(event, self._connection.why_waiting())
            case _:
                # `Withdrawn`: the publication left the table when it was unpublished.
                pass

    def _on_session(self, event: SessionReached | SessionWelcomed) -> None:
        """Note what a session shows of this machine's address, and publish what waited for it."""
        if isinstance(event, SessionReached):
            self._connection.on_session_reached(event)
        else:
            self._connection.on_session_welcomed(map(find_local_host, event.sessions))
        self._tell_local_host()

    def _tell_local_host(self) -> None:
        """Tell the local host to the publications that need it."""
        if (host := self._connection.local_host) is None:
            return
        for publication in list(self._listeners.publications.values()):
            if publication.needs_host:
                publication.on_host_found(host)
