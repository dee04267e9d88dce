"""The few threads of a process on which checks of health run: one that hangs harms no other."""

import contextlib
import threading
from collections import deque
from typing import Final

from zreg.client.runtime import closing
from zreg.client.runtime.health.check_call import CheckCall, outcome_of_call
from zreg.client.signal_safe_condition import SignalSafeCondition

CHECK_THREADS_MAX: Final = 8
# A thread without work ends after this time, or with the last client that has checks.
_IDLE_SECONDS: Final = 60.0


class CheckThreads:
    """Makes the calls of checks, in the order in which they came.

    Invariants:
    - A call that comes while no thread is idle starts one more, up to the maximum. Beyond, calls
      wait for a thread: so as many checks may hang without harm to the others, less one.
    - A process without clients that have checks has none of these threads. They are daemons: a
      check that hangs holds up neither the end of a client nor that of the process.
    """

    def __init__(self) -> None:
        # With a lock that may be taken twice: a finalizer may close a client in the middle of it.
        self._ready = SignalSafeCondition()
        self._calls: deque[CheckCall] = deque()
        self._thread_count = 0
        # How many threads make a call now.
        self._busy_count = 0
        # How many clients have checks.
        self._user_count = 0

    def add_user(self) -> None:
        """Keep threads for one more client."""
        with self._ready:
            self._user_count += 1

    def remove_user(self) -> None:
        """Let go of a client that is closed; the last one ends the threads that are idle."""
        with self._ready:
            self._user_count -= 1
            if not self._user_count:
                self._ready.notify_all()

    def begin(self, call: CheckCall) -> None:
        """Have a thread make the call."""
        with self._ready:
            self._calls.append(call)
            self._provide_threads()

    def give_up(self, call: CheckCall) -> None:
        """Do nothing: a thread cannot be cancelled."""

    def retry(self) -> None:
        """Start a thread if calls wait for one, as none could be started when they came."""
        if self._calls:
            with self._ready:
                self._provide_threads()

    def _provide_threads(self) -> None:
        """Have a thread for each call that waits, as far as there may be one. Needs the lock."""
        self._ready.notify(len(self._calls))
        missing = len(self._calls) - (self._thread_count - self._busy_count)
        for _ in range(min(missing, CHECK_THREADS_MAX - self._thread_count)):
            thread = threading.Thread(target=self._run, name="zreg-checks", daemon=True)
            # Without a thread the call waits: the publication says so, and the next call tries.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread_count += 1

    def _run(self) -> None:
        while (call := self._next_call()) is not None:
            try:
                call.end(outcome_of_call(call.function) if call.begin() else None)
            finally:
                with self._ready:
                    self._busy_count -= 1
            # A thread without work must not keep the last check alive, nor what it refers to.
            del call

    def _next_call(self) -> CheckCall | None:
        with self._ready:
            while not self._calls:
                is_over = not (self._user_count and self._ready.wait(_IDLE_SECONDS))
                if is_over and not self._calls:
                    self._thread_count -= 1
                    return None
            self._busy_count += 1
            return self._calls.popleft()

    def __repr__(self) -> str:
        """Show how many threads there are, and how many calls wait."""
        return f"<CheckThreads threads={self._thread_count} waiting={len(self._calls)}>"


CHECK_THREADS: Final = CheckThreads()


def _on_forked() -> None:
    # The threads of the parent are not here, and one of them may have held the lock.
    CHECK_THREADS.__init__()  # type: ignore[misc]


closing.reset_in_children(_on_forked)
