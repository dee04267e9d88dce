"""Subscriptions: the view that events make, and which callbacks and iterators get them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

import pytest
from view_fakes import A, B, make_record, make_view

from zreg import model
from zreg.client.core.commands import SubscriptionRefused, ViewChanged
from zreg.client.subscription import Subscription
from zreg.client.view.view import View
from zreg.client.view.view_change import ViewChange
from zreg.errors import LimitError
from zreg.model import ZERO, DataInfoId, Scope, Version
from zreg.primitives.mirror import Difference

if TYPE_CHECKING:
    from zreg.client.runtime.threads.thread_runtime import ThreadRuntime

PAY = DataInfoId("pay#@#I#@#G")


class FakeConnection:
    """A connection that has its session."""

    def why_waiting(self) -> str:
        return "connected to the session at tcp://s:1"


class FakeRuntime:
    """A runtime without threads; it is its own dispatcher, whose jobs the test runs."""

    is_usable = True
    is_running = True

    def __init__(self) -> None:
        self.lifecycle = self
        self.changed: AbstractContextManager[None] = FakeCondition()
        self.connection = FakeConnection()
        self.dispatcher = self
        self.jobs: list[Callable[[], None]] = []
        self.ended: list[int] = []

    def new_feed_id(self) -> int:
        return 7

    def retry(self) -> None:
        return

    def check_open(self) -> None:
        assert self.is_usable

    def enter_process(self) -> None:
        return

    def check_thread(self) -> None:
        return

    def check_may_wait(self) -> None:
        return

    def check_not_failed(self) -> None:
        return

    def why_closed(self) -> str:
        return ""

    def why_waiting(self) -> str:
        return self.connection.why_waiting()

    def submit(self, job: Callable[[], None]) -> None:
        self.jobs.append(job)

    def unsubscribe(self, feed_id: int) -> None:
        self.ended.append(feed_id)

    def wait(
        self, condition: Callable[[], bool], timeout_seconds: float, why: Callable[[], str]
    ) -> None:
        assert condition(), why()

    def run_jobs(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()


class FakeCondition(nullcontext[None]):
    """A condition that no thread waits for; after a fork a thread of the parent may hold it."""

    is_held_by_parent = False

    def __enter__(self) -> None:
        assert not self.is_held_by_parent, "the child would wait for ever"

    def notify_all(self) -> None:
        return

    def wait(self) -> None:
        raise AssertionError("no other thread could change the view")


def subscribe() -> tuple[Subscription, FakeRuntime]:
    runtime = FakeRuntime()
    return Subscription(cast("ThreadRuntime", runtime), PAY, Scope.ZONE), runtime


def changed(
    *upserts: model.Publisher, removals: tuple[bytes, ...] = (), is_confirmed: bool = True
) -> ViewChanged:
    by_id = {record.publisher_id: record for record in upserts}
    difference = Difference(ZERO, Version(1, 1), by_id, dict.fromkeys(removals), {})
    return ViewChanged(7, difference, is_confirmed)


def test_the_view_follows_the_events() -> None:
    subscription, _ = subscribe()
    assert not subscription.view.is_known

    subscription._state.on_view_changed(changed(make_record(A, "a"), make_record(B, "b")))
    assert subscription.view.values == ("a", "b")
    subscription._state.on_view_changed(changed(removals=(A,)))
    assert subscription.view.values == ("b",)
    assert subscription.wait_for(1) is subscription


def test_a_view_is_stale_from_the_loss_of_its_session_to_the_next_confirmation() -> None:
    subscription, _ = subscribe()
    subscription._state.on_view_changed(changed(make_record(A, "a")))
    subscription._state.on_session_lost(5.0)
    subscription._state.on_session_lost(6.0)
    assert subscription.view.stale_since == 5.0

    subscription._state.on_view_changed(changed(make_record(B, "b"), is_confirmed=False))
    assert subscription.view.stale_since == 5.0
    subscription._state.on_view_changed(changed())
    assert not subscription.view.is_stale


def test_a_callback_gets_all_changes_since_its_last_call_merged_into_one() -> None:
    subscription, runtime = subscribe()
    seen: list[ViewChange] = []
    assert subscription(seen.append) == seen.append
    assert runtime.jobs == []

    subscription._state.on_view_changed(changed(make_record(A, "a")))
    subscription._state.on_view_changed(changed(make_record(B, "b")))
    assert len(runtime.jobs) == 1
    runtime.run_jobs()
    assert seen == [ViewChange(subscription.view, added=tuple(subscription.view))]


def test_a_change_that_cancels_itself_calls_no_callback() -> None:
    subscription, runtime = subscribe()
    seen: list[ViewChange] = []
    subscription._state.on_view_changed(changed())
    subscription(seen.append)
    runtime.run_jobs()
    assert len(seen) == 1

    subscription._state.on_view_changed(changed(make_record(A, "a")))
    subscription._state.on_view_changed(changed(removals=(A,)))
    runtime.run_jobs()
    assert len(seen) == 1


def test_a_closed_subscription_calls_no_callback_and_ends_its_iterators() -> None:
    subscription, runtime = subscribe()
    seen: list[ViewChange] = []
    subscription(seen.append)
    subscription._state.on_view_changed(changed())
    changes = subscription.changes()
    assert next(changes) == ViewChange(subscription.view)

    subscription.close()
    subscription.close()
    runtime.run_jobs()
    assert (seen, list(changes), runtime.ended) == ([], [], [7])


def test_a_forked_child_goes_on_with_the_view_until_its_own_first_snapshot() -> None:
    subscription, runtime = subscribe()
    changes: list[ViewChange] = []
    subscription(changes.append)
    subscription._state.on_view_changed(changed(make_record(A, "a"), make_record(B, "b")))
    runtime.jobs.clear()  # they stayed with the parent

    subscription._state.begin_in_child()
    assert [len(subscription.view), subscription.view.is_stale] == [2, True]
    runtime.run_jobs()
    assert [len(change.added) for change in changes] == [2]
    subscription._state.on_view_changed(changed(make_record(A, "a")))
    runtime.run_jobs()

    assert [publisher.values for publisher in changes[1].removed] == [("b",)]
    assert (changes[1].added, changes[1].updated) == ((), ())
    subscription._state.on_view_changed(changed(make_record(B, "b")))
    assert len(subscription.view) == 2, "later differences are taken as they are"


class FakeCache:
    """Has one view, and remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def load(self, followed: tuple[DataInfoId, Scope]) -> View | None:
        raise AssertionError("the handle loads the view")

    def follow(self, followed: tuple[DataInfoId, Scope]) -> None:
        self.told.append(("follow", followed))

    def leave(self, followed: tuple[DataInfoId, Scope]) -> None:
        self.told.append(("leave", followed))

    def note(self, followed: tuple[DataInfoId, Scope], view: View) -> None:
        self.told.append(("note", view.values))

    def lose(self, followed: tuple[DataInfoId, Scope]) -> None:
        self.told.append(("lose", followed))


