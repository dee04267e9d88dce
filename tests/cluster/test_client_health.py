"""Checks of health on threads: a check that hangs, many checks, foreign code, forks and drops."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_session import CONFIG, FakeSession, run_program, wait_until

import zreg
from zreg.client.runtime.health.heartbeat import BeatListener
from zreg.client.runtime.threads.check_threads import CHECK_THREADS, CHECK_THREADS_MAX
from zreg.wire.records.client_messages import Bye, Publish

QUICK: dict[str, Any] = {"health_interval_seconds": 0.2, "health_timeout_seconds": 0.2}


@pytest.fixture
def client(session: FakeSession) -> Iterator[zreg.Client]:
    with zreg.Client(session.url, config=CONFIG) as client:
        yield client


class HangingCheck:
    """A check that hangs while the test wants it to."""

    def __init__(self) -> None:
        self.may_return = threading.Event()
        self.may_return.set()
        self.begun_count = 0
        self.running_count = 0
        self.running_max = 0

    def __call__(self) -> None:
        self.begun_count += 1
        self.running_count += 1
        self.running_max = max(self.running_max, self.running_count)
        self.may_return.wait(60)
        self.running_count -= 1


def check_threads() -> int:
    return sum(thread.name == "zreg-checks" for thread in threading.enumerate())


def test_a_check_that_hangs_is_a_reason_and_never_runs_twice(client: zreg.Client) -> None:
    check, other = HangingCheck(), HangingCheck()
    pub = client.publish("pay", "a", health=check, **QUICK).wait_registered(5)
    check.may_return.clear()
    try:
        wait_until(lambda: pub.health.reason == "its check did not return within 0.2 s")
        assert not pub.is_registered
        client.publish("other", "a", health=other, **QUICK).wait_registered(5)
        wait_until(lambda: other.begun_count > 3)
    finally:
        check.may_return.set()

    pub.wait_registered(5)
    assert (check.running_max, pub.health.state) == (1, zreg.HealthState.HEALTHY)


def test_checks_beyond_the_threads_wait_and_say_so(client: zreg.Client) -> None:
    check, late = HangingCheck(), HangingCheck()
    check.may_return.clear()
    try:
        for number in range(CHECK_THREADS_MAX):
            client.publish(f"hangs-{number}", "a", health=check, **QUICK)
        wait_until(lambda: check.running_count == CHECK_THREADS_MAX)
        pub = client.publish("late", "a", health=late, **QUICK)
        wait_until(lambda: "has not begun for 0.2 s" in pub.health.reason)
        assert late.begun_count == 0
        assert check_threads() == CHECK_THREADS_MAX
    finally:
        check.may_return.set()
    pub.wait_registered(5)


def test_a_thousand_checked_publications_need_few_threads_and_one_timer(
    client: zreg.Client,
) -> None:
    begun: list[int] = []
    pubs = [client.publish(f"pay-{n}", "a", health=lambda: begun.append(1)) for n in range(1000)]
    heartbeat = client.heartbeat()
    pubs += [client.publish(f"beat-{n}", "a", health=heartbeat) for n in range(1000)]
    for pub in pubs:
        pub.wait_registered(30)

    # Of functions of the program; a heartbeat needs no call.
    assert len(begun) == 1000
    assert check_threads() <= CHECK_THREADS_MAX
    monitor = client._runtime.health
    assert len(monitor._deadlines._at) == 2000
    loop = client._runtime.core_runner._host.loop
    timers = [t for t in loop._scheduled if not t.cancelled() and "_weak_run" in repr(t)]
    assert len(timers) == 1


def test_a_check_may_use_its_client_and_even_close_it(
    client: zreg.Client, session: FakeSession
) -> None:
    def check() -> None:
        client.publish("other", "b").wait_registered(5)
        client.close()

    client.publish("pay", "a", health=check)

    wait_until(lambda: session.core.count(Bye) == 1)
    assert client.state is zreg.ClientState.CLOSED
    assert session.core.count(Publish) == 1


def test_closing_does_not_wait_for_a_check_that_hangs(session: FakeSession) -> None:
    check = HangingCheck()
    check.may_return.clear()
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
    pub = client.publish("pay", "a", health=check)
    wait_until(lambda: check.running_count)
    began_at = time.monotonic()
    client.close()
    try:
        assert time.monotonic() - began_at < 0.9
    finally:
        check.may_return.set()
    wait_until(lambda: not check.running_count)
    assert pub.health.state is zreg.HealthState.UNKNOWN


def test_a_client_that_only_its_own_check_refers_to_is_garbage(session: FakeSession) -> None:
    states: list[zreg.ClientState] = []

    def publish() -> None:
        client = zreg.Client(session.url, config=CONFIG)
        check: Callable[[], None] = lambda: states.append(client.state)  # noqa: E731 -- a closure
        client.publish("pay", "a", health=check, **QUICK).wait_registered(5)

    def is_gone() -> bool:
        gc.collect()
        return session.core.count(Bye) == 1

    publish()
    with pytest.warns(ResourceWarning, match="unclosed"):
        wait_until(is_gone)
    assert states


def test_a_check_that_returns_a_coroutine_names_the_client_that_awaits(
    client: zreg.Client,
) -> None:
    async def check() -> bool:
        return True

    def begin() -> Any:
        return check()

    pub = client.publish("pay", "a", health=begin, **QUICK)

    wait_until(lambda: "use zreg.AsyncClient" in pub.health.reason)


def test_without_a_thread_to_start_a_check_waits_and_says_so(
    client: zreg.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(lambda: not CHECK_THREADS._busy_count)
    check = HangingCheck()

    def start(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(CHECK_THREADS, "_thread_count", 0)
        patched.setattr("zreg.client.runtime.threads.check_threads.threading.Thread.start", start)
        pub = client.publish("pay", "a", health=check, **QUICK)
        wait_until(lambda: "has not begun" in pub.health.reason or check.begun_count)
    wait_until(lambda: check.begun_count)
    pub.wait_registered(5)


@pytest.mark.parametrize("is_drain", [True, False])
def test_an_interrupt_ends_a_drain_at_once(
    client: zreg.Client, monkeypatch: pytest.MonkeyPatch, *, is_drain: bool
) -> None:
    service = client.service("pay")
    pub = client.publish("pay", zreg.Endpoint("a", 80, weight=70))
    service.wait_up(timeout_seconds=5)

    def interrupt(*_arguments: object) -> None:
        wait_until(lambda: service.view.values[0].weight == 0)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(client._runtime, "wait", interrupt)
        begin = pub.drain if is_drain else pub.draining(60).__enter__
        with pytest.raises(KeyboardInterrupt):
            begin()

    wait_until(lambda: [v.weight for v in service.view.values] == ([] if is_drain else [70]))


def test_a_drain_in_an_inline_callback_is_refused_before_anything_changes(
    client: zreg.Client,
) -> None:
    pub = client.publish("pay", zreg.Endpoint("a", 80))
    errors: list[BaseException] = []

    def changed(_change: zreg.ViewChange) -> None:
        with pytest.raises(zreg.UsageError, match="on another thread") as refused:
            pub.drain(1)
        errors.append(refused.value)

    sub = client.subscribe("pay", changed, inline=True).wait_for(1, timeout_seconds=5)
    wait_until(lambda: errors)
    assert sub.view.values == (zreg.Endpoint("a", 80),)


FORKED = """
import os, sys, time, zreg
client = zreg.Client(sys.argv[1], cluster="test")
heartbeat = client.heartbeat(0.1)
calls = []
checked = client.publish("pay", "a", health=lambda: calls.append(os.getpid()),
                         health_interval_seconds=0.05, health_timeout_seconds=0.05)
