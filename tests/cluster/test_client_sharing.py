"""Clients of one process share a thread, a loop and a ZeroMQ context, and harm no other."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import zmq
from fake_session import CONFIG, FakeSession, run_program
from fake_session import wait_until as wait_until_for

import zreg
from zreg.client.runtime.client_node import ClientNode
from zreg.client.runtime.threads.loop_thread import (
    OF_A_FURTHER_CLIENT,
    OF_THE_FIRST_CLIENT,
    is_loop_thread,
)
from zreg.effects import Link
from zreg.reactor.link_table import LinkTable
from zreg.reactor.sockets.socket_options import LINGER_MILLISECONDS, new_context
from zreg.reactor.sockets.socket_set import SocketSet
from zreg.wire.records.client_messages import Bye

COUNT = 40
# Other tests may use all the processor time meanwhile.
wait_until = partial(wait_until_for, timeout_seconds=20.0)


@pytest.fixture
def others(session: FakeSession) -> Iterator[list[zreg.Client]]:
    """Return two connected clients, which must not notice what becomes of a third one."""
    with (
        zreg.Client(session.url, config=CONFIG) as one,
        zreg.Client(session.url, config=CONFIG) as two,
    ):
        yield [one.wait_connected(5), two.wait_connected(5)]


def costs() -> tuple[int, int]:
    """Return how many threads and descriptors this process has, those of libzmq included."""
    own = Path("/proc/self")
    return len(list((own / "task").iterdir())), len(list((own / "fd").iterdir()))


def costs_without_clients(session: FakeSession) -> tuple[int, int]:
    """Return the costs of a process whose session has started, as it has served a client."""
    zreg.Client(session.url, config=CONFIG).wait_connected(5).close()
    gc.collect()
    wait_until(lambda: session.core.count(Bye) == 1)
    wait_until(lambda: not any(each.name == "zreg-clients" for each in threading.enumerate()))
    settled = [costs()]
    pause = threading.Event()
    while len(settled) < 10 or len(set(settled[-10:])) > 1:
        pause.wait(0.02)
        settled.append(costs())
        assert len(settled) < 1000, settled
    return settled[-1]


def loop_of(client: zreg.Client) -> asyncio.AbstractEventLoop:
    return client._runtime.core_runner._host.loop


def assert_works(*clients: zreg.Client) -> None:
    for client in clients:
        client.publish("works", "a").wait_registered(5)
        assert client.state is zreg.ClientState.CONNECTED


def test_many_clients_take_no_thread_and_four_descriptors_each(session: FakeSession) -> None:
    threads, descriptors = costs_without_clients(session)
    seen: list[int] = []
    with ExitStack() as stack:
        clients = [
            stack.enter_context(zreg.Client(session.url, config=CONFIG)) for _ in range(COUNT)
        ]
        for client in clients:
            client.subscribe("pay", lambda change: seen.append(len(change.view)), inline=True)
        clients[0].publish("pay", "a")
        wait_until(lambda: seen.count(1) == COUNT, timeout_seconds=20)

        # The loop's thread and the two of the context; log lines have one while there are some.
        wait_until(lambda: costs()[0] - threads <= 3)
        assert len({client._runtime.core_runner._host for client in clients}) == 1
        # The session's end of each connection is in this process too.
        bound = OF_THE_FIRST_CLIENT + (COUNT - 1) * OF_A_FURTHER_CLIENT + COUNT
        assert costs()[1] - descriptors == bound
        assert (OF_THE_FIRST_CLIENT, OF_A_FURTHER_CLIENT) == (12, 4)
    wait_until(lambda: costs() == (threads, descriptors))


def test_closing_a_client_frees_its_descriptors_while_others_go_on(
    session: FakeSession, others: list[zreg.Client]
) -> None:
    _, descriptors = costs()
    for number in range(3):
        zreg.Client(session.url, config=CONFIG).wait_connected(5).close()
        wait_until(lambda number=number: session.core.count(Bye) == number + 1)
    wait_until(lambda: costs()[1] == descriptors)
    assert_works(*others)


def test_the_last_client_ends_the_thread_and_the_next_one_gets_another(
    session: FakeSession,
) -> None:
    threads = []
    for _ in range(3):
        with zreg.Client(session.url, config=CONFIG) as client:
            client.wait_connected(5)
            threads.append(client._runtime.core_runner._host)
        assert not threads[-1]._thread.is_alive()
    assert len(set(threads)) == 3


def test_a_call_that_fails_ends_its_own_client_only(
    session: FakeSession, others: list[zreg.Client]
) -> None:
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)

    def fail() -> None:
        raise OSError("a bug in this client")

    with client._runtime.changed:
        # Through another call, as what a timer or a descriptor of this client calls.
        client._runtime.core_runner.call_soon(lambda: loop_of(client).call_soon(fail))
    with pytest.raises(zreg.ClosedError, match="a bug in this client"):
        client.subscribe("never").wait_for(1, 5)
    wait_until(lambda: client._runtime.core_runner.has_ended)
    assert_works(*others)
    client.close()


def test_a_client_that_cannot_be_made_harms_no_other(
    session: FakeSession, others: list[zreg.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_more: object) -> ClientNode:
        raise OSError("no sockets left")

    with monkeypatch.context() as patch:
        patch.setattr("zreg.client.runtime.runtime.ClientNode", broken)
        client = zreg.Client(session.url, config=CONFIG)
    with pytest.raises(zreg.ClosedError, match="no sockets left"):
        client.wait_connected(5)
    assert_works(*others)
    client.close()


def test_a_loop_that_fails_ends_all_its_clients_and_new_ones_get_another(
    session: FakeSession,
) -> None:
    clients = [zreg.Client(session.url, config=CONFIG).wait_connected(5) for _ in range(3)]

    def fail() -> None:
        raise OSError("the selector is broken")

    loop_of(clients[0]).call_soon_threadsafe(fail)
    for client in clients:
        with pytest.raises(zreg.ClosedError, match="the selector is broken"):
            client.subscribe("never").wait_for(1, 5)
    wait_until(lambda: all(client._runtime.core_runner.has_ended for client in clients))
    with zreg.Client(session.url, config=CONFIG) as later:
        assert_works(later)
    for client in clients:
        client.close()


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_selector_that_fails_once_ends_all_clients_and_frees_what_they_have(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    descriptors = costs_without_clients(session)[1]
    clients = [zreg.Client(session.url, config=CONFIG).wait_connected(5) for _ in range(3)]
    selector = loop_of(clients[0])._selector  # type: ignore[attr-defined]
    select, failed = selector.select, []

    def fail_once(timeout: float | None = None) -> object:
        if not failed:
            failed.append(1)
            raise error("from the selector")
        return select(timeout)

    monkeypatch.setattr(selector, "select", fail_once)
    for client in clients:
        with pytest.raises(zreg.ClosedError, match="from the selector"):
            client.subscribe("never").wait_for(1, 5)
    wait_until(lambda: costs()[1] == descriptors)


def test_a_wait_for_another_client_in_an_inline_callback_is_refused_too(
    session: FakeSession, client: zreg.Client, others: list[zreg.Client]
) -> None:
    errors: list[str] = []

    def wait(_change: zreg.ViewChange) -> None:
        with pytest.raises(zreg.UsageError, match="would never end") as caught:
            others[0].wait_connected(5)
        errors.append(str(caught.value))

    client.subscribe("pay", wait, inline=True)
    wait_until(lambda: errors)
    assert_works(client, *others)


def test_a_slow_callback_of_one_client_delays_no_other(
    client: zreg.Client, others: list[zreg.Client]
) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(_change: zreg.ViewChange) -> None:
        entered.set()
        release.wait(10)

    client.subscribe("pay", slow)
    assert entered.wait(5)
    assert_works(client, *others)
    release.set()


def test_closing_a_client_in_an_inline_callback_of_another_does_not_wait(
    session: FakeSession, client: zreg.Client, others: list[zreg.Client]
) -> None:
    other = others[1]
    took: list[float] = []

    def close(_change: zreg.ViewChange) -> None:
        started_at = time.monotonic()
        other.close()
        took.append(time.monotonic() - started_at)

    client.subscribe("pay", close, inline=True)
    wait_until(lambda: session.core.count(Bye) == 1)
    assert took[0] < 0.5
    assert_works(client, others[0])


FORKED = """
import os, sys, zreg
one = zreg.Client(sys.argv[1], cluster="test").wait_connected(10)
if (child := os.fork()) == 0:
    with zreg.Client(sys.argv[1], cluster="test") as own:
        own.publish("pay", "child").wait_registered(10)
        one.publish("pay", "a").wait_registered(10)
        assert one._runtime.core_runner._host is own._runtime.core_runner._host
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
with zreg.Client(sys.argv[1], cluster="test") as two:
    two.publish("pay", "parent").wait_registered(10)
