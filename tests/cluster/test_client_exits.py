"""Programs end within a second, in each state of their clients, and say goodbye."""

import asyncio
import signal
import subprocess
import sys
import threading
import time

import pytest
from fake_session import CONFIG, FakeSession, run_program, wait_until

import zreg
from zreg.wire.records.client_messages import Bye

# A second, and what two busy processors add.
END_SECONDS_MAX = 2.0
NO_SESSION = "zreg://127.0.0.1:1"
BEGIN = """
import asyncio, atexit, os, signal, sys, threading, time, zreg
signal.signal(signal.SIGINT, signal.default_int_handler)
client = zreg.Client(sys.argv[1], cluster='test')
def wait_connected():
    client.publish('pay', 'a').wait_registered(10)
def ready():
    print('ready', flush=True)
async def ready_on_a_loop():
    ready()
    await asyncio.sleep(1000)
def stay():
    ready()
    # CPython loses a signal that comes when the wait begins, until the wait ends.
    while not threading.Event().wait(0.5):
        pass
entered = threading.Event()
def block(change):
    entered.set()
    time.sleep(100)
"""
STATES = {
    "connected": "wait_connected(); stay()",
    "a callback runs": "wait_connected(); client.subscribe('pay', block); entered.wait(); stay()",
    "an inline callback runs": (
        "wait_connected(); client.subscribe('pay', block, inline=True); entered.wait(); stay()"
    ),
    "a daemon thread takes changes": (
        "wait_connected(); changes = client.subscribe('pay').changes(); next(changes)\n"
        "threading.Thread(target=list, args=(changes,), daemon=True).start(); stay()"
    ),
    "the main thread waits": (
        "wait_connected(); sub = client.subscribe('pay').wait_for(1, 10); "
        "ready(); sub.wait_for(99, 1000)"
    ),
    "beside a loop": "wait_connected(); asyncio.run(ready_on_a_loop())",
}


