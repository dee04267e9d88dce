"""How a command ends: the exit codes, and the one sentence that goes with each."""

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
    """A command ends with this sentence and this code."""

    def __init__(self, sentence: str, *, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


class ReaderGoneError(Error):
    """Whoever read our lines, `head` for one, has read enough: a good end."""


def code_of(error: Error) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, CommandFailedError):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
