"""A question that is asked again until it is answered or finally refused, in bounded time."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from zreg.cli.asking.ask import Answer, Question, ask_now
from zreg.cli.asking.targets import Target
from zreg.errors import (
    Error,
    NotLeaderError,
    NotReadyError,
    UnavailableError,
    VersionMismatchError,
)

# How long one node has to answer.
ASK_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.25

Result = TypeVar("Result")


def _ignore(_refusal: Error) -> None:
    """Do nothing about a refusal that may not be the last word."""


class RepeatedAsk:
    """The nodes that are asked, and until when."""

    def __init__(self, target: Target, timeout_seconds: float) -> None:
        self._target = target
        self._ends_at = time.monotonic() + timeout_seconds

    def has_time(self) -> bool:
        """Return whether there is time to pause and ask again."""
        return time.monotonic() + _PAUSE_SECONDS < self._ends_at

    def pause(self) -> None:
        """Wait a moment before the next question."""
        time.sleep(_PAUSE_SECONDS)

    def until_done(
        self, ask: Callable[[], Result], *, on_refused: Callable[[Error], None] = _ignore
    ) -> Result:
        """Ask until a node does, or finally refuses, what was asked.

        `on_refused` is called with each refusal after which the question is asked again. If time
        runs out, raises the last refusal: it tells more than a failed connection.
        """
        refused: Error | None = None
        while True:
            try:
                return ask()
            except (NotReadyError, NotLeaderError, VersionMismatchError) as error:
                refused = error
                if not self.has_time():
                    raise
                on_refused(error)
            except UnavailableError as error:
                if not self.has_time():
                    raise (refused or error) from error
            self.pause()

    def ask_once(self, question: Question[Answer]) -> Answer:
        """Ask, with the time that one node has."""
        left = self._ends_at - time.monotonic()
        return ask_now(self._target, question, timeout_seconds=max(0.1, min(left, ASK_SECONDS)))
