"""Where log lines go: the standard library's loggers, through loguru, to stderr.

Lines for people on a terminal or in a file; lines with `<N>` in front where systemd's journal reads
them, so that it knows their level.
"""

import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message

_FORMAT: Final = (
    "<green>{time:HH:mm:ss.SSS}</green> <level>{level: <7}</level> "
    "<cyan>{extra[node]}</cyan> <level>{message}</level>"
)
# The journal brings time, unit and level of its own.
_JOURNAL_FORMAT: Final = "{message}"
# syslog's numbers, from the least level of logging that they stand for.
_PRIORITIES: Final = ((50, 2), (40, 3), (30, 4), (20, 6), (0, 7))


class _ToLoguru(logging.Handler):
    """Hands every record of the standard library's loggers to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on, with its exception."""
        known = record.levelname if record.levelname in logging.getLevelNamesMapping() else "INFO"
        logger.opt(exception=record.exc_info).log(known, record.getMessage())


def route(node: str, *, level: str = "info") -> None:
    """Send all log lines to stderr, under this node's name."""
    logger.remove()
    logger.configure(extra={"node": node})
    name = level.upper()
    if _is_journal(os.environ):
        logger.add(
            _write_to_journal, level=name, format=_JOURNAL_FORMAT, diagnose=False, backtrace=False
        )
    else:
        logger.add(sys.stderr, level=name, format=_FORMAT, diagnose=False, backtrace=False)
    handler = _ToLoguru()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("zreg").setLevel(name)


def rename(node: str) -> None:
    """Set the node's name once it is known, which is after its port is."""
    logger.configure(extra={"node": node})


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Return whether stderr is the stream that the variable names, and not merely inherited it."""
    if "JOURNAL_STREAM" not in environment:
        return False
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment["JOURNAL_STREAM"] == f"{status.st_dev}:{status.st_ino}"


def _write_to_journal(message: "Message") -> None:
    """Write each line of a message with its priority: a traceback has many."""
    number = message.record["level"].no
    priority = next(priority for least, priority in _PRIORITIES if number >= least)
    lines = str(message).rstrip("\n").split("\n")
    sys.stderr.write("".join(f"<{priority}>{line}\n" for line in lines))
    sys.stderr.flush()
