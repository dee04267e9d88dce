"""The client with threads over real sockets: what is its own; the rest is in test_client_both."""

import gc
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest
from fake_session import FakeSession, run_program, wait_until

import zreg
from zreg.wire.records.client_messages import (
    Bye,
    Publish,
)


def test_a_publication_that_is_unpublished_before_it_left_the_queue_is_never_sent(
    client: zreg.Client,
) -> None:
    with client._runtime.changed:  # the loop's thread waits here
        pub = client.publish("pay", "a")
        first = pub.publisher_id
        pub.unpublish()
        pub.republish("b")
        pub.republish("c")
        assert pub.publisher_id == first

    pub.wait_registered(5)
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)
    assert sub.view.values == ("c",)


def test_a_burst_of_republishes_sends_only_the_newest_value(
    client: zreg.Client, session: FakeSession
) -> None:
    pub = client.publish("pay", "0").wait_registered(5)
    before = session.core.count(Publish)
    with client._runtime.changed:  # the loop's thread waits here
        for number in range(1000):
            pub.republish(str(number))

    pub.wait_registered(5)
    assert session.core.count(Publish) == before + 1
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)
    assert sub.view.values == ("999",)


def test_a_callback_that_raises_is_logged_and_called_again(
    client: zreg.Client, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def fail(change: zreg.ViewChange) -> None:
        seen.append(len(change.view))
        if len(seen) == 1:
            raise ValueError("raised by the callback")
        if len(seen) == 2:
            sys.exit(3)

    client.subscribe("pay", fail)
    wait_until(lambda: len(seen) == 1)
    client.publish("pay", "a")
    wait_until(lambda: len(seen) == 2)
    client.publish("pay", "b")
    wait_until(lambda: seen == [0, 1, 2])
    assert caplog.messages.count("client.callback.failed") == 2


def test_a_callback_may_call_the_whole_api(client: zreg.Client) -> None:
    done: list[object] = []

    def answer(change: zreg.ViewChange) -> None:
        if not change.view:
            return
        pub = client.publish("answer", "yes").wait_registered(5)
        sub = client.subscribe("answer").wait_for(1, timeout_seconds=5)
        pub.unpublish()
        sub.close()
        client.close()
        done.append(sub.view.values)

    client.subscribe("pay", answer)
    client.publish("pay", "a")

    wait_until(lambda: done)
    assert done == [("yes",)]
    assert client.state is zreg.ClientState.CLOSED


def test_a_slow_callback_gets_the_newest_state_merged_into_one_change(
    client: zreg.Client, session: FakeSession
) -> None:
    entered, may_go_on = threading.Event(), threading.Event()
    changes: list[zreg.ViewChange] = []

    def slow(change: zreg.ViewChange) -> None:
        changes.append(change)
        entered.set()
        assert may_go_on.wait(5)

    sub = client.subscribe("pay", slow)
    assert entered.wait(5)
    first = client.publish("pay", "0")
    for number in range(1, 20):
        pub = client.publish("pay", str(number))
    pub.wait_registered(5)
    first.unpublish()
    wait_until(lambda: len(sub.view) == 19)
    may_go_on.set()

    wait_until(lambda: len(changes) == 2)
    assert len(changes[1].view) == len(changes[1].added) == 19
    assert changes[1].removed == ()


# --- faults ----------------------------------------------------------------------------------


def test_a_client_that_is_closed_at_once_leaves_no_thread_and_no_socket() -> None:
    before = set(threading.enumerate())
    for _ in range(5):
        zreg.Client("zreg://127.0.0.1:1").close()

    wait_until(lambda: set(threading.enumerate()) <= before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()


# --- questions of the CLI ----------------------------------------------------------------------


def test_every_object_of_the_api_has_a_repr(client: zreg.Client) -> None:
    pub = client.publish("pay", "a").wait_registered(5)
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)

    assert repr(client).startswith("<Client connected: connected to the session at tcp://127.0.0.1")
    assert repr(pub).endswith(" registered>")
    assert repr(sub).startswith("<Subscription pay#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP DATA_")
    assert repr(client._runtime).startswith("<ThreadRuntime connected")
    assert repr(client._runtime.dispatcher).endswith("waiting=0>")
    assert repr(client._runtime.core_runner.node).startswith("<ClientNode <ClientCore connected")
    assert client.statistics()["state"] == "connected"
    assert pub.values == ("a",)
    pub.unpublish()
    assert repr(pub).endswith(" withdrawn>")
    assert repr(client.publish("pay", zreg.Endpoint(port=1))).endswith("pending>")


# --- endpoints ---------------------------------------------------------------------------------


# --- processes -----------------------------------------------------------------------------------


def test_a_program_without_a_registry_exits_within_a_second() -> None:
    done, _ = run_program(
        "import time, zreg\n"
        "client = zreg.Client('zreg://127.0.0.1:1,192.0.2.1:9600')\n"
        "client.publish('pay', 'a')\n"
        "client.subscribe('pay', print)\n"
        "import atexit\n"
        "began = time.monotonic()\n"
        "atexit._run_exitfuncs()\n"
        "print(time.monotonic() - began)\n"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 1.0


def test_a_program_that_ends_without_close_sends_bye(session: FakeSession) -> None:
    done, _ = run_program(
        "import sys, zreg\n"
        "client = zreg.Client(sys.argv[1], cluster='test')\n"
        "client.publish('pay', 'a').wait_registered(10)\n",
        session.url,
    )

    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: session.core.count(Bye) == 1)


def test_a_wait_can_be_interrupted() -> None:
    text = (
        "import signal, zreg\n"
        # The program that runs the tests may ignore the signal, and a child inherits that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "client = zreg.Client('zreg://127.0.0.1:1')\n"
        "print('waiting', flush=True)\n"
        "client.wait_connected(30)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        started_at = time.monotonic()
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=10)

    assert "KeyboardInterrupt" in errors
    assert time.monotonic() - started_at < 9.0, "it waits for 30 s"


def test_importing_zreg_is_cheap_and_loads_no_node_package() -> None:
    done, _ = run_program(
        "import sys, time, zmq, msgspec, msgpack\n"
        "began = time.process_time()\n"
        "import zreg\n"
        "cost = time.process_time() - began\n"
        "zreg.Client, zreg.Scope, zreg.TimeoutError\n"
        "assert 'Client' in dir(zreg)\n"
        "nodes = ('zreg.cli.', 'zreg.session', 'zreg.data', 'zreg.meta', 'zreg.http')\n"
        "nodes += ('aiohttp', 'loguru', 'typer', 'sqlite3', 'importlib.metadata')\n"
        # Only a client that is made needs them.
        "nodes += ('asyncio', 'tomllib', 'zreg.reactor', 'zreg.client.core.core', 'zreg.raft')\n"
        "print(cost, [name for name in sys.modules if name.startswith(nodes)])\n"
        "try:\n"
        "    zreg.nothing\n"
        "except AttributeError as error:\n"
        "    print(error)\n"
    )
    cost, rest = done.stdout.split(" ", 1)

    assert (done.returncode, done.stderr) == (0, "")
    assert float(cost) < 0.05
    assert rest == "[]\nmodule 'zreg' has no attribute 'nothing'\n"
