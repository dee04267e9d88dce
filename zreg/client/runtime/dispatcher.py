"""Run callbacks on a thread of their own, so that a slow callback never delays the network."""

import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("zreg.client")


class Dispatcher:
    """Runs jobs one at a time, in the order in which they were submitted. A job takes no arguments.

    The thread starts with the first job: a client without callbacks has none.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: deque[Callable[[], None]] = deque()
        self._ready = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Run the job after those before it; a closed dispatcher drops it."""
        with self._ready:
            if self._is_closed:
                return
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._ready.notify()

    def close(self) -> None:
        """Drop the waiting jobs; a running job goes on to its end."""
        with self._ready:
            self._is_closed = True
            self._jobs.clear()
            self._ready.notify()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the running job; a job that calls this does not wait for itself."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def __repr__(self) -> str:
        """Show how many jobs wait."""
        return f"<Dispatcher {self._name} waiting={len(self._jobs)}>"

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._jobs and not self._is_closed:
                    self._ready.wait()
                if self._is_closed:
                    return
                job = self._jobs.popleft()
            try:
                job()
            except (Exception, SystemExit):
                logger.exception("client.callback.failed")
