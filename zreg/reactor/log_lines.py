"""Write the log lines of a reactor. Handlers of `logging` are the user's code, and may do anything.

A handler that raises costs its line, never the turn that wrote it. A handler that waits holds up
the thread that writes: a client therefore writes on a thread of its own (`BackgroundLog`).
"""

import contextlib
import logging
import sys
from types import TracebackType
from typing import Final, Protocol

ExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None
)


class LogLines(Protocol):
    """Takes finished log lines."""

    def may_write(self, logger_name: str, level: int) -> bool:
        """Return False if `write` would certainly drop such a line, which need not be made then."""
        ...

    def write(self, logger_name: str, level: int, line: str, exc_info: ExcInfo = None) -> None:
        """Write a line; `exc_info` is the exception whose traceback follows. Never raises."""
        ...


class LogAtOnce:
    """Writes each line on the thread that has it, as nodes do."""

    def may_write(self, logger_name: str, level: int) -> bool:
        """Return whether the logger takes lines of this level."""
        return logging.getLogger(logger_name).isEnabledFor(level)

    def write(self, logger_name: str, level: int, line: str, exc_info: ExcInfo = None) -> None:
        """Write a line."""
        with contextlib.suppress(Exception):
            logging.getLogger(logger_name).log(level, line, exc_info=exc_info)


LOG_AT_ONCE: Final = LogAtOnce()


def write_failure(log_lines: LogLines, line: str) -> None:
    """Write an error of the reactor with the exception that is being handled."""
    log_lines.write("zreg.reactor", logging.ERROR, line, sys.exc_info())
