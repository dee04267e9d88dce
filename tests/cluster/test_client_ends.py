"""How clients end: dropped by the program, or by a failure; each end has its cause."""

import asyncio
import gc
import importlib.util
import selectors
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_session import CONFIG, FakeSession, run_program, wait_until

import zreg
from zreg.client.runtime.threads.core_loop import GreenWaits
from zreg.client.runtime.threads.loop_thread import OF_A_FURTHER_CLIENT, OF_THE_FIRST_CLIENT
from zreg.effects import Link, Send
from zreg.wire.records.client_messages import Bye, Publish
from zreg.wire.records.common_messages import Pong


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def settled_descriptors() -> int:
    """Return the count once no other thread, of a session that starts, changes it."""
    counts = [descriptors()]
    pause = threading.Event()
    while len(counts) < 10 or len(set(counts[-10:])) > 1:
        pause.wait(0.02)
        counts.append(descriptors())
        assert len(counts) < 1000, counts
    return counts[-1]


def client_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("zreg-")]


# --- dropped clients -----------------------------------------------------------------------------


def drop(make: Callable[[], object]) -> list[str]:
    """Make something and drop it; return the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
        gc.collect()
    return [f"{each.category.__name__}: {each.message}" for each in caught]


def test_a_dropped_client_ends_with_a_warning(session: FakeSession) -> None:
    before = settled_descriptors()
    threads = client_threads()

    told = drop(
        lambda: zreg.Client(session.url, config=CONFIG).publish("pay", "a").wait_registered(5)
    )

    what = f"unclosed zreg.Client for {session.address}: call close(), or use it in a with block"
    assert told == [f"ResourceWarning: {what}"]
    wait_until(lambda: session.core.count(Bye) == 1)
    wait_until(lambda: client_threads() == threads)
    assert settled_descriptors() <= before


def test_a_client_that_is_dropped_with_all_its_handles_needs_no_garbage_collection(
    session: FakeSession,
) -> None:
    gc.disable()
    try:
        client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
        handles = (
            client.publish("pay", "a").wait_registered(5),
            client.subscribe("pay", lambda change: None).wait_for(1, 5),
            client.service("pay"),
        )
        with pytest.warns(ResourceWarning, match="unclosed"):
            del client, handles
    finally:
        gc.enable()
    wait_until(lambda: session.core.count(Bye) == 1)


@pytest.mark.parametrize(
    "handle",
    [
        lambda client: client.publish("pay", "a"),
        lambda client: client.subscribe("pay"),
        lambda client: client.service("pay"),
        lambda client: client.subscribe("pay").changes(),
    ],
)
def test_a_client_lives_as_long_as_a_handle_of_it(
    session: FakeSession, handle: Callable[[zreg.Client], object]
) -> None:
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
    runtime = client._runtime
    kept = handle(client)
    if hasattr(kept, "__next__"):
        next(kept)
    del client
    gc.collect()
    assert runtime.state is zreg.ClientState.CONNECTED
    del runtime
    held = [kept]
    del kept
    with pytest.warns(ResourceWarning, match="unclosed"):
        held.clear()


def test_what_a_client_publishes_lives_as_long_as_the_client(
    client: zreg.Client, session: FakeSession
) -> None:
    seen: list[int] = []
    client.publish("pay", "a")
    client.subscribe("pay", lambda change: seen.append(len(change.view)))
    gc.collect()
    wait_until(lambda: 1 in seen)
    client.publish("pay", zreg.Endpoint(port=1))
    gc.collect()
    wait_until(lambda: 2 in seen)


def test_a_dropped_client_ends_although_its_callback_refers_to_it(session: FakeSession) -> None:
    def make() -> None:
        client = zreg.Client(session.url, config=CONFIG)
        called: list[zreg.Client] = []
        client.subscribe("pay", lambda change: called.append(client))
        wait_until(lambda: called)

    wait_until(lambda: True)
    told = drop(make)
    assert len(told) == 1
    wait_until(lambda: session.core.count(Bye) == 1)


def test_a_closed_client_is_dropped_without_a_warning(session: FakeSession) -> None:
    def make() -> None:
        zreg.Client(session.url, config=CONFIG).wait_connected(5).close()

    assert drop(make) == []


def test_the_warning_does_not_run_on_the_thread_of_the_connection(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop holds the last reference, as it may for an event."""
    warned: list[str] = []
    monkeypatch.setattr(
        warnings, "warn", lambda *_, **__: warned.append(threading.current_thread().name)
    )
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
    held, loop = [client._runtime], client._runtime.core_runner._host.loop
    del client
    loop.call_soon_threadsafe(held.clear)

    wait_until(lambda: warned)
    assert warned == ["zreg-warning"]
    wait_until(lambda: session.core.count(Bye) == 1)