def test_a_subscription_begins_with_the_cached_view_until_the_first_snapshot() -> None:
    subscription, runtime = subscribe()
    changes: list[ViewChange] = []
    subscription(changes.append)
    cache = FakeCache()
    cached = make_view(make_record(A, "a"), make_record(B, "b")).as_cached(5.0)

    subscription._state.begin_kept(cache, cached)
    assert subscription.wait_for(2).view is cached
    assert (cached.is_known, cached.is_stale, cached.is_cached) == (True, True, True)
    runtime.run_jobs()
    assert [len(change.added) for change in changes] == [2]

    subscription._state.on_view_changed(changed(make_record(A, "a"), is_confirmed=False))
    assert (subscription.view.is_cached, subscription.view.stale_since) == (False, 5.0)
    subscription._state.on_view_changed(changed(make_record(A, "a2")))
    runtime.run_jobs()
    assert [publisher.values for publisher in changes[1].removed] == [("b",)]
    assert [publisher.values for publisher in changes[1].updated] == [("a2",)]
    subscription._state.on_session_lost(6.0)
    subscription.close()

    name = PAY, Scope.ZONE
    assert cache.told == [("follow", name), ("note", ("a2",)), ("lose", name), ("leave", name)]


def test_without_a_cached_view_a_subscription_begins_unknown() -> None:
    subscription, runtime = subscribe()
    subscription(lambda _change: None)

    subscription._state.begin_kept(FakeCache(), None)

    assert (subscription.view.is_known, subscription.view.is_cached) == (False, False)
    assert runtime.jobs == []


def test_a_final_refusal_is_raised_by_waits_and_one_for_now_is_named() -> None:
    subscription, _ = subscribe()
    with pytest.raises(AssertionError, match="no answer has come; the view is not known yet"):
        subscription.wait_for(0)
    subscription._state.on_refused(SubscriptionRefused(7, 5, "starting", is_final=False))
    with pytest.raises(AssertionError, match="refused with NotReadyError: starting"):
        subscription.wait_for(1)

    subscription._state.on_refused(SubscriptionRefused(7, LimitError.code, "full", is_final=True))
    with pytest.raises(LimitError, match="full"):
        subscription.wait_for(1)
    subscription._state.on_view_changed(changed(make_record(A, "a")))
    assert subscription.wait_for(1) is subscription
