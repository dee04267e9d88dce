"""Code and time of the user: callbacks, log handlers, name look-ups, mappings, signal handlers."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from fake_session import CONFIG, FakeSession, wait_until

import zreg
from zreg.client.runtime.background_log import BACKGROUND_LOG
from zreg.client.runtime.callbacks.dispatcher import Dispatcher
from zreg.wire.records.common_messages import Ping


class StopEverythingError(BaseException):
    """As `pytest.fail`, `gevent.Timeout` and `SystemExit`: no `Exception`."""


class FakeHandler(logging.Handler):
    """A handler of the user's, which does anything."""

    def __init__(self, act: Callable[[str], object]) -> None:
        super().__init__()
        self._act = act
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._act(record.getMessage())


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[[str], object]], FakeHandler]]:
    """Add handlers to the logger `zreg` for one test."""
    logger, added = logging.getLogger("zreg"), []
    level = logger.level
    logger.setLevel(logging.INFO)

    def add(act: Callable[[str], object]) -> FakeHandler:
        handler = FakeHandler(act)
        logger.addHandler(handler)
        added.append(handler)
        return handler

    yield add
    for handler in added:
        logger.removeHandler(handler)
    logger.setLevel(level)


# --- callbacks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [asyncio.CancelledError, StopEverythingError, KeyboardInterrupt])
def test_what_a_callback_raises_costs_that_call_only(
    client: zreg.Client, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    seen: list[int] = []
    elsewhere: list[int] = []

    def fail(change: zreg.ViewChange) -> None:
        seen.append(len(change.view))
        if len(change.view) == 1:
            raise error("raised by the callback")

    client.subscribe("pay", fail)
    client.subscribe("orders", lambda change: elsewhere.append(len(change.view)))
    wait_until(lambda: seen == [0] and elsewhere == [0])
    client.publish("pay", "a")
    wait_until(lambda: seen == [0, 1])
    client.publish("pay", "b")
    client.publish("orders", "a")

    wait_until(lambda: seen == [0, 1, 2] and elsewhere == [0, 1])
    assert caplog.messages.count("client.callback.failed") == 1


def test_a_log_handler_that_raises_does_not_end_the_callbacks(
    client: zreg.Client, handle: Callable[[Callable[[str], object]], FakeHandler]
) -> None:
    def refuse(line: str) -> None:
        raise StopEverythingError(line)

    handler, seen = handle(refuse), []

    def fail(change: zreg.ViewChange) -> None:
        seen.append(len(change.view))
        raise ValueError("raised by the callback")

    client.subscribe("pay", fail)
    wait_until(lambda: seen == [0])
    client.publish("pay", "a")
    wait_until(lambda: seen == [0, 1])
    wait_until(lambda: handler.lines.count("client.callback.failed") == 2)


def test_a_dispatcher_whose_thread_has_ended_gets_another_one() -> None:
    dispatcher, done = Dispatcher("test"), []
    dispatcher.submit(lambda: done.append(1))
    wait_until(lambda: done == [1])
    dispatcher._next_job = lambda: None  # type: ignore[method-assign]  # ends the thread
    dispatcher.submit(lambda: done.append(2))
    wait_until(lambda: not dispatcher._thread.is_alive())
    del dispatcher._next_job

    dispatcher.submit(lambda: done.append(3))

    wait_until(lambda: done[-1] == 3)
    dispatcher.close()
    dispatcher.join(5)


def test_jobs_wait_while_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher, done = Dispatcher("test"), []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "test":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        dispatcher.submit(lambda: done.append(1))
    wait_until(lambda: "client.callbacks.waiting" in caplog.text)
    dispatcher.submit(lambda: done.append(2))
    wait_until(lambda: done == [1, 2])
    dispatcher.close()
    dispatcher.join(5)


def test_a_callback_for_which_no_thread_could_be_started_comes_with_the_next_change(
    client: zreg.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start, seen = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if thread.name.endswith("-callbacks"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        client.subscribe("pay", lambda change: seen.append(len(change.view))).wait_for(0)
        wait_until(lambda: "client.callbacks.waiting" in caplog.text)
    assert seen == []

    client.publish("pay", "a")

    wait_until(lambda: seen[-1:] == [1])


@pytest.mark.parametrize("error", [None, TypeError("the replacement takes other arguments")])
def test_a_program_that_replaces_getaddrinfo_connects_to_an_address_without_it(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    called = threading.Event()

    def replaced(*_: object, **__: object) -> list[object]:
        called.set()
        if error is not None:
            raise error
        raise AssertionError("it was called")

    monkeypatch.setattr(socket, "getaddrinfo", replaced)
    with zreg.Client(session.url, config=CONFIG) as client:
        client.wait_connected(5)
    assert not called.is_set()


def test_a_wait_ends_with_its_subscription(client: zreg.Client) -> None:
    subscription = client.subscribe("pay").wait_for(0)
    causes: list[zreg.Error] = []

    def wait() -> None:
        try:
            subscription.wait_for(1, float("inf"))
        except zreg.Error as cause:
            causes.append(cause)

    thread = threading.Thread(target=wait)
    thread.start()
    subscription.close()
    thread.join(5)

    assert str(causes[0]) == "this subscription was closed: subscribe again"
    assert isinstance(causes[0], zreg.ClosedError)


def test_a_callback_that_returns_a_coroutine_is_logged(
    client: zreg.Client, caplog: pytest.LogCaptureFixture
) -> None:
    async def changed(change: zreg.ViewChange) -> None:
        raise AssertionError("never run")

    client.subscribe("pay", lambda change: changed(change))  # noqa: PLW0108 -- hides what it is

    wait_until(lambda: "returned a coroutine, and nothing would run it" in caplog.text)


# --- handlers of `logging` -----------------------------------------------------------------------


def test_a_log_handler_may_wait_for_the_client(
    session: FakeSession, handle: Callable[[Callable[[str], object]], FakeHandler]
) -> None:
    clients: list[zreg.Client] = []
    took: list[float] = []

    def use_the_client(line: str) -> None:
        wait_until(lambda: clients)
        if "client.session.reached" in line:
            started_at = time.monotonic()
            clients[0].publish("log", line).wait_registered(5)
            took.append(time.monotonic() - started_at)

    handle(use_the_client)
    with zreg.Client(session.url, config=CONFIG) as client:
        clients.append(client)
        client.wait_connected(5)
        wait_until(lambda: took)

    assert took[0] < 2


def test_a_log_handler_that_takes_longer_than_the_lease_does_not_delay_the_client(
    session: FakeSession, handle: Callable[[Callable[[str], object]], FakeHandler]
) -> None:
    may_go_on = threading.Event()
    handler = handle(lambda _line: may_go_on.wait(20))
    with zreg.Client(session.url, config=CONFIG) as client:
        client.wait_connected(5)
        wait_until(lambda: handler.lines)
        pings = session.core.count(Ping)
        wait_until(lambda: session.core.count(Ping) > pings + 6)
        client.publish("pay", "a").wait_registered(5)
        assert client.state is zreg.ClientState.CONNECTED
    may_go_on.set()
    BACKGROUND_LOG.flush(5)


@pytest.mark.parametrize("error", [ValueError, StopEverythingError, SystemExit])
def test_a_log_handler_that_raises_costs_its_line_only(
    session: FakeSession,
    handle: Callable[[Callable[[str], object]], FakeHandler],
    error: type[BaseException],
) -> None:
    def refuse(line: str) -> None:
        raise error(line)

    handler = handle(refuse)
    with zreg.Client(session.url, config=CONFIG) as client:
        client.publish("pay", "a").wait_registered(5)
        session.stop()
        wait_until(lambda: any("client.session.lost" in line for line in handler.lines))
        assert any("client.session.reached" in line for line in handler.lines)


def test_a_line_says_when_and_on_which_thread_it_was_written(session: FakeSession) -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("zreg.client")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with zreg.Client(session.url, config=CONFIG) as client:
            client.wait_connected(5)
            wait_until(lambda: records)
            assert records[0].threadName == "zreg-clients"
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_handler_that_never_returns_fills_no_memory(
    handle: Callable[[Callable[[str], object]], FakeHandler],
) -> None:
    may_go_on = threading.Event()
    handler = handle(lambda _line: may_go_on.wait(20))
    for number in range(1500):
        BACKGROUND_LOG.write("zreg.client", logging.WARNING, f"line {number}")
    may_go_on.set()
    wait_until(
        lambda: bool(handler.lines) and handler.lines[-1].startswith("client.log.dropped lines=")
    )
    assert 1000 <= len(handler.lines) <= 1003


def test_a_client_connects_while_dict_config_makes_a_handler_that_waits_for_it(
    session: FakeSession, handle: Callable[[Callable[[str], object]], FakeHandler]
) -> None:
    """`logging.config.dictConfig` holds this lock while it makes the handlers of the program."""
    handler = handle(lambda _line: None)
    with contextlib.ExitStack() as stack:
        with logging._lock:  # type: ignore[attr-defined]
            # It forgets which levels are enabled as well: to ask again takes the lock.
            logging.root.manager._clear_cache()  # type: ignore[attr-defined]
            client = stack.enter_context(zreg.Client(session.url, config=CONFIG))
            client.wait_connected(5)
            client.publish("pay", "a").wait_registered(5)
        wait_until(lambda: any("client.session.reached" in line for line in handler.lines))


def test_a_line_below_the_level_reaches_no_handler(
    handle: Callable[[Callable[[str], object]], FakeHandler],
) -> None:
    handler = handle(lambda _line: None)
    BACKGROUND_LOG.write("zreg.client", logging.DEBUG, "below")
    BACKGROUND_LOG.write("zreg.client", logging.INFO, "enabled")
    BACKGROUND_LOG.flush(5)
    assert handler.lines == ["enabled"]


# --- waits and locks -----------------------------------------------------------------------------


def test_a_wait_on_the_thread_of_the_connection_is_refused_at_once(client: zreg.Client) -> None:
    client.wait_connected(5)
    sub = client.subscribe("pay")
    errors: list[str] = []

    def wait() -> None:
        for call in (client.wait_connected, sub.wait_for, lambda: next(sub.changes())):
            try:
                call()
            except zreg.UsageError as error:
                errors.append(str(error))
        client.close()

    client._runtime.core_runner._host.loop.call_soon_threadsafe(wait)

    wait_until(lambda: client.state is zreg.ClientState.CLOSED)
    wait_until(lambda: client._runtime.core_runner.has_ended)
    assert len(errors) == 3
    assert all("would never end: wait on another thread" in error for error in errors)


def test_a_slow_condition_does_not_hold_the_lock(client: zreg.Client) -> None:
    sub = client.subscribe("pay").wait_for(0, 5)
    entered, may_go_on = threading.Event(), threading.Event()

    def slow() -> bool:
        entered.set()
        return may_go_on.wait(10)

    waiting = threading.Thread(
        target=lambda: sub.wait_until(slow, timeout_seconds=10, wanted=str), daemon=True
    )
    waiting.start()
    assert entered.wait(5)
    client.publish("pay", "a").wait_registered(5)
    may_go_on.set()
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_mapping_of_the_user_is_not_read_under_the_lock(client: zreg.Client) -> None:
    class Attributes(Mapping[str, str]):
        def __getitem__(self, name: str) -> str:
            client.publish("elsewhere", name).wait_registered(5)
            return name

        def __iter__(self) -> Iterator[str]:
            return iter(("a",))

        def __len__(self) -> int:
            return 1

    pub = client.publish("pay", "a", attributes=Attributes())
    done: list[bool] = []
    thread = threading.Thread(
        target=lambda: done.append(pub.republish("b", attributes=Attributes()) is None), daemon=True
    )
    thread.start()
    wait_until(lambda: done)


def test_a_signal_handler_may_pick_an_instance_in_the_middle_of_a_pick(
    client: zreg.Client,
) -> None:
    client.publish("orders", zreg.Endpoint("h", 1))
    service = client.service("orders").wait_up(timeout_seconds=5)
    picked: list[str] = []
    former = signal.signal(signal.SIGUSR1, lambda *_: picked.append(service.pick().address))
    try:
        with service._lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert picked == ["h:1"]


def test_a_loop_policy_of_the_program_is_not_used(session: FakeSession) -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            raise AssertionError("the program's loops are its own")

    former = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy())
    try:
        with zreg.Client(session.url, config=CONFIG) as client:
            client.wait_connected(5)
    finally:
        asyncio.set_event_loop_policy(former)


# --- look-ups of names ---------------------------------------------------------------------------


def named(session: FakeSession) -> str:
    return session.url.replace("127.0.0.1", "registry.test")


def resolve(monkeypatch: pytest.MonkeyPatch, look_up: Callable[[], tuple[str, ...]]) -> None:
    """Have the name `registry.test` resolved by a function."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: object, **named: object) -> list[object]:
        if host != "registry.test":
            return real(host, *arguments, **named)  # type: ignore[arg-type, return-value]
        return [found for each in look_up() for found in real(each, *arguments, **named)]  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_slow_look_up_blocks_no_call_and_is_said_to_be_the_cause(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()

    def slow() -> tuple[str, ...]:
        assert may_go_on.wait(10)
        return ("127.0.0.1",)

    resolve(monkeypatch, slow)
    with zreg.Client(named(session), config=CONFIG) as client:
        pub = client.publish("pay", zreg.Endpoint(port=80))
        wait_until(lambda: "registry.test is still being looked up" in repr(client))
        started_at = time.monotonic()
        client.subscribe("pay")
        assert time.monotonic() - started_at < 0.5
        may_go_on.set()
        pub.wait_registered(5)
        assert client.subscribe("pay").wait_for(1, 5).view.values == (
            zreg.Endpoint("127.0.0.1", 80),
        )


@pytest.mark.parametrize(
    "error", [OSError("no resolver"), StopEverythingError("from the resolver")]
)
def test_a_name_that_does_not_resolve_is_said_to_be_the_cause(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail() -> tuple[str, ...]:
        raise error

    resolve(monkeypatch, fail)
    with zreg.Client("zreg://registry.test:9", config=CONFIG) as client:
        wait_until(lambda: "registry.test does not resolve: " in repr(client))
        assert str(error) in repr(client)
        assert "refused" not in repr(client)


def test_the_published_host_is_that_of_the_connection_that_stands(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address of the name, as that of `localhost` on many machines, leads nowhere."""
    resolve(monkeypatch, lambda: ("::1", "127.0.0.1"))
    with zreg.Client(named(session), config=CONFIG) as client:
        client.publish("pay", zreg.Endpoint(port=80)).wait_registered(5)
        endpoint = client.service("pay").wait_up(timeout_seconds=5).pick()
        assert endpoint == zreg.Endpoint("127.0.0.1", 80)


def test_a_client_reconnects_with_the_last_addresses_while_no_name_resolves(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = [True]

    def fails_later() -> tuple[str, ...]:
        if works:
            return ("127.0.0.1",)
        raise OSError("no resolver")

    resolve(monkeypatch, fails_later)
    with zreg.Client(named(session), config=CONFIG) as client:
        client.wait_connected(5)
        works.clear()
        address = session.address
        session.stop()
        wait_until(lambda: client.state is zreg.ClientState.SUSPENDED)
        again = FakeSession(address)
        try:
            client.wait_connected(5)
        finally:
            client.close()
            again.stop()


def test_a_client_that_is_closed_during_a_look_up_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_go_on = threading.Event()

    def slow() -> tuple[str, ...]:
        may_go_on.wait(10)
        return ("127.0.0.1",)

    resolve(monkeypatch, slow)
    client = zreg.Client("zreg://registry.test:9", config=CONFIG)
    wait_until(lambda: any(t.name.startswith("zreg-look-up") for t in threading.enumerate()))
    started_at = time.monotonic()
    client.close()
    assert time.monotonic() - started_at < 0.9
    may_go_on.set()
    wait_until(lambda: not any(t.name.startswith("zreg-") for t in threading.enumerate()))
    gc.collect()


def test_a_finalizer_on_the_thread_of_the_connection_may_use_the_client(
    client: zreg.Client,
) -> None:
    """The garbage collector runs finalizers of the program on any thread, also in an event."""
    subs = [client.subscribe("pay").wait_for(0, 5) for _ in range(20)]
    iterators = [sub.changes() for sub in subs]
    for iterator in iterators:
        next(iterator)

    class Finalized:
        def __del__(self) -> None:
            client.publish("late", "a")
            subs.pop().close()
            iterators.pop().close()

    router = client._runtime._router
    on_event = router.on_event

    def collect(event: object) -> None:
        if iterators:
            Finalized()
        on_event(event)

    router.on_event = collect  # type: ignore[method-assign, assignment]
    for number in range(30):
        client.publish("pay", str(number)).wait_registered(5)
    wait_until(lambda: len(client.subscribe("late").wait_for(0, 5).view) == 20)
    assert client.statistics().get("event_errors", 0) == 0
