"""The block of one call: an instance is picked, and learns from how the block ends."""

import enum
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Final, NamedTuple

from zreg.client.balancing.balancer import Balancer
from zreg.client.balancing.instance import Instance
from zreg.client.view.endpoint import Endpoint
from zreg.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

Failures = type[BaseException] | tuple[type[BaseException], ...]
# Exceptions of the program or its loop that say nothing of the instance. The one of asyncio is no
# `Exception` anyway.
_NO_FAILURES: Final = (CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


class Began(NamedTuple):
    """A call that is under way: who counts it, to which instance it goes, and since when."""

    balancer: Balancer
    instance: Instance
    began_at: float


class Outcome(enum.Enum):
    """How a call ended."""

    SUCCEEDED = 1
    FAILED = 2
    UNKNOWN = 3  # it was given up, or another exception came: that says nothing of the instance
    ANSWERED = 4  # the answer has begun, and the call goes on: it succeeded, and took so long


class Lease:
    """One call: an instance for as long as the block lasts. Enter it once at a time."""

    __slots__ = ("_began", "_begin", "_end", "_failures", "_is_answered")

    def __init__(
        self,
        begin: Callable[[], Began],
        end: Callable[[Began, Outcome], None],
        failures: Failures,
    ) -> None:
        self._begin = begin
        self._end = end
        self._failures = failures if failures is Exception else _checked_failures(failures)
        self._began: Began | None = None
        self._is_answered = False

    def __enter__(self) -> Endpoint:
        """Pick an instance; the call begins."""
        if self._began is not None:
            raise UsageError("this lease is in use: call lease() again for each call")
        self._began = began = self._begin()
        self._is_answered = False
        return began.instance.endpoint

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Note that the call is over, and how it went."""
        if kind is None:
            self.end(Outcome.SUCCEEDED)
        elif issubclass(kind, self._failures) and not issubclass(kind, _NO_FAILURES):
            self.end(Outcome.FAILED)
        else:
            self.end(Outcome.UNKNOWN)

    def answered(self) -> None:
        """Note that the answer has begun: so long the call took, however long the rest takes.

        The call succeeded, unless a failure leaves the block; it counts as under way until then.
        """
        if self._began is not None and not self._is_answered:
            self._is_answered = True
            self._end(self._began, Outcome.ANSWERED)

    def end(self, outcome: Outcome) -> None:
        """Note that the call is over, for code that cannot leave a block; again does nothing."""
        began, self._began = self._began, None
        if began is None:
            return
        if self._is_answered and outcome is Outcome.SUCCEEDED:
            # That was noted when the answer began.
            outcome = Outcome.UNKNOWN
        self._end(began, outcome)


def _checked_failures(failures: object) -> tuple[type[BaseException], ...]:
    kinds = failures if isinstance(failures, tuple) else (failures,)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in kinds):
        raise UsageError(
            f"failures {failures!r:.80} cannot be used: give exception classes, such as OSError"
        )
    return kinds