def test_the_warning_runs_on_no_thread_of_another_client_either(
    session: FakeSession, client: zreg.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector may run on it, and end a client that was dropped in a reference cycle."""
    warned: list[str] = []
    dropped = [zreg.Client(session.url, config=CONFIG).wait_connected(5)]
    drop = dropped.clear
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(
            warnings, "showwarning", lambda *_, **__: warned.append(threading.current_thread().name)
        )
        client._runtime.core_runner._host.loop.call_soon_threadsafe(drop)
        wait_until(lambda: warned)

    assert warned == ["zreg-warning"]


# --- descriptors ---------------------------------------------------------------------------------


def test_a_client_takes_as_many_descriptors_as_it_checks_for(session: FakeSession) -> None:
    zreg.Client(session.url, config=CONFIG).wait_connected(5).close()
    wait_until(lambda: not client_threads())
    # The session's end of a connection is in this process too.
    before = settled_descriptors()
    with zreg.Client(session.url, config=CONFIG) as first:
        first.wait_connected(5)
        with_first = settled_descriptors()
        assert with_first - before == OF_THE_FIRST_CLIENT + 1
        with zreg.Client(session.url, config=CONFIG) as second:
            second.wait_connected(5)
            assert settled_descriptors() - with_first == OF_A_FURTHER_CLIENT + 1
        wait_until(lambda: descriptors() == with_first)
    wait_until(lambda: descriptors() == before)


LIMITED = """
import os, resource, sys, zreg, zreg.client.api
spare = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    for _ in range(spare):
        os.close(held.pop())
try:
    client = zreg.Client(sys.argv[1], cluster="test")
except zreg.UnavailableError as error:
    print(error)
    for descriptor in held:
        os.close(descriptor)
    client = zreg.Client(sys.argv[1], cluster="test")
client.publish("pay", "a").wait_registered(10)
client.close()
"""


@pytest.mark.parametrize("spare", [0, 5, OF_THE_FIRST_CLIENT - 2, OF_THE_FIRST_CLIENT + 1])
def test_a_program_without_descriptors_is_told_so_and_may_try_again(
    session: FakeSession, spare: int
) -> None:
    done, _ = run_program(LIMITED, session.url, str(spare))

    assert (done.returncode, done.stderr) == (0, "")
    reason = "needs 12 descriptors and this process has only" if spare else "has none left"
    assert (reason in done.stdout) == (spare < OF_THE_FIRST_CLIENT)


WITHOUT_DESCRIPTORS_LATER = """
import os, resource, sys, time, zreg
client = zreg.Client(sys.argv[1], cluster="test").wait_connected(10)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
print("ready", flush=True)
end = time.monotonic() + 10
while "a connection needs 4 descriptors" not in repr(client) and time.monotonic() < end:
    try:
        held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        time.sleep(0.01)
print(repr(client), flush=True)
for descriptor in held:
    os.close(descriptor)
"""


def test_a_client_that_cannot_reconnect_for_want_of_descriptors_says_so(
    session: FakeSession,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS_LATER, session.url],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        session.stop()
        out, _ = program.communicate(timeout=20)

    assert "a connection needs 4 descriptors and this process has only" in out


# --- failures ------------------------------------------------------------------------------------


def test_what_breaks_the_loop_ends_the_client_with_its_cause(
    session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
    sub = client.subscribe("pay").wait_for(0, 5)
    before = settled_descriptors()

    def fail() -> None:
        raise OSError("the selector is broken")

    client._runtime.core_runner._host.loop.call_soon_threadsafe(fail)

    why = "the connection of this client failed: OSError: the selector is broken"
    with pytest.raises(zreg.ClosedError, match=f"{why}: make a new") as caught:
        sub.wait_for(1, 5)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(zreg.ClosedError, match=why):
        list(sub.changes())
    with pytest.raises(zreg.ClosedError, match=why):
        client.publish("pay", "a")
    assert repr(client) == f"<Client closed: {why}>"
    assert why in repr(sub)
    assert sub.view.is_stale
    # The handler has the record before it has written the traceback.
    wait_until(lambda: "the selector is broken" in caplog.text)
    assert "client.loop.failed" in caplog.messages
    assert settled_descriptors() < before
    client.close()


def test_a_task_that_the_collector_finds_ends_no_client(
    session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    """The collector may run within the call of any client of the process."""
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
    loop = client._runtime.core_runner._host.loop

    async def drop() -> None:
        loop.create_task(asyncio.Event().wait())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run_coroutine_threadsafe(drop(), loop).result(5)

    wait_until(lambda: "client.loop.complained" in caplog.text)
    assert "Task was destroyed but it is pending!" in caplog.text
    with client.publish("pay", "a") as pub:
        pub.wait_registered(5)
    client.close()


def test_a_loop_ends_what_runs_on_it_besides_its_clients(session: FakeSession) -> None:
    """Such a task may have sockets, and the collector would find it later."""
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
    loop = client._runtime.core_runner._host.loop
    ended = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    task = asyncio.run_coroutine_threadsafe(wait(), loop)
    client.close()

    assert ended.wait(5)
    assert task.cancelled()


def test_a_client_without_a_thread_of_its_own_says_so(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = settled_descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(zreg.UnavailableError, match="can't start new thread"):
            zreg.Client(session.url, config=CONFIG)
    gc.collect()
    assert settled_descriptors() == before


def test_an_iterator_ends_with_the_cause_if_its_client_fails(session: FakeSession) -> None:
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
    changes = client.subscribe("pay").changes()
    next(changes)

    def fail() -> None:
        raise OSError("the selector is broken")

    client._runtime.core_runner._host.loop.call_soon_threadsafe(fail)

    with pytest.raises(zreg.ClosedError, match="the selector is broken"):
        next(changes)
    client.close()


def test_every_object_says_what_ended_it(client: zreg.Client) -> None:
    pub = client.publish("pay", "a").wait_registered(5)
    sub, service = client.subscribe("pay"), client.service("pay")
    sub.close()
    assert repr(sub).endswith(" ended: this subscription was closed>")

    client.close()

    assert repr(client) == "<Client closed: this client was closed>"
    assert repr(pub).endswith(" this client was closed>")
    assert repr(service).endswith(" ended: this client was closed>")
    with pytest.raises(zreg.NoInstanceError, match="this client was closed"):
        client_without_instances(service).pick()


def client_without_instances(service: zreg.Service) -> zreg.Service:
    service._subscription._state.view = service.view.with_changes(
        {}, list(service.view._by_id), version=service.view.version, stale_since=None
    )
    return service


def test_a_forked_child_shows_that_it_has_inherited_a_client(session: FakeSession) -> None:
    done, _ = run_program(
        "import os, sys, zreg\n"
        "client = zreg.Client(sys.argv[1], cluster='test').wait_connected(10)\n"
        "if (child := os.fork()) == 0:\n"
        "    print(client, flush=True)\n"
        "    del client\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "client.close()\n",
        session.url,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "<Client connecting: inherited by this forked process, where it connects with its first "
        "use>\n"
    )


def test_waiting_for_a_publication_ends_when_another_thread_unpublishes_it() -> None:
    with zreg.Client("zreg://127.0.0.1:1", config=CONFIG) as client:
        pub = client.publish("pay", "a")
        threading.Timer(0.05, pub.unpublish).start()
        started_at = time.monotonic()
        with pytest.raises(zreg.UsageError, match="was unpublished"):
            pub.wait_registered(10)
        assert time.monotonic() - started_at < 5


# --- where there is no epoll, as under gevent and eventlet ---------------------------------------


def test_a_client_works_without_epoll(session: FakeSession) -> None:
    done, _ = run_program(
        "import select, sys\n"
        "del select.epoll\n"
        "import zreg\n"
        "from zreg.client.runtime.threads.core_loop import GreenWaits\n"
        "with zreg.Client(sys.argv[1], cluster='test') as one:\n"
        "    with zreg.Client(sys.argv[1], cluster='test') as two:\n"
        "        two.publish('pay', zreg.Endpoint(port=1)).wait_registered(10)\n"
        "        one.subscribe('pay').wait_for(1, 10)\n"
        "    loop = one._runtime.core_runner._host.loop\n"
        "    assert isinstance(loop._selector, GreenWaits)\n",
        session.url,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("package", "patching"),
    [
        ("gevent", "from gevent import monkey; monkey.patch_all()"),
        # It says of itself that it is deprecated.
        ("eventlet", "warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch()"),
    ],
)
def test_a_client_works_where_the_standard_library_is_patched(
    session: FakeSession, package: str, patching: str
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; tox -e cluster installs it")
    done, _ = run_program(
        f"import sys, warnings; {patching}\n"
        "import threading, zreg\n"
        "changes = []\n"
        "with zreg.Client(sys.argv[1], cluster='test') as one:\n"
        "    with zreg.Client(sys.argv[1], cluster='test') as two:\n"
        "        two.publish('pay', zreg.Endpoint(port=1)).wait_registered(10)\n"
        "        subscription = one.subscribe('pay', changes.append).wait_for(1, 10)\n"
        "        other = threading.Thread(target=one.publish, args=('orders', 'v'))\n"
        "        other.start(); other.join(10)\n"
        "        two.subscribe('orders').wait_for(1, 10)\n"
        "    assert changes[0].view.values == subscription.view.values\n",
        session.url,
    )

    assert (done.returncode, done.stderr) == (0, "")


class GreenPoll(GreenWaits, selectors.PollSelector):
    pass


def test_loops_that_share_a_thread_forget_each_other_while_they_wait() -> None:
    selector = GreenPoll()
    loop = asyncio.SelectorEventLoop(selector)
    selector.loop = loop
    running: list[object] = []

    async def look() -> None:
        await asyncio.sleep(0)
        running.append(asyncio.get_running_loop())

    try:
        loop.run_until_complete(look())
    finally:
        asyncio._set_running_loop(None)
        loop.close()
    assert running == [loop]


def test_a_replayed_publication_keeps_its_attributes(
    session: FakeSession,
) -> None:
    attributes = {"shard": "1"}
    with zreg.Client("zreg://127.0.0.1:1," + session.url[7:], config=CONFIG) as client:
        pub = client.publish("pay", "a", attributes=attributes)
        attributes["shard"] = "2"
        attributes["bad"] = 5  # type: ignore[assignment]
        client.publish("orders", "b").wait_registered(5)
        pub.republish("c")
        pub.wait_registered(5)
        assert client.subscribe("pay").wait_for(1, 5).view[0].attributes == {"shard": "1"}
        (peer,) = session.core.clients
        session.do(lambda: [Send(Link.CLIENTS, peer, Pong())])
        assert session.core.count(Publish) >= 2
