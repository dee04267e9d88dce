"""The client on an event loop: what is its own; the rest is in test_client_both."""

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_session import CONFIG, FakeSession, run_program, wait_until

import zreg
from zreg.client.runtime.aio import program_loop
from zreg.wire.records.client_messages import Bye, Publish
from zreg.wire.records.membership_messages import FetchMembership

LOOPS: list[Callable[[], asyncio.AbstractEventLoop] | None] = [None]
try:
    import uvloop
except ImportError:  # the same tests run on the loop of asyncio
    uvloop = None
else:
    LOOPS.append(uvloop.new_event_loop)


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"][: len(LOOPS)])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a coroutine as a program does, in debug mode, which finds what was never awaited."""

    def run_to_end(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(debug=True, loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(coroutine, 30))

    return run_to_end


Run = Callable[[Coroutine[Any, Any, None]], None]


@asynccontextmanager
async def client_of(session: FakeSession) -> AsyncIterator[zreg.AsyncClient]:
    async with zreg.AsyncClient(session.url, config=CONFIG, zone="z1", app="tests") as client:
        yield client


async def until(condition: Callable[[], object]) -> None:
    """Wait on the loop of the client, which goes on meanwhile."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.002)


def test_a_program_publishes_and_follows(run: Run, session: FakeSession) -> None:
    async def program() -> None:
        async with client_of(session) as client:
            sub = client.subscribe("pay")
            async with client.publish("pay", "a") as pub:
                assert await pub.wait_registered(5) is pub
                assert (await sub.wait_for(1, timeout_seconds=5)).view.values == ("a",)
            await until(lambda: not sub.view)
        assert client.state is zreg.ClientState.CLOSED

    run(program())
    wait_until(lambda: session.core.count(Bye) == 1)


def test_the_client_starts_no_thread_of_python(run: Run, session: FakeSession) -> None:
    async def program() -> None:
        before = set(threading.enumerate())
        async with client_of(session) as client:
            client.subscribe("pay", lambda _change: None)
            await client.publish("pay", "a").wait_registered(5)
            assert set(threading.enumerate()) == before

    run(program())


# --- callbacks -------------------------------------------------------------------------------


def test_a_coroutine_callback_is_awaited_one_call_at_a_time_with_the_newest_state(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        running, seen = 0, []
        may_go_on = asyncio.Event()

        async with client_of(session) as client:

            @client.subscribe("pay")
            async def changed(change: zreg.ViewChange) -> None:
                nonlocal running
                running += 1
                assert running == 1
                seen.append(change)
                await may_go_on.wait()
                running -= 1

            await until(lambda: seen)
            for number in range(20):
                await client.publish("pay", str(number)).wait_registered(5)
            assert len(seen) == 1
            may_go_on.set()
            await until(lambda: len(seen) == 2)
            assert len(seen[1].view) == len(seen[1].added) == 20

    run(program())


def test_a_callback_sees_the_context_in_which_it_was_added(run: Run, session: FakeSession) -> None:
    request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")

    async def program() -> None:
        seen: list[str] = []

        async def awaited(_change: zreg.ViewChange) -> None:
            seen.append(request_id.get())

        async with client_of(session) as client:
            request_id.set("r1")
            sub = client.subscribe("pay", lambda _change: seen.append(request_id.get()))
            sub(awaited)
            request_id.set("r2")
            await until(lambda: len(seen) == 2)
            client.publish("pay", "a")
            await until(lambda: len(seen) == 4)
        assert seen == ["r1"] * 4

    run(program())


def test_what_a_callback_raises_is_logged_and_the_next_change_comes(
    run: Run, session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    async def program() -> None:
        seen: list[int] = []

        def fails(change: zreg.ViewChange) -> None:
            seen.append(len(change.view))
            raise ValueError("raised by the function")

        async def fails_later(change: zreg.ViewChange) -> None:
            await asyncio.sleep(0)
            seen.append(len(change.view))
            raise ValueError("raised by the coroutine")

        async with client_of(session) as client:
            sub = client.subscribe("pay", fails)
            sub(fails_later)
            await until(lambda: len(seen) == 2)
            client.publish("pay", "a")
            await until(lambda: len(seen) == 4)

    run(program())
    assert caplog.messages.count("client.callback.failed") == 4


def test_a_callback_that_looks_at_a_cancelled_future_is_logged_and_breaks_no_turn(
    run: Run, session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    async def program() -> None:
        cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        seen: list[int] = []

        def looks(change: zreg.ViewChange) -> None:
            seen.append(len(change.view))
            cancelled.result()

        async with client_of(session) as client:
            client.subscribe("pay", looks)
            await until(lambda: seen)
            await client.publish("pay", "a").wait_registered(5)
            await until(lambda: len(seen) == 2)

    run(program())
    assert caplog.messages == ["client.callback.failed"] * 2


@pytest.mark.parametrize("is_own", [False, True], ids=["awaited future", "own task"])
def test_a_coroutine_callback_that_ends_cancelled_is_called_with_what_came_meanwhile(
    run: Run, session: FakeSession, *, is_own: bool
) -> None:
    async def program() -> None:
        seen: list[int] = []
        tasks: list[asyncio.Task[None] | None] = []
        awaited: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def changed(change: zreg.ViewChange) -> None:
            seen.append(len(change.view))
            tasks.append(asyncio.current_task())
            if len(seen) == 1:
                await awaited

        async with client_of(session) as client:
            sub = client.subscribe("pay", changed)
            await until(lambda: seen)
            client.publish("pay", "a")
            await sub.wait_for(1, timeout_seconds=5)
            (tasks[0] if is_own else awaited).cancel()
            await until(lambda: seen == [0, 1])
            client.publish("pay", "b")
            await until(lambda: seen == [0, 1, 2])

    run(program())


def test_a_coroutine_callback_may_call_and_await_the_whole_api(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        done: list[object] = []

        async with client_of(session) as client:

            async def answer(change: zreg.ViewChange) -> None:
                if not change.view:
                    return
                pub = await client.publish("answer", "yes").wait_registered(5)
                sub = await client.subscribe("answer").wait_for(1, timeout_seconds=5)
                done.append(sub.view.values)
                pub.unpublish()
                sub.close()
                await client.close()
                done.append(client.state)

            client.subscribe("pay", answer)
            client.publish("pay", "a")
            await until(lambda: len(done) == 2)
        assert done == [("yes",), zreg.ClientState.CLOSED]

    run(program())


def test_a_closed_subscription_begins_no_callback_also_while_one_runs(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        seen: list[zreg.ViewChange] = []
        may_go_on = asyncio.Event()

        async def changed(change: zreg.ViewChange) -> None:
            seen.append(change)
            await may_go_on.wait()

        async with client_of(session) as client:
            sub = client.subscribe("pay", changed)
            await until(lambda: seen)
            await client.publish("pay", "a").wait_registered(5)
            await until(lambda: len(sub.view) == 1)
            sub.close()
            may_go_on.set()
            await client.publish("pay", "b").wait_registered(5)
        assert len(seen) == 1

    run(program())


def test_close_cancels_a_callback_that_hangs_after_a_second(run: Run, session: FakeSession) -> None:
    async def program() -> None:
        began, cancelled = asyncio.Event(), []

        async def hangs(_change: zreg.ViewChange) -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        async with client_of(session) as client:
            client.subscribe("pay", hangs)
            await began.wait()
            began_at = time.monotonic()
        assert 0.9 < time.monotonic() - began_at < 5
        await until(lambda: cancelled)

    run(program())


def test_callbacks_and_checks_that_all_close_the_client_wait_for_no_other_one_of_them(
    run: Run, session: FakeSession
) -> None:
    ends: list[str] = []

    async def program() -> None:
        client = zreg.AsyncClient(session.url, config=CONFIG)
        waiting: list[str] = []

        def closing(name: str, close: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
            async def call(_change: zreg.ViewChange) -> None:
                waiting.append(name)
                await until(lambda: client.state is zreg.ClientState.CLOSED)
                await close()
                ends.append(name)

            return call

        async def in_tasks() -> None:
            await asyncio.gather(client.close(), client.close())

        async def check() -> None:
            await until(lambda: len(waiting) == 3)
            await client.close()
            ends.append("check")

        client.subscribe("pay", closing("first", client.close))
        client.subscribe("pay", closing("second", client.close))
        client.subscribe("pay", closing("in tasks", in_tasks))
        client.publish("pay", "a", health=check)
        await until(lambda: client.state is zreg.ClientState.CLOSED)
        began_at = time.monotonic()
        await until(lambda: len(ends) == 4)
        await client.close()
        assert time.monotonic() - began_at < 0.9
        assert sorted(ends) == ["check", "first", "in tasks", "second"]

    run(program())


def test_a_callback_that_closes_waits_for_one_that_does_not(run: Run, session: FakeSession) -> None:
    ends: list[str] = []

    async def program() -> None:
        client = zreg.AsyncClient(session.url, config=CONFIG)
        is_working = asyncio.Event()

        async def work(_change: zreg.ViewChange) -> None:
            is_working.set()
            await until(lambda: client.state is zreg.ClientState.CLOSED)
            await asyncio.sleep(0)
            ends.append("work")

        async def close(_change: zreg.ViewChange) -> None:
            await is_working.wait()
            await client.close()
            ends.append("close")

        client.subscribe("pay", close)
        client.subscribe("pay", work)
        await until(lambda: len(ends) == 2)
        assert ends == ["work", "close"]

    run(program())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_beat_after_the_loop_was_closed_harms_nothing(session: FakeSession) -> None:
    async def program() -> None:
        pubs.append(client.publish("pay", "a", health=heartbeat))
        await until(lambda: pubs[0].health.state is zreg.HealthState.UNHEALTHY)

    client, pubs = zreg.AsyncClient(session.url, config=CONFIG), []
    heartbeat = client.heartbeat(0.01)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(program())
    loop.close()

    heartbeat.beat()

    asyncio.run(client.close())


def test_a_generator_is_no_callback(run: Run, session: FakeSession) -> None:
    async def wrong(change: zreg.ViewChange) -> AsyncIterator[None]:
        yield

    async def program() -> None:
        async with client_of(session) as client:
            with pytest.raises(zreg.UsageError, match="generator function"):
                client.subscribe("pay", wrong)
            with pytest.raises(zreg.UsageError, match="cannot be called with one argument"):
                client.subscribe("pay", lambda: None)
            assert client.statistics()["subscriptions"] == 0

    run(program())


# --- cancelling ------------------------------------------------------------------------------


def test_a_wait_that_is_cancelled_ends_at_once_and_leaves_nothing(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        session.core.refuse_with = (5, "starting")
        async with client_of(session) as client:
            pub, sub = client.publish("pay", "a"), client.subscribe("pay")
            session.core.is_mute = True
            waits = [
                asyncio.ensure_future(coroutine)
                for coroutine in (
                    pub.wait_registered(),
                    sub.wait_for(3),
                    client.request(FetchMembership(0), 60),
                    anext(sub.changes()),
                    client.service("orders").wait_up(3),
                )
            ]
            await asyncio.sleep(0.05)
            for wait in waits:
                wait.cancel()
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in results)
            assert repr(client._runtime.changed) == "<Waits keys=0>"
            assert not client._runtime._answers._outcomes
            await until(lambda: client.statistics()["asks"] == 0)

    run(program())


def test_a_wait_for_the_next_change_that_is_cancelled_loses_no_change(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        async with client_of(session) as client:
            changes = client.subscribe("pay").changes()
            await anext(changes)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 0.02)
            await client.publish("pay", "a").wait_registered(5)
            assert (await asyncio.wait_for(anext(changes), 5)).view.values == ("a",)
            await changes.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(changes)

    run(program())


def test_an_iterator_that_is_dropped_is_noted_nothing_any_more(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        async with client_of(session) as client:
            sub = client.subscribe("pay")
            async for _change in sub.changes():
                break
            gc.collect()
            assert sub._state._iterators == []

    run(program())


def test_ten_thousand_waits_cost_each_its_own_event(session: FakeSession) -> None:
    async def program() -> None:
        async with client_of(session) as client:
            looks = 0
            pubs = [client.publish("pay", str(number)) for number in range(10_000)]
            for pub in pubs:
                is_settled = pub._is_settled

            def counted(self: zreg.AsyncPublication) -> bool:
                nonlocal looks
                looks += 1
                return self._state.is_registered

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(zreg.AsyncPublication, "_is_settled", counted)
                await asyncio.gather(*(pub.wait_registered(25) for pub in pubs))
            assert is_settled()
            # Once before it waits, and once after its own event.
            assert looks == 2 * len(pubs)

    # Not in debug mode, which notes where each of them waits.
    asyncio.run(program())


# --- loops and ends --------------------------------------------------------------------------


def test_a_client_is_made_without_a_loop_and_begins_with_its_first_use(
    session: FakeSession,
) -> None:
    client = zreg.AsyncClient(session.url, config=CONFIG)
    assert client.state is zreg.ClientState.CONNECTING
    with pytest.raises(zreg.UsageError, match="lives on a running event loop"):
        client.publish("pay", "a")

    async def program() -> None:
        await client.publish("pay", "a").wait_registered(5)
        await client.close()

    asyncio.run(program())
    assert client.state is zreg.ClientState.CLOSED


def test_a_client_that_was_never_used_ends_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = zreg.AsyncClient("zreg://127.0.0.1:1")
        del client
        gc.collect()
    unused = zreg.AsyncClient("zreg://127.0.0.1:1")
    asyncio.run(unused.close())
    assert unused.state is zreg.ClientState.CLOSED


def test_another_loop_or_thread_may_not_call_a_client(session: FakeSession) -> None:
    async def program() -> None:
        async with client_of(session) as client:
            sub, pub = client.subscribe("pay"), client.publish("pay", "a")
            await sub.wait_for(1, timeout_seconds=5)
            errors: list[str] = []

            async def on_another_loop() -> None:
                for call in (
                    lambda: client.publish("pay", "b"),
                    lambda: pub.republish("b"),
                    sub.close,
                ):
                    with pytest.raises(zreg.UsageError) as caught:
                        call()
                    errors.append(str(caught.value))
                for wait in (sub.wait_for(1), client.close()):
                    with pytest.raises(zreg.UsageError) as caught:
                        await wait
                    errors.append(str(caught.value))

            def on_another_thread() -> None:
                asyncio.run(on_another_loop())
                with pytest.raises(zreg.UsageError, match="none runs on this thread"):
                    pub.unpublish()
                # To look is allowed anywhere.
                assert (sub.view.values, pub.is_registered) == (("a",), True)

            await asyncio.to_thread(on_another_thread)
            assert len(errors) == 5
            await pub.wait_registered(5)
            assert all("lives on another event loop" in error for error in errors)

    asyncio.run(program())


def test_a_process_that_ends_closes_all_clients_although_a_thread_with_a_loop_waits(
    session: FakeSession,
) -> None:
    done, _ = run_program(
        """
import asyncio, sys, threading, zreg

waits = threading.Event()

async def program():
    client = zreg.AsyncClient(sys.argv[1], cluster='test')
    changes = client.subscribe('pay').changes()
    await anext(changes)
    asyncio.get_running_loop().call_soon(waits.set)
    await anext(changes)

clients = [zreg.Client(sys.argv[1], cluster='test').wait_connected(10) for _ in range(3)]
run = lambda: asyncio.run(program(), debug=True)
threading.Thread(target=run, daemon=True).start()
assert waits.wait(10)
""",
        session.url,
    )
    # The thread may still show how its own wait ended.
    assert done.returncode == 0
    wait_until(lambda: session.core.count(Bye) >= 3)


def test_a_client_without_descriptors_to_begin_with_is_closed_at_once(
    run: Run, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program() -> None:
        client = zreg.AsyncClient(session.url, config=CONFIG)
        monkeypatch.setattr(program_loop, "check_descriptors", _fail)
        with pytest.raises(zreg.UnavailableError):
            client.subscribe("pay")
        began_at = time.monotonic()
        await client.close()
        assert time.monotonic() - began_at < 0.5

    run(program())


def _fail(_count: int, _what: str) -> None:
    raise zreg.UnavailableError("no descriptors are left")


def test_a_program_that_forgets_to_close_says_goodbye_and_is_warned(session: FakeSession) -> None:
    done, seconds = run_program(
        "import asyncio, sys, warnings, zreg\n"
        "warnings.simplefilter('always')\n"
        "async def program():\n"
        "    client = zreg.AsyncClient(sys.argv[1], cluster='test')\n"
        "    await client.publish('pay', 'a').wait_registered(10)\n"
        "asyncio.run(program())\n",
        session.url,
    )
    assert done.returncode == 0
    assert "ResourceWarning: unclosed zreg.AsyncClient" in done.stderr
    assert "Traceback" not in done.stderr
    assert seconds < 10
    wait_until(lambda: session.core.count(Bye) == 1)


def test_ctrl_c_ends_a_program_that_waits(session: FakeSession) -> None:
    text = (
        "import asyncio, signal, sys, zreg\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "async def program():\n"
        "    async with zreg.AsyncClient(sys.argv[1], cluster='test') as client:\n"
        "        await client.publish('pay', 'a').wait_registered(10)\n"
        "        print('waiting', flush=True)\n"
        "        await client.subscribe('other').wait_for(5)\n"
        "asyncio.run(program())\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", text, session.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        began_at = time.monotonic()
        program.send_signal(2)
        _, errors = program.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert time.monotonic() - began_at < 5
    wait_until(lambda: session.core.count(Bye) == 1)


def test_a_client_that_is_dropped_closes_itself_with_a_warning(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        client = zreg.AsyncClient(session.url, config=CONFIG)
        await client.publish("pay", "a").wait_registered(5)
        clients = [client]
        del client
        with pytest.warns(ResourceWarning, match=r"unclosed zreg\.AsyncClient"):
            clients.clear()
        await until(lambda: session.core.count(Bye) == 1)

    run(program())


def test_a_client_on_a_loop_that_was_closed_says_so(session: FakeSession) -> None:
    async def program() -> zreg.AsyncClient:
        client = zreg.AsyncClient(session.url, config=CONFIG)
        await client.publish("pay", "a").wait_registered(5)
        return client

    client = asyncio.run(program())

    async def later(client: zreg.AsyncClient) -> None:
        with pytest.raises(zreg.ClosedError, match="the event loop of this client ended"):
            client.publish("pay", "b")
        await client.close()

    asyncio.run(later(client))
    clients = [client]
    del client
    with pytest.warns(ResourceWarning, match="unclosed"):
        clients.clear()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_loops_that_are_closed_before_their_clients_leave_nothing_open(
    session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    def run_one() -> None:
        loop = asyncio.new_event_loop()
        client = zreg.AsyncClient(session.url, config=CONFIG)
        loop.run_until_complete(client.wait_connected(5))
        loop.close()
        # On a loop that runs, a client waits for its end.
        began_at = time.monotonic()
        asyncio.run(client.close())
        assert time.monotonic() - began_at < 0.5

    def open_count() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_count()
    for _ in range(5):
        run_one()
    wait_until(lambda: open_count() <= before)
    # asyncio says so itself, for the author of the program.
    assert {record.name for record in caplog.records} == {"asyncio"}


def test_many_clients_on_one_loop_and_on_several_loops_share_one_context(
    session: FakeSession,
) -> None:
    from zreg.client.runtime.aio import program_loop  # noqa: PLC0415 -- its state is looked at

    async def program() -> None:
        async with client_of(session) as first, client_of(session) as second:
            assert (
                first._runtime.core_runner._host.context
                is second._runtime.core_runner._host.context
            )
            await asyncio.gather(first.wait_connected(5), second.wait_connected(5))

    threads = [threading.Thread(target=asyncio.run, args=(program(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    # The session takes them on a thread of its own.
    wait_until(lambda: session.core.count(Bye) == 6)
    assert program_loop._shared is None


def test_a_burst_of_republishes_sends_only_the_newest_value(run: Run, session: FakeSession) -> None:
    async def program() -> None:
        async with client_of(session) as client:
            pub = await client.publish("pay", "0").wait_registered(5)
            before = session.core.count(Publish)
            for number in range(1000):
                pub.republish(str(number))
            await pub.wait_registered(5)
            assert session.core.count(Publish) == before + 1

    run(program())


def test_an_eager_loop_runs_a_client(session: FakeSession) -> None:
    if not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("this Python has no eager tasks")

    async def program() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with client_of(session) as client:
            await client.publish("pay", "a").wait_registered(5)

    asyncio.run(program())


# --- health -----------------------------------------------------------------------------------


def test_a_coroutine_check_is_awaited_in_its_context_and_cancelled_when_it_hangs(
    run: Run, session: FakeSession
) -> None:
    setting = contextvars.ContextVar("setting", default="unset")
    seen: list[str] = []
    ends: list[str] = []
    hangs = asyncio.Event()

    async def check() -> str | None:
        seen.append(setting.get())
        await asyncio.sleep(0)
        if hangs.is_set():
            try:
                await asyncio.Event().wait()
            finally:
                ends.append("cancelled")
        return None

    async def program() -> None:
        async with client_of(session) as client:
            setting.set("given")
            pub = client.publish(
                "pay", "a", health=check, health_interval_seconds=0.2, health_timeout_seconds=0.2
            )
            setting.set("later")
            await pub.wait_registered(5)
            hangs.set()
            await until(lambda: ends)
            assert pub.health.reason == "its check did not return within 0.2 s"
            hangs.clear()
            await pub.wait_registered(5)
        assert set(seen) == {"given"}

    run(program())


def test_a_coroutine_check_that_ignores_its_cancellation_is_not_begun_again(
    run: Run, session: FakeSession
) -> None:
    begun: list[int] = []

    async def program() -> None:
        released = asyncio.Event()

        async def check() -> None:
            begun.append(1)
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue

        async with client_of(session) as client:
            other: list[int] = []
            timing = {"health_interval_seconds": 0.05, "health_timeout_seconds": 0.05}
            pub = client.publish("pay", "a", health=check, **timing)
            client.publish("other", "a", health=lambda: other.append(1), **timing)
            await until(lambda: len(other) > 5)
            assert len(begun) == 1
            assert pub.health.state is zreg.HealthState.UNHEALTHY
            released.set()
            await pub.wait_registered(5)

    run(program())


def test_a_function_that_blocks_the_loop_for_too_long_is_unhealthy(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        async with client_of(session) as client:
            pub = client.publish(
                "pay",
                "a",
                health=lambda: time.sleep(0.1),
                health_interval_seconds=5,
                health_timeout_seconds=0.01,
            )
            await until(lambda: pub.health.reason == "its check took 0.1 s, more than 0.01 s")

    run(program())


def test_a_coroutine_check_may_close_its_client(run: Run, session: FakeSession) -> None:
    async def program() -> None:
        client = zreg.AsyncClient(session.url, config=CONFIG)
        closed = asyncio.Event()

        async def check() -> None:
            await client.close()
            closed.set()

        client.publish("pay", "a", health=check)
        await closed.wait()
        assert client.state is zreg.ClientState.CLOSED

    run(program())


def test_closing_cancels_the_checks_that_run(run: Run, session: FakeSession) -> None:
    ends: list[str] = []

    async def check() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    async def program() -> None:
        began_at = time.monotonic()
        async with client_of(session) as client:
            client.publish("pay", "a", health=check)
            await until(lambda: client._runtime.loop_checks._running)
        assert ends == ["cancelled"]
        assert time.monotonic() - began_at < 0.9

    run(program())


def test_a_cancelled_drain_unpublishes_and_a_cancelled_block_gives_the_weight_back(
    run: Run, session: FakeSession
) -> None:
    async def program() -> None:
        async with client_of(session) as client:
            service = client.service("pay")
            pub = client.publish("pay", zreg.Endpoint("a", 80, weight=70))
            await service.wait_up(timeout_seconds=5)

            async def deploy() -> None:
                async with pub.draining(60):
                    pytest.fail("the block must not begin")

            for drain, weights in ((deploy(), [70]), (pub.drain(60), [])):
                task = asyncio.create_task(drain)
                await until(lambda: service.view.values[0].weight == 0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda w=weights: [v.weight for v in service.view.values] == w)

    run(program())
