"""Signals reach the program's main thread at once, whatever the threads of its clients do."""

from fake_session import FakeSession, run_program

PROGRAM = """
import pathlib, signal, subprocess, sys, threading, time, zreg

STOP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
ask = 'import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))'

def blocked(thread_id):
    try:
        status = pathlib.Path(f'/proc/self/task/{thread_id}/status').read_text()
    except OSError:  # it has ended meanwhile, as the thread that writes log lines does
        return STOP
    mask = int(status.partition('SigBlk:')[2].split()[0], 16)
    return {each for each in STOP if mask >> (each - 1) & 1}

def masks():
    return {each.name: blocked(each.native_id) for each in threading.enumerate() if each.native_id}
"""


def run(text: str, session: FakeSession) -> None:
    done, _ = run_program(PROGRAM + text, session.url)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_no_thread_of_a_client_takes_a_signal_of_the_program(session: FakeSession) -> None:
    run(
        """
client = zreg.Client(sys.argv[1], cluster='test').wait_connected(10)
found = masks()
assert found.pop('MainThread') == set() and 'zreg-clients' in found
assert all(each == STOP for each in found.values()), found
""",
        session,
    )


def test_what_callbacks_start_has_the_signals_of_the_program(session: FakeSession) -> None:
    """A server that an update of its configuration starts must heed SIGTERM."""
    run(
        """
client = zreg.Client(sys.argv[1], cluster='test')
client.publish('pay', 'a').wait_registered(10)
shown = []
seen = threading.Semaphore(0)
def on_change(change):
    shown.append(subprocess.check_output([sys.executable, '-c', ask], text=True))
    seen.release()
client.subscribe('pay', on_change)
assert seen.acquire(timeout=10)
assert shown == ['[]\\n'], shown
def look(change):
    shown.append(masks()['zreg-clients'])
    seen.release()
client.subscribe('pay', look, inline=True)
assert seen.acquire(timeout=10)
assert shown[1:] == [set()], shown
# Once the callback has returned, which the wait here does not wait for.
client.publish('pay', 'b').wait_registered(10)
deadline = time.monotonic() + 10
while masks()['zreg-clients'] != STOP:
    assert time.monotonic() < deadline, masks()
    time.sleep(0.002)
""",
        session,
    )


def test_what_a_program_has_blocked_stays_blocked_for_its_callbacks(session: FakeSession) -> None:
    run(
        """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
client = zreg.Client(sys.argv[1], cluster='test')
client.publish('pay', 'a').wait_registered(10)
seen, found = threading.Event(), []
client.subscribe('pay', lambda change: (found.append(masks()), seen.set()), inline=True)
assert seen.wait(10)
assert found[0]['zreg-clients'] == {signal.SIGTERM}, found
""",
        session,
    )


def test_the_thread_that_writes_log_lines_takes_no_signal_either(session: FakeSession) -> None:
    run(
        """
import logging
from zreg.client.runtime.background_log import BACKGROUND_LOG
found = []
class Handler(logging.Handler):
    def emit(self, record):
        found.append(masks()['zreg-log'])
logging.getLogger('zreg.client').addHandler(Handler())
BACKGROUND_LOG.write('zreg.client', logging.WARNING, 'line')
BACKGROUND_LOG.flush(10)
assert found == [STOP], found
""",
        session,
    )
