"""Events of the core reach the part of the runtime that they concern."""

from collections.abc import Callable

import msgspec

from zreg.client.core.commands import (
    Answered,
    AskRefused,
    ClientState,
    ConnectionChanged,
    PublicationRefused,
    Registered,
    SessionReached,
    SubscriptionRefused,
    Unanswered,
    ViewChanged,
    Withdrawn,
)
from zreg.client.runtime.events.connection_status import ConnectionStatus
from zreg.client.runtime.events.event_router import EventRouter
from zreg.client.runtime.events.listener_table import ListenerTable
from zreg.client.runtime.events.pending_answers import PendingAnswers
from zreg.client.runtime.events.state_callbacks import StateCallbacks, StateChange
from zreg.config import Config
from zreg.errors import DeniedError, UnavailableError
from zreg.model import EMPTY_MEMBERSHIP, ZERO
from zreg.primitives.mirror import Difference
from zreg.wire.records.membership_messages import MembershipReply

A, B = b"a" * 16, b"b" * 16
S1 = "tcp://s1:9600"


class FakeListener:
    """A publication and a subscription that note what they are told."""

    def __init__(self, *, needs_host: bool = False) -> None:
        self.needs_host = needs_host
        self.told: list[str] = []

    def on_host_found(self, host: str) -> None:
        self.told.append(host)

    def on_registered(self, copies: int) -> None:
        self.told.append("registered")

    def on_view_changed(self, event: ViewChanged) -> None:
        self.told.append("changed")

    def on_refused(self, event: PublicationRefused | SubscriptionRefused) -> None:
        self.told.append("refused")

    def on_session_lost(self, now: float) -> None:
        self.told.append("lost")


class Parts:
    """A router with all that it routes to."""

    def __init__(self, *, advertise_host: str | None = "here") -> None:
        self.connection = ConnectionStatus((S1,), advertise_host=advertise_host)
        self.listeners = ListenerTable(Config())
        self.answers = PendingAnswers()
        self.state_callbacks = StateCallbacks(self.connection.why_waiting)
        self._router = EventRouter(
            self.connection, self.state_callbacks, self.listeners, self.answers
        )

    def route(self, *events: msgspec.Struct) -> None:
        for event in events:
            self._router.on_event(event)


def test_publications_and_subscriptions_are_told_of_their_events() -> None:
    parts, publication, subscription = Parts(), FakeListener(), FakeListener()
    parts.listeners.add_publication(A, publication)
    parts.listeners.add_subscription(1, subscription)

    parts.route(
        Registered((A,)),
        PublicationRefused(A, 2, "not yours", is_final=True),
        Withdrawn((A,)),
        ViewChanged(1, Difference(ZERO, ZERO, {}, {}, {}), is_confirmed=True),
        SubscriptionRefused(1, 4, "full", is_final=True),
    )

    assert publication.told == ["registered", "refused"]
    assert subscription.told == ["changed", "refused"]


def test_views_become_stale_when_the_session_is_lost_and_not_when_one_is_found() -> None:
    parts, subscription = Parts(), FakeListener()
    parts.listeners.add_subscription(1, subscription)

    parts.route(ConnectionChanged(ClientState.CONNECTED, S1, "welcome"))
    assert (parts.connection.state, subscription.told) == (ClientState.CONNECTED, [])
    parts.route(ConnectionChanged(ClientState.SUSPENDED, S1, "closed"))
    assert (parts.connection.state, subscription.told) == (ClientState.SUSPENDED, ["lost"])


def test_the_local_host_is_told_to_the_publications_that_need_one() -> None:
    parts, needs, has = Parts(), FakeListener(needs_host=True), FakeListener()
    parts.listeners.add_publication(A, needs)
    parts.listeners.add_publication(B, has)

    parts.route(SessionReached(S1))

    assert (needs.told, has.told) == (["here"], [])


def test_no_host_is_told_while_there_is_no_route() -> None:
    parts, needs = Parts(advertise_host=None), FakeListener(needs_host=True)
    parts.listeners.add_publication(A, needs)

    parts.route(SessionReached(S1))

    assert needs.told == []


def test_a_question_is_answered_refused_or_given_up() -> None:
    parts = Parts()
    answer = MembershipReply(9, EMPTY_MEMBERSHIP)
    for ask_id in (1, 2, 3, 4):
        parts.answers.add(ask_id)

    parts.route(
        Answered(1, answer), AskRefused(2, DeniedError.code, "no"), Unanswered(3), Unanswered(5)
    )

    assert [parts.answers.has_outcome(ask_id) for ask_id in (1, 2, 3, 4)] == [True] * 3 + [False]
    assert parts.answers.take(1) == answer
    refused, given_up = parts.answers.take(2), parts.answers.take(3)
    assert isinstance(refused, DeniedError)
    assert refused.detail == "no"
    assert isinstance(given_up, UnavailableError)
    assert "no session reached at s1:9600" in str(given_up)
    assert parts.answers.take(4) is None


def test_a_callback_is_told_each_change_of_the_state_and_a_slow_one_the_newest() -> None:
    parts, jobs, told = Parts(), Jobs(), []
    parts.state_callbacks.add(told.append, jobs)

    parts.route(ConnectionChanged(ClientState.CONNECTING, S1, "refused"))
    assert jobs.waiting == []
    parts.route(ConnectionChanged(ClientState.CONNECTED, S1, ""))
    jobs.run()
    parts.route(ConnectionChanged(ClientState.SUSPENDED, S1, "closed"))
    parts.route(ConnectionChanged(ClientState.LOST, S1, "refused"))
    jobs.run()
    parts.route(ConnectionChanged(ClientState.CONNECTED, S1, ""))
    parts.route(ConnectionChanged(ClientState.LOST, S1, "closed"))
    jobs.run()

    assert [change[:2] for change in told] == [
        (ClientState.CONNECTING, ClientState.CONNECTED),
        (ClientState.CONNECTED, ClientState.LOST),
    ]
    assert isinstance(told[1], StateChange)
    assert "refused" in told[1].why


class Jobs:
    """Runs callbacks when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def submit(self, job: Callable[[], object]) -> None:
        self.waiting.append(job)

    def retry(self) -> None:
        return

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for job in waiting:
            job()