tied = client.publish("pay", "b", health=heartbeat)
checked.wait_registered(10)
while tied.health.state is not zreg.HealthState.UNHEALTHY:
    time.sleep(0.01)
if (child := os.fork()) == 0:
    heartbeat.beat()
    calls.clear()
    time.sleep(0.3)
    print(calls, heartbeat(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
heartbeat.beat()
tied.wait_registered(10)
client.close()
"""


def test_a_forked_child_begins_no_check_and_may_beat(session: FakeSession) -> None:
    done, _ = run_program(FORKED, session.url)

    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.endswith("then=withdraw reason='no heartbeat for 0.1 s'")
    assert done.stdout == "[] no heartbeat for 0.1 s\n"


def test_the_threads_of_checks_end_with_the_last_client_that_has_checks(
    session: FakeSession,
) -> None:
    with zreg.Client(session.url, config=CONFIG) as client:
        with zreg.Client(session.url, config=CONFIG) as other:
            client.publish("pay", "a", health=lambda: None).wait_registered(5)
            other.publish("pay", "a", health=lambda: None).wait_registered(5)
        assert check_threads()
    wait_until(lambda: not check_threads())


def test_publications_that_come_and_go_while_the_heart_is_still_leave_nothing_behind(
    client: zreg.Client,
) -> None:
    heartbeat = client.heartbeat(0.01)

    def wait_unhealthy(pub: zreg.Publication) -> None:
        wait_until(lambda: pub.health.state is zreg.HealthState.UNHEALTHY)

    kept = client.publish("kept", "a", health=heartbeat)
    wait_unhealthy(kept)
    for number in range(30):
        with client.publish("pay", "a", health=heartbeat) as pub:
            wait_unhealthy(pub)
        kept.unpublish()
        kept.republish(str(number))
        wait_unhealthy(kept)
    with zreg.Client(f"zreg://{client.status.session}", config=CONFIG) as other:
        wait_unhealthy(other.publish("other", "a", health=heartbeat))
    del pub, other
    gc.collect()

    assert len(heartbeat._listeners) == 1
    heartbeat.timeout_seconds = 60.0
    heartbeat.beat()
    kept.wait_registered(5)
    assert len(heartbeat._listeners) == 0


class RacingHeartbeat(zreg.Heartbeat):
    """Beats between the look at it and the note that its next beat is waited for."""

    def tell_at_next_beat(self, listener: BeatListener) -> None:
        self.timeout_seconds = 60.0
        self.beat()
        super().tell_at_next_beat(listener)


def test_a_beat_at_the_moment_of_the_timeout_is_not_lost(client: zreg.Client) -> None:
    heartbeat = RacingHeartbeat(0.2)
    pub = client.publish("pay", "a", health=heartbeat).wait_registered(5)

    wait_until(lambda: heartbeat.timeout_seconds == 60.0)
    pub.wait_registered(5)
    wait_until(lambda: pub.health.state is zreg.HealthState.HEALTHY)