def end(text: str, url: str, number: signal.Signals = signal.SIGINT) -> tuple[int, str, float]:
    """Run a program until it is ready, and send the signal; return its end."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", BEGIN + text, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        started_at = time.monotonic()
        program.send_signal(number)
        try:
            _, errors = program.communicate(timeout=10)
        finally:
            program.kill()
        return program.returncode, errors, time.monotonic() - started_at


@pytest.mark.parametrize("state", STATES)
def test_ctrl_c_ends_a_program_in_each_state(session: FakeSession, state: str) -> None:
    code, errors, seconds = end(STATES[state], session.url)

    assert code == -signal.SIGINT
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    # asyncio shows the cancelled task as well.
    assert errors.count("Traceback") == (2 if state == "beside a loop" else 1), errors
    assert seconds < END_SECONDS_MAX
    # An inline callback that never returns keeps the goodbye as well.
    if state != "an inline callback runs":
        wait_until(lambda: session.core.count(Bye) == 1)


@pytest.mark.parametrize("wait", ["sub.wait_for(99, 1000)", "list(sub.changes())"])
def test_a_signal_that_does_not_interrupt_a_wait_ends_it_soon(
    session: FakeSession, wait: str
) -> None:
    """Another thread takes it, so that the main thread learns of it when it looks up."""
    strike = "signal.pthread_kill(threading.get_ident(), signal.SIGINT)"
    done, _ = run_program(
        f"{BEGIN}\nwait_connected(); sub = client.subscribe('pay').wait_for(1, 10)\n"
        f"threading.Timer(0.5, lambda: {strike}).start()\n{wait}",
        session.url,
    )

    assert done.returncode == -signal.SIGINT
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_without_a_session_ends_as_soon(number: signal.Signals) -> None:
    code, errors, seconds = end("stay()", NO_SESSION, number)

    assert code == -number
    assert errors.count("Traceback") == (number == signal.SIGINT)
    assert seconds < END_SECONDS_MAX


def test_a_program_that_has_lost_its_session_ends_as_soon(session: FakeSession) -> None:
    text = (
        "wait_connected()\n"
        "suspended = threading.Event()\n"
        "@client.on_state\n"
        "def look(change):\n"
        "    if change.new is zreg.ClientState.SUSPENDED:\n"
        "        suspended.set()\n"
        "client.publish('lost', 'b').wait_registered(10)\n"
        "suspended.wait(); stay()\n"
    )

    def stop_session() -> None:
        wait_until(lambda: len(session.core.publishers) == 2, timeout_seconds=20)
        session.stop()

    stopping = threading.Thread(target=stop_session)
    stopping.start()
    code, errors, seconds = end(text, session.url)
    stopping.join()

    assert (code, errors.count("Traceback")) == (-signal.SIGINT, 1), errors
    assert seconds < END_SECONDS_MAX


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("sys.exit(3)", 3),
        ("raise ValueError", 1),
        ("atexit.register(lambda: client.publish('late', 'b').wait_registered(5))", 0),
    ],
)
def test_each_orderly_end_says_goodbye(session: FakeSession, how: str, code: int) -> None:
    done, _ = run_program(f"{BEGIN}\nwait_connected(); {how}", session.url)

    assert done.returncode == code
    wait_until(lambda: session.core.count(Bye) == 1)


@pytest.mark.parametrize("wait", ["sub.wait_for(99, 1000)", "client.list(timeout_seconds=1000)"])
def test_a_daemon_thread_that_waits_prints_nothing_as_the_process_ends(
    session: FakeSession, wait: str
) -> None:
    # Hooks run in the reverse order: after the goodbyes the thread has time to print.
    text = (
        f"import atexit, time; atexit.register(time.sleep, 0.3)\n{BEGIN}"
        "wait_connected(); sub = client.subscribe('pay').wait_for(1, 10)\n"
        "def work():\n"
        f"    {wait}\n"
        "threading.Thread(target=work, daemon=True).start()\n"
    )
    done, _ = run_program(text, session.url)

    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_while_zreg_is_loaded_waits_until_it_is_loaded() -> None:
    """msgspec makes decoders in C, where Ctrl-C crashes the process or is lost."""
    done, _ = run_program(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'zreg.wire.codec':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import zreg\n"
        "try:\n"
        "    zreg.Client('zreg://127.0.0.1:1')\n"
        "except KeyboardInterrupt:\n"
        "    print({'zreg.wire.codec', 'zreg.client.runtime.runtime'} <= set(sys.modules))\n"
    )

    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_cancelled_wait_in_a_thread_ends_with_its_client(session: FakeSession) -> None:
    async def program() -> None:
        with zreg.Client(session.url, config=CONFIG) as client:
            sub = client.subscribe("pay").wait_for(0, 5)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(sub.wait_for, 99, 60), 0.2)

    started_at = time.monotonic()
    asyncio.run(program())
    assert time.monotonic() - started_at < END_SECONDS_MAX


def test_both_clients_work_inside_a_running_loop(session: FakeSession) -> None:
    """As in Jupyter."""

    async def program() -> None:
        with zreg.Client(session.url, config=CONFIG) as client:
            client.publish("pay", "a").wait_registered(5)
            async with zreg.AsyncClient(session.url, config=CONFIG) as beside:
                sub = await beside.subscribe("pay").wait_for(1, 5)
                assert sub.view.values == ("a",)
                await beside.publish("orders", "b").wait_registered(5)
                assert client.subscribe("orders").wait_for(1, 5).view.values == ("b",)

    asyncio.run(program())


def test_fifty_threads_publish_republish_and_close_at_once(session: FakeSession) -> None:
    client = zreg.Client(session.url, config=CONFIG)
    unexpected: list[BaseException] = []
    begun = threading.Barrier(51)

    def work(number: int) -> None:
        try:
            begun.wait(10)
            publication = client.publish("pay", str(number))
            for turn in range(1000):
                publication.republish(f"{number}-{turn}")
                publication.wait_registered(10)
                if number % 10 == 0 and turn == 20:
                    client.close()
        except zreg.ClosedError:
            return
        except BaseException as error:  # noqa: BLE001 -- shown by the test
            unexpected.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    for thread in threads:
        thread.join(20)

    assert not any(thread.is_alive() for thread in threads)
    assert unexpected == []
    wait_until(lambda: session.core.count(Bye) == 1)
