"""The open publications and subscriptions of a client: limited, and told of their own events."""

import pytest

from zreg.client.core.commands import (
    PublicationRefused,
    Registered,
    SubscriptionRefused,
    ViewChanged,
)
from zreg.client.runtime.events.listener_table import ListenerTable
from zreg.config import Config
from zreg.errors import UsageError
from zreg.model import ZERO, Version
from zreg.primitives.mirror import Difference

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16
CONFIG = Config(publishers_per_client_max=2, subscribers_per_client_max=1)


class FakePublication:
    """Notes what it is told."""

    needs_host = False

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_host_found(self, host: str) -> None:
        self.told.append(host)

    def on_registered(self, copies: int) -> None:
        self.told.append("registered")

    def on_refused(self, event: PublicationRefused) -> None:
        self.told.append(event)


class FakeSubscription:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_view_changed(self, event: ViewChanged) -> None:
        self.told.append(event)

    def on_refused(self, event: SubscriptionRefused) -> None:
        self.told.append(event)

    def on_session_lost(self, now: float) -> None:
        self.told.append(now)


def test_each_publication_is_told_of_its_own_events() -> None:
    table, first, second = ListenerTable(CONFIG), FakePublication(), FakePublication()
    table.add_publication(A, first)
    table.add_publication(B, second)
    refused = PublicationRefused(B, 2, "not yours", is_final=True)

    table.on_registered(Registered((A, C)))
    table.on_publication_refused(refused)
    table.on_publication_refused(PublicationRefused(C, 2, "not yours", is_final=True))

    assert (first.told, second.told) == (["registered"], [refused])


def test_each_subscription_is_told_of_its_own_events() -> None:
    table, subscription = ListenerTable(CONFIG), FakeSubscription()
    table.add_subscription(1, subscription)
    change = ViewChanged(1, Difference(ZERO, Version(1, 1), {}, {}, {}), is_confirmed=True)
    refused = SubscriptionRefused(1, 4, "full", is_final=True)

    table.on_view_changed(change)
    table.on_subscription_refused(refused)
    table.on_session_lost(7.0)
    table.on_subscription_refused(SubscriptionRefused(2, 4, "full", is_final=True))

    assert subscription.told == [change, refused, 7.0]


def test_a_listener_that_left_is_told_nothing() -> None:
    table, publication, subscription = ListenerTable(CONFIG), FakePublication(), FakeSubscription()
    table.add_publication(A, publication)
    table.add_subscription(1, subscription)
    for _ in range(2):
        table.remove_publication(A)
        table.remove_subscription(1)

    table.on_registered(Registered((A,)))
    table.on_view_changed(ViewChanged(1, Difference(ZERO, ZERO, {}, {}, {}), is_confirmed=True))
    table.on_session_lost(7.0)

    assert (publication.told, subscription.told) == ([], [])


def test_the_number_of_listeners_is_limited_and_a_known_one_may_come_again() -> None:
    table = ListenerTable(CONFIG)
    for publisher_id in (A, B, A):
        table.add_publication(publisher_id, FakePublication())
    table.add_subscription(1, FakeSubscription())

    with pytest.raises(UsageError, match="publishes at most 2 times"):
        table.add_publication(C, FakePublication())
    with pytest.raises(UsageError, match="subscribes at most 1 times"):
        table.add_subscription(2, FakeSubscription())
    table.remove_publication(A)
    table.add_publication(C, FakePublication())
