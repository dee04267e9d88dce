"""Run callbacks on a thread of their own, so that a slow callback never delays the network."""

import contextlib
import inspect
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TypeVar

from zreg.client.hidden_signals import hidden_signals, show_signals
from zreg.client.runtime.background_log import BACKGROUND_LOG
from zreg.client.signal_safe_condition import SignalSafeCondition
from zreg.errors import UsageError

T = TypeVar("T")
logger = logging.getLogger("zreg.client")


class Dispatcher:
    """Runs jobs one at a time, in the order in which they were submitted. A job takes no arguments.

    The thread starts with the first job: a client without callbacks has none. An
    exception of any kind costs the job that raised it. A thread that ended nevertheless is replaced
    with the next job.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: deque[Callable[[], object]] = deque()
        self._ready = SignalSafeCondition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @property
    def has_begun(self) -> bool:
        """Whether a job was submitted, so that a thread runs jobs."""
        return self._thread is not None

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the thread of the jobs."""
        return self._thread is threading.current_thread()

    def submit(self, job: Callable[[], object]) -> None:
        """Run the job after those before it; a closed dispatcher drops it."""
        with self._ready:
            if self._is_closed:
                return
            self._jobs.append(job)
            if self._thread is None or not self._thread.is_alive():
                self._start_thread()
            self._ready.notify()

    def retry(self) -> None:
        """Start the thread if jobs wait for one, as none could be started when they came."""
        with self._ready:
            if self._jobs and (self._thread is None or not self._thread.is_alive()):
                self._start_thread()

    def close(self) -> None:
        """Drop the waiting jobs; a running job goes on to its end."""
        with self._ready:
            self._is_closed = True
            self._jobs.clear()
            self._ready.notify()

    def on_forked(self) -> None:
        """Begin afresh in a forked child, where the thread is not; the jobs stayed there too."""
        self._jobs.clear()
        self._ready = SignalSafeCondition()
        self._thread = None

    def join(self, timeout_seconds: float) -> None:
        """Wait for the running job; a job that calls this does not wait for itself."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def __repr__(self) -> str:
        """Show how many jobs wait."""
        return f"<Dispatcher {self._name} waiting={len(self._jobs)}>"

    def _start_thread(self) -> None:
        thread = threading.Thread(
            target=self._run, args=(hidden_signals(),), name=self._name, daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # The jobs stay, and the next one, or the next change, tries again.
            line = "client.callbacks.waiting reason='no thread can be started now'"
            BACKGROUND_LOG.write("zreg.client", logging.ERROR, line, sys.exc_info())
            return
        self._thread = thread

    def _run(self, hidden: AbstractSet[int]) -> None:
        show_signals(hidden)
        while (job := self._next_job()) is not None:
            try:
                job()
            except BaseException:  # noqa: BLE001 -- a callback may raise anything
                _log_failure("client.callback.failed")
            # A waiting thread must not keep the last callback alive, nor what it refers to.
            del job

    def _next_job(self) -> Callable[[], object] | None:
        with self._ready:
            while not self._jobs and not self._is_closed:
                self._ready.wait()
            return None if self._is_closed else self._jobs.popleft()


def refusing_coroutines(callback: Callable[[T], object]) -> Callable[[T], None]:
    """Return the callback; if a call returns a coroutine, no code would run it: it then raises."""

    def call(change: T) -> None:
        result = callback(change)
        if inspect.iscoroutine(result):
            result.close()
            raise UsageError(
                f"callback {callback!r:.80} returned a coroutine, and nothing would run it: use "
                "zreg.AsyncClient, whose callbacks may be coroutines, or pass the change on to a "
                "loop, for example with asyncio.run_coroutine_threadsafe"
            )

    return call


def _log_failure(line: str) -> None:
    """Log the exception that is being handled; handlers of `logging` may raise anything as well."""
    with contextlib.suppress(BaseException):
        logger.exception(line)  # noqa: LOG004 -- the caller handles one
