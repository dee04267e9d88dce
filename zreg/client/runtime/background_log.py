"""Write the log lines of all clients on a thread of their own.

Handlers, filters and record factories of `logging` are the user's code. One may take seconds, raise
anything, or wait for the client itself. On the thread of a client's connection it would delay the
signs of life, and the session would take the client for dead.

`logging` holds its module lock while `dictConfig` makes the user's handlers. Loggers and their
levels need that lock, so only the thread that writes asks for them: a handler that is being made
may wait for the client.
"""

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from zreg.client.hidden_signals import start_without_signals
from zreg.forks_and_signals import call_in_children

if TYPE_CHECKING:
    from zreg.reactor.log_lines import ExcInfo

# A handler that takes for ever must not fill the memory. Lines beyond are dropped and counted.
_LINES_MAX: Final = 1000
_LEVEL_DROPPED: Final = logging.WARNING
# Of a record: when and on which thread the line was written, not when it is handled.
_KEPT: Final = ("created", "msecs", "relativeCreated", "thread", "threadName", "taskName")


class BackgroundLog:
    """The lines that are not written yet, and the thread that writes them in their order.

    The thread ends when no line is left, so a client that logs nothing has none. `lock` guards all
    attributes; no line is written under it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._records: deque[logging.LogRecord] = deque()
        self._dropped_count = 0
        self._thread: threading.Thread | None = None

    def may_write(self, _logger_name: str, _level: int) -> bool:
        """Return True: the thread that writes drops the lines whose level is not enabled."""
        return True

    def write(self, logger_name: str, level: int, line: str, exc_info: "ExcInfo" = None) -> None:
        """Have a line written soon, if its level is enabled by then."""
        # Made without the user's record factory, which is called by `_write`.
        record = logging.LogRecord(logger_name, level, "zreg", 0, line, (), exc_info)
        with self._lock:
            if len(self._records) >= _LINES_MAX:
                self._dropped_count += 1
                return
            self._records.append(record)
            self._ensure_thread()

    def flush(self, timeout_seconds: float) -> None:
        """Wait until all lines are written."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._run, name="zreg-log", daemon=True)
        try:
            start_without_signals(thread)
        except RuntimeError:  # no thread can be started now: the next line tries again
            return
        self._thread = thread

    def _run(self) -> None:
        while (record := self._next()) is not None:
            _write(record)

    def _next(self) -> logging.LogRecord | None:
        """Return the next line; without one the thread ends."""
        with self._lock:
            if self._records:
                return self._records.popleft()
            if self._dropped_count:
                line = f"client.log.dropped lines={self._dropped_count}"
                self._dropped_count = 0
                return logging.LogRecord("zreg.client", _LEVEL_DROPPED, "zreg", 0, line, (), None)
            # Under the lock: a line that comes now starts a new thread.
            self._thread = None
            return None


def _write(record: logging.LogRecord) -> None:
    """Pass a line to the user's handlers; an exception of any kind costs the line."""
    try:
        logger = logging.getLogger(record.name)
        if not logger.isEnabledFor(record.levelno):
            return
        made = logger.makeRecord(
            record.name,
            record.levelno,
            record.pathname,
            record.lineno,
            record.msg,
            (),
            record.exc_info,
        )
        made.__dict__.update(
            {name: value for name, value in record.__dict__.items() if name in _KEPT}
        )
        logger.handle(made)
    except BaseException:  # noqa: BLE001, S110 -- there is no other place to report it
        pass


BACKGROUND_LOG: Final = BackgroundLog()


def _on_forked() -> None:
    # The parent's thread is not here, and may have held the lock.
    BACKGROUND_LOG.__init__()  # type: ignore[misc]


call_in_children(_on_forked)
