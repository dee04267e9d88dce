"""One call of a check, made by a thread or a task, and what it has found."""

import contextlib
import contextvars
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from zreg.client.health.outcome import reason_of_error, reason_of_result

if TYPE_CHECKING:
    from zreg.reactor.log_lines import ExcInfo

CheckFunction = Callable[[], bool | str | None]
LoopCheckFunction = Callable[[], bool | str | Awaitable[bool | str | None] | None]


class Outcome(NamedTuple):
    """What a check has found: why the instance is unhealthy, or None; and what it raised."""

    reason: str | None
    exc_info: "ExcInfo" = None


class CheckCall(Protocol):
    """One call of a check. It does not keep the client."""

    @property
    def function(self) -> Callable[[], object]:
        """The check of the program."""
        ...

    @property
    def context(self) -> contextvars.Context:
        """The context in which an event loop makes it."""
        ...

    def begin(self) -> bool:
        """Note that it begins now; return False if it is not wanted any more."""
        ...

    def end(self, outcome: Outcome | None) -> None:
        """Take what it has found; None if it did not begin. May be called on any thread."""
        ...


class CheckBeginner(Protocol):
    """Makes the calls of checks. The loop's thread calls it, without the runtime's lock."""

    def add_user(self) -> None:
        """Be ready for the checks of one more client."""
        ...

    def remove_user(self) -> None:
        """Let go of a client that is closed."""
        ...

    def begin(self, call: CheckCall) -> None:
        """Make the call, now or soon."""
        ...

    def give_up(self, call: CheckCall) -> None:
        """Cancel a call that takes too long, if that is possible."""
        ...

    def retry(self) -> None:
        """Make the calls that wait although nothing happens that would make them."""
        ...


def outcome_of_call(function: Callable[[], object]) -> Outcome:
    """Make the call, and return what it has found."""
    try:
        result = function()
        if inspect.isawaitable(result):
            _close(result)
            return Outcome(
                "its check returned an awaitable, which nothing would await: use zreg.AsyncClient"
            )
    except BaseException as error:  # noqa: BLE001 -- what a check raises is its reason
        return failure(error)
    return Outcome(reason_of_result(result))


def failure(error: BaseException) -> Outcome:
    """Return the outcome of a check that raised this error, which is being handled."""
    return Outcome(reason_of_error(error), sys.exc_info())


def _close(awaitable: object) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        with contextlib.suppress(Exception):
            close()
