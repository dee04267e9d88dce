"""Run callbacks that are declared quick on the thread of the connection, without a thread between.

Such a callback is the user's code on the thread that answers the session's pings. It may do what it
likes except wait: its duty stands in `Client.subscribe`. What it raises costs one call, and the
first one of a subscription that breaks its duty is logged.
"""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from zreg.client.hidden_signals import shown_signals
from zreg.client.runtime.background_log import BACKGROUND_LOG
from zreg.model import DataInfoId

# A client renews its lease many times in a lease, so this much is not yet dangerous.
QUICK_SECONDS_MAX: Final = 0.05


class InlineCallbacks:
    """The inline callbacks of one client that are due.

    Invariants:
    - Jobs run on the loop's thread, without the runtime's lock, in the order in which they came.
    - An event that makes a job due runs it before the next event is handled.
    - A closed client begins no job.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self._call_soon = call_soon
        self._jobs: deque[Callable[[], object]] = deque()
        self._is_closed = False

    def submit(self, job: Callable[[], object]) -> None:
        """Have `run` run the job. Needs the runtime's lock."""
        if not self._is_closed:
            self._jobs.append(job)

    def retry(self) -> None:
        """Have the loop run what waits: no event is under way. Needs the runtime's lock."""
        if self._jobs:
            self._call_soon(self.run)

    def run(self) -> None:
        """Run all jobs; on the loop's thread, after an event and without the lock."""
        jobs = self._jobs
        while jobs:
            try:
                job = jobs.popleft()
            except IndexError:  # another thread has closed the client since the look
                return
            job()

    def forget(self) -> None:
        """Drop the waiting jobs in a forked child: they stayed with the parent."""
        self._jobs.clear()

    def close(self) -> None:
        """Drop the waiting jobs; a running job goes on to its end."""
        self._is_closed = True
        self._jobs.clear()

    def __repr__(self) -> str:
        """Show how many jobs wait."""
        return f"<InlineCallbacks waiting={len(self._jobs)}>"


class InlineRunner:
    """The inline callbacks of one subscription."""

    def __init__(self, callbacks: InlineCallbacks, data_info_id: DataInfoId) -> None:
        self._callbacks = callbacks
        self._data_info_id = data_info_id
        self._is_slow = False

    def submit(self, job: Callable[[], object]) -> None:
        """Run the job after those before it."""
        self._callbacks.submit(partial(self._run, job))

    def retry(self) -> None:
        """Have the loop run what waits."""
        self._callbacks.retry()

    def _run(self, job: Callable[[], object]) -> None:
        started_at = time.monotonic()
        try:
            with shown_signals():
                job()
        except BaseException:  # noqa: BLE001 -- a callback may raise anything
            # Handlers of `logging` may wait for the client, so they do not run on this thread.
            _log(logging.ERROR, "client.callback.failed", is_failure=True)
        seconds = time.monotonic() - started_at
        if seconds > QUICK_SECONDS_MAX and not self._is_slow:
            self._is_slow = True
            line = (
                f"client.callback.slow id={self._data_info_id} milliseconds={seconds * 1000:.0f} "
                "advice='no client of the process goes on meanwhile: subscribe without inline=True'"
            )
            _log(logging.WARNING, line)


def _log(level: int, line: str, *, is_failure: bool = False) -> None:
    BACKGROUND_LOG.write("zreg.client", level, line, sys.exc_info() if is_failure else None)
