"""Send log lines from the standard library's loggers, through loguru, to stderr.

On a terminal or in a file they are written for people. If systemd's journal reads stderr, each line
begins with `<N>`, which tells the journal its level.
"""

import logging
import os
import select
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TextIO

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message

_FORMAT: Final = (
    "<green>{time:YYYY-MM-DDTHH:mm:ss.SSSZ}</green> <level>{level: <7}</level> "
    "<cyan>{extra[node]}</cyan> <level>{message}</level>"
)
# The journal itself adds time, unit and level.
_JOURNAL_FORMAT: Final = "{message}"
# A pipe that has room takes 4,096 bytes at once (PIPE_BUF), and a character has at most four.
_PIECE_CHARACTERS: Final = 1024
_WARNING_PRIORITY: Final = 4
# The lowest level of `logging` for each priority of syslog.
_PRIORITIES: Final = ((50, 2), (40, 3), (30, _WARNING_PRIORITY), (20, 6), (0, 7))


class LogStream:
    """Writes log lines to a stream, and drops lines while its reader reads nothing.

    A pipe or terminal that nothing reads takes no more text, and a write would wait for room while
    the node serves nothing. The count of dropped lines is written once there is room again.
    """

    def __init__(self, stream: TextIO, *, notice_prefix: str = "") -> None:
        self._stream = stream
        self._notice_prefix = notice_prefix
        self._dropped_count = 0

    def write(self, text: str) -> None:
        """Write one or several lines, or drop them."""
        if self._dropped_count and self._has_room():
            self._write(f"{self._notice_prefix}log.dropped lines={self._dropped_count}\n")
            self._dropped_count = 0
        for start in range(0, len(text), _PIECE_CHARACTERS):
            if not self._has_room():
                self._dropped_count += 1
                return
            self._write(text[start : start + _PIECE_CHARACTERS])

    def flush(self) -> None:
        """Do nothing: `write` has flushed."""

    def isatty(self) -> bool:
        """Return whether a person reads it: then lines are coloured."""
        return self._stream.isatty()

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _has_room(self) -> bool:
        """Return whether a piece can be written at once; a file always has room."""
        poll = select.poll()
        try:
            poll.register(self._stream.fileno(), select.POLLOUT)
        except (OSError, ValueError):
            # It has no descriptor, as a stream in memory.
            return True
        return bool(poll.poll(0))


class _ToLoguru(logging.Handler):
    """Passes every record of the standard library's loggers to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record to loguru, with its exception."""
        level = record.levelname if record.levelname in logging.getLevelNamesMapping() else "INFO"
        logger.opt(exception=record.exc_info).log(level, record.getMessage())


class _ClientLines(logging.Filter):
    """Drops log lines that the user of a command expects; every warning passes.

    The line that a session is reached passes only after a line that it was lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_lost = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is to be shown."""
        text = record.getMessage()
        if text.startswith("client.session.lost"):
            self._is_lost = True
        elif text.startswith("client.session.reached"):
            was_lost, self._is_lost = self._is_lost, False
            return was_lost
        return record.levelno >= logging.WARNING


def route(node: str, *, level: str = "info") -> None:
    """Send all log lines to stderr, with this name of a node in each."""
    logger.remove()
    logger.configure(extra={"node": node})
    name = level.upper()
    if _is_journal(os.environ):
        stream = LogStream(sys.stderr, notice_prefix=f"<{_WARNING_PRIORITY}>")
        logger.add(
            partial(_write_to_journal, stream),
            level=name,
            format=_JOURNAL_FORMAT,
            diagnose=False,
            backtrace=False,
        )
    else:
        stream = LogStream(sys.stderr)
        logger.add(stream, level=name, format=_FORMAT, diagnose=False, backtrace=False)
    handler = _ToLoguru()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("zreg").setLevel(name)


def route_client() -> None:
    """Send the log lines of a client to stderr, without those that its user expects."""
    route("zreg", level="info")
    logging.getLogger("zreg").setLevel(logging.WARNING)
    client_logger = logging.getLogger("zreg.client")
    client_logger.setLevel(logging.INFO)
    client_logger.addFilter(_ClientLines())


def rename(node: str) -> None:
    """Change the name of the node, which may be made of the port and so be known late."""
    logger.configure(extra={"node": node})


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Return whether the journal reads stderr.

    The variable alone proves nothing: a process inherits it also when its stderr was redirected.
    """
    if "JOURNAL_STREAM" not in environment:
        return False
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment["JOURNAL_STREAM"] == f"{status.st_dev}:{status.st_ino}"


def _write_to_journal(stream: LogStream, message: "Message") -> None:
    """Write each line of a message with the priority, also each line of a traceback."""
    number = message.record["level"].no
    priority = next(priority for level_min, priority in _PRIORITIES if number >= level_min)
    lines = str(message).rstrip("\n").split("\n")
    stream.write("".join(f"<{priority}>{line}\n" for line in lines))
