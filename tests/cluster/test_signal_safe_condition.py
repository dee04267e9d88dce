"""Ctrl-C at any moment leaves a condition's lock free."""

import subprocess
import sys

import pytest

from zreg.client.signal_safe_condition import SignalSafeCondition

ROUNDS = 300
# Another thread holds the lock, and interrupts the main thread while this one waits for it.
PROGRAM = """
import os, signal, sys, threading
from zreg.client.signal_safe_condition import SignalSafeCondition
signal.signal(signal.SIGINT, signal.default_int_handler)
condition = {"threading": threading.Condition, "zreg": SignalSafeCondition}[sys.argv[1]]()
begin, is_held, is_waiting = threading.Event(), threading.Event(), threading.Event()
def interrupt():
    while True:
        begin.wait()
        begin.clear()
        with condition:
            is_held.set()
            is_waiting.wait()
            os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
left_held = 0
for _ in range(int(sys.argv[2])):
    begin.set()
    is_held.wait()
    is_held.clear()
    try:
        is_waiting.set()
        with condition:
            pass
        while True:
            pass
    except KeyboardInterrupt:
        is_waiting.clear()
    try:
        condition.notify()
        left_held += 1
        condition.release()
    except RuntimeError:
        pass  # This thread does not hold the lock.
print(left_held)
"""


def locks_left_held(kind: str) -> int:
    """Return how often the lock stayed held; the program ends by itself."""
    program = [sys.executable, "-c", PROGRAM, kind, str(ROUNDS)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=50, check=False)
    assert not ran.stderr
    return int(ran.stdout)


def test_ctrl_c_leaves_the_lock_free() -> None:
    assert locks_left_held("zreg") == 0


def test_the_program_above_notices_a_lock_that_is_left_held() -> None:
    """Python's own condition is left held in a fifth of the rounds or more."""
    assert locks_left_held("threading") > 0


@pytest.mark.parametrize("call", ["wait", "notify"])
def test_a_condition_needs_its_lock_as_pythons_does(call: str) -> None:
    with pytest.raises(RuntimeError):
        getattr(SignalSafeCondition(), call)()
