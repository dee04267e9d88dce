"""How a command ends: the exit codes, and the errors that carry one."""

from typing import Final

from zreg.errors import (
    DeniedError,
    Error,
    NotLeaderError,
    NotReadyError,
    RefusedError,
    TimeoutError,  # noqa: A004 -- the built-in one, and ours
    UnavailableError,
    UsageError,
)

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
UNREACHABLE: Final = 4
DENIED: Final = 5
# What a shell reports for a process that SIGINT ended.
INTERRUPTED: Final = 130

_CODES: Final[tuple[tuple[type[Error], int], ...]] = (
    (UsageError, USAGE),
    (DeniedError, DENIED),
    (NotReadyError, UNREACHABLE),
    (NotLeaderError, UNREACHABLE),
    (UnavailableError, UNREACHABLE),
    (TimeoutError, UNREACHABLE),
    (RefusedError, FAILED),
)


class CommandFailedError(Error):
    """A command ends with this sentence on stderr and this exit code."""

    def __init__(self, sentence: str, *, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


class ReaderGoneError(Error):
    """The reader of our output, such as `head`, has closed the pipe: the command succeeded."""


def code_of(error: Error) -> int:
    """Return the exit code for an error."""
    if isinstance(error, CommandFailedError):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
