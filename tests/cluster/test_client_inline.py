"""Callbacks with `inline=True`: on the thread of the connection, in order, at their own risk."""

import asyncio
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from fake_session import CONFIG, FakeSession
from fake_session import wait_until as wait_until_for

import zreg
from zreg.client.runtime.callbacks.inline_callbacks import QUICK_SECONDS_MAX
from zreg.wire.records.client_messages import Bye, Unsubscribe
from zreg.wire.records.membership_messages import FetchMembership

if TYPE_CHECKING:
    from collections.abc import Callable

# Other tests may use all the processor time meanwhile.
wait_until = partial(wait_until_for, timeout_seconds=20.0)


def thread_of(client: zreg.Client) -> int | None:
    """Return the thread of the client's connection."""
    idents: list[int] = []
    client._runtime.core_runner._host.loop.call_soon_threadsafe(
        lambda: idents.append(threading.get_ident())
    )
    wait_until(lambda: idents)
    return idents[0]


def test_an_inline_callback_runs_on_the_thread_of_the_connection(client: zreg.Client) -> None:
    seen: list[tuple[int, list[object]]] = []
    client.subscribe(
        "pay",
        lambda change: seen.append((threading.get_ident(), list(change.view.values))),
        inline=True,
    )
    wait_until(lambda: len(seen) == 1)
    client.publish("pay", "a")
    wait_until(lambda: len(seen) == 2)

    ident = thread_of(client)
    assert seen == [(ident, []), (ident, ["a"])]
    assert client._runtime.dispatcher._thread is None


def test_each_event_is_delivered_before_the_next_one_is_handled(
    client: zreg.Client, session: FakeSession
) -> None:
    """A callback on the dispatcher gets several changes in one; an inline one gets each."""
    seen: list[object] = []
    client.subscribe("pay", lambda change: seen.extend(change.view.values), inline=True)
    publication = client.publish("pay", "0").wait_registered(5)
    for number in range(1, 300):
        publication.republish(str(number))
        publication.wait_registered(5)
    wait_until(lambda: "299" in seen)
    assert seen == [str(number) for number in range(300)]


def test_an_inline_callback_that_is_added_late_begins_with_the_view_as_it_is(
    client: zreg.Client,
) -> None:
    client.publish("pay", "a").wait_registered(5)
    subscription = client.subscribe("pay", inline=True).wait_for(1, 5)
    idents: list[int] = []
    seen: list[list[object]] = []

    @subscription
    def changed(change: zreg.ViewChange) -> None:
        idents.append(threading.get_ident())
        seen.append(list(change.view.values))

    wait_until(lambda: seen)
    client.publish("pay", "b")
    wait_until(lambda: len(seen) == 2)
    assert [sorted(map(str, values)) for values in seen] == [["a"], ["a", "b"]]
    assert set(idents) == {thread_of(client)}


def test_a_callback_added_by_an_inline_callback_gets_the_view_too(client: zreg.Client) -> None:
    subscription = client.subscribe("pay", inline=True)
    seen: list[int] = []

    def first(change: zreg.ViewChange) -> None:
        if not change.view:
            subscription(lambda later: seen.append(len(later.view)))

    subscription(first)
    wait_until(lambda: seen == [0])
    client.publish("pay", "a")
    wait_until(lambda: seen == [0, 1])