one.publish("pay", "parent").wait_registered(10)
one.close()
"""


def test_a_forked_child_makes_clients_on_a_thread_of_its_own(session: FakeSession) -> None:
    done, _ = run_program(FORKED, session.url)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_ends_with_many_open_clients_says_goodbye_for_all(
    session: FakeSession,
) -> None:
    done, _ = run_program(
        "import sys, zreg\n"
        "clients = [zreg.Client(sys.argv[1], cluster='test') for _ in range(20)]\n"
        "for client in clients: client.publish('pay', 'a').wait_registered(10)\n",
        session.url,
    )

    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: session.core.count(Bye) == 20)


# --- the end of a socket in a shared context -----------------------------------------------------


async def end_after_a_message(address: str) -> float:
    """Send one message to an address, and return how long the end of the sockets takes."""
    loop = asyncio.get_running_loop()
    context = new_context()
    try:
        sockets = SocketSet(LinkTable(dealers=(Link.SESSION,)), context)
        connection = sockets.dealers[id(Link.SESSION)].open("s", address)
        connection.send("s", b"header", b"frame")
        started_at = loop.time()
        await asyncio.wait_for(sockets.end(loop), 5)
        return loop.time() - started_at
    finally:
        context.term()


def test_the_end_waits_until_a_socket_has_handed_over_what_it_has_taken() -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        assert asyncio.run(end_after_a_message(f"tcp://127.0.0.1:{port}")) < 1
        assert router.recv_multipart()[1:] == [b"header", b"frame"]


def test_the_end_waits_no_longer_than_the_linger_time(listener: object) -> None:
    """The listener accepts connections and never greets, so the message cannot leave."""
    port = listener.getsockname()[1]  # type: ignore[attr-defined]
    took = asyncio.run(end_after_a_message(f"tcp://127.0.0.1:{port}"))

    assert 0.9 * LINGER_MILLISECONDS / 1000 < took < 2


def test_the_thread_of_a_test_is_no_loop_thread() -> None:
    assert not is_loop_thread()