@pytest.mark.parametrize(
    "error", [ValueError, asyncio.CancelledError, KeyboardInterrupt, SystemExit]
)
def test_what_an_inline_callback_raises_is_logged_and_costs_that_call_only(
    client: zreg.Client, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    seen: list[int] = []
    elsewhere: list[int] = []

    def fail(change: zreg.ViewChange) -> None:
        seen.append(len(change.view))
        raise error("raised by the callback")

    client.subscribe("pay", fail, inline=True)
    client.subscribe("pay", lambda change: elsewhere.append(len(change.view)), inline=True)
    for number in range(3):
        client.publish("pay", str(number)).wait_registered(5)

    wait_until(lambda: seen[-1:] == [3] and elsewhere[-1:] == [3])
    wait_until(lambda: caplog.messages.count("client.callback.failed") == len(seen))
    assert "raised by the callback" in caplog.text
    assert client.state is zreg.ClientState.CONNECTED
    assert client.statistics().get("event_errors", 0) == 0


def test_an_inline_callback_may_call_all_that_does_not_wait(client: zreg.Client) -> None:
    seen: list[zreg.ViewChange] = []

    def use(change: zreg.ViewChange) -> None:
        if not change.view:
            client.publish("orders", "a", attributes={"of": "pay"})
            client.subscribe("orders", seen.append, inline=True)
            assert client.service("orders").endpoints == ()

    client.subscribe("pay", use, inline=True)
    wait_until(lambda: seen and len(seen[-1].view) == 1)
    assert seen[-1].view[0].attributes == {"of": "pay"}


def test_a_wait_in_an_inline_callback_is_refused_at_once(client: zreg.Client) -> None:
    publication = client.publish("pay", "a").wait_registered(5)
    subscription = client.subscribe("orders")
    service = client.service("orders")
    errors: list[str] = []
    done = threading.Event()

    def wait(_change: zreg.ViewChange) -> None:
        if done.is_set():
            return
        publication.republish("b")
        calls: list[Callable[[], object]] = [
            client.wait_connected,
            subscription.wait_for,
            service.wait_up,
            publication.wait_registered,
            lambda: client.request(FetchMembership(0)),
            lambda: next(subscription.changes()),
        ]
        for call in calls:
            with pytest.raises(zreg.UsageError, match="would never end") as caught:
                call()
            errors.append(str(caught.value))
        done.set()

    client.subscribe("pay", wait, inline=True)
    assert done.wait(5)
    assert len(errors) == 6
    assert all("in a callback without inline=True" in error for error in errors)
    publication.wait_registered(5)


def test_an_inline_callback_may_end_its_own_subscription(
    client: zreg.Client, session: FakeSession
) -> None:
    seen: list[int] = []
    subscription = client.subscribe("pay", inline=True)

    def once(change: zreg.ViewChange) -> None:
        seen.append(len(change.view))
        subscription.close()

    subscription(once)
    wait_until(lambda: session.core.count(Unsubscribe) == 1)
    client.publish("pay", "a").wait_registered(5)
    client.subscribe("pay").wait_for(1, 5)
    assert seen == [0]


def test_an_inline_callback_may_close_its_client(session: FakeSession) -> None:
    took: list[float] = []
    client = zreg.Client(session.url, config=CONFIG)
    entered, release = threading.Event(), threading.Event()

    def busy(_change: zreg.ViewChange) -> None:
        entered.set()
        release.wait(10)

    # On another thread `close` would wait for it.
    client.subscribe("orders", busy)
    assert entered.wait(5)

    def close(_change: zreg.ViewChange) -> None:
        started_at = time.monotonic()
        client.close()
        took.append(time.monotonic() - started_at)

    client.subscribe("pay", close, inline=True)
    wait_until(lambda: took)
    release.set()
    assert client.state is zreg.ClientState.CLOSED
    assert took[0] < 0.5
    wait_until(lambda: session.core.count(Bye) == 1)
    client.close()


def test_an_inline_callback_that_drops_the_last_reference_ends_the_client(
    session: FakeSession,
) -> None:
    held = [zreg.Client(session.url, config=CONFIG)]
    held[0].wait_connected(5)

    def subscribe_and_wait() -> None:
        held[0].subscribe("pay", lambda _change: held.clear(), inline=True)
        wait_until(lambda: session.core.count(Bye) == 1)

    with pytest.warns(ResourceWarning, match="unclosed"):
        subscribe_and_wait()


def test_no_inline_callback_begins_after_the_client_is_closed(session: FakeSession) -> None:
    seen: list[int] = []
    with zreg.Client(session.url, config=CONFIG) as client:
        client.subscribe("pay", lambda change: seen.append(len(change.view)), inline=True)
        wait_until(lambda: seen == [0])
        waiting = client.subscribe("orders", inline=True).wait_for(0, 5)
        with client._runtime.changed:
            client._runtime.inline_callbacks.submit(lambda: seen.append(99))
            client._runtime.begin_close()
        with pytest.raises(zreg.ClosedError):
            waiting(lambda change: seen.append(98))
    assert seen == [0]


def test_a_slow_inline_callback_is_logged_once_for_each_subscription(
    client: zreg.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    seen: list[int] = []

    def slow(change: zreg.ViewChange) -> None:
        ends_at = time.monotonic() + QUICK_SECONDS_MAX * 1.2
        while time.monotonic() < ends_at:
            pass
        seen.append(len(change.view))

    client.subscribe("pay", slow, inline=True)
    client.subscribe("pay", slow, inline=True)
    client.subscribe("pay", lambda _change: None, inline=True)
    for number in range(1, 3):
        client.publish("pay", str(number)).wait_registered(5)
    wait_until(lambda: seen.count(2) == 2)

    def lines() -> list[str]:
        return [line for line in caplog.messages if line.startswith("client.callback.slow")]

    wait_until(lambda: len(lines()) == 2)
    for line in lines():
        assert "id=pay#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP milliseconds=" in line
        assert "subscribe without inline=True" in line


def test_inline_is_true_or_false(client: zreg.Client) -> None:
    with pytest.raises(zreg.UsageError, match="inline 'yes' cannot be used: give True or False"):
        client.subscribe("pay", inline="yes")  # type: ignore[arg-type]
