"""Whether a client can be used, and if not, what ended it."""

from collections.abc import Callable
from typing import Final, Protocol

from zreg import errors
from zreg.errors import ClosedError, UsageError

CLOSED: Final = "this client was closed"
_FORKED: Final = "this client belongs to the parent of this forked process"


class Runner(Protocol):
    """What runs the core of a client, as far as its life is concerned: a `CoreRunner`."""

    is_closed: bool
    why_closed: str
    failure: BaseException | None

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread."""
        ...


class Lifecycle:
    """The life of one client: open until it is closed, or its runner fails, or its process forks.

    Invariant: a client that has ended has a cause, which every error and every repr says.
    """

    def __init__(
        self,
        runner: Runner,
        kind: str = "zreg.Client",
        *,
        begin_in_child: Callable[[], None] | None = None,
    ) -> None:
        self._runner = runner
        # The class to make a new one of, as the user writes it.
        self._kind = kind
        self._begin_in_child = begin_in_child
        # Whether a forked child has inherited the client and not used it: threads and sockets
        # stayed with the parent.
        self.is_inherited = False

    @property
    def is_usable(self) -> bool:
        """Whether the client is open, or begins afresh in this forked child when it is used."""
        return not self._runner.is_closed and not (self.is_inherited and not self._begin_in_child)

    @property
    def is_running(self) -> bool:
        """Whether the client is open, and was begun in this process."""
        return not (self._runner.is_closed or self.is_inherited)

    def why_closed(self) -> str:
        """Return a sentence that says what ended the client; empty if it is open."""
        if self.is_inherited and self._begin_in_child is None:
            return _FORKED
        failure, runner = self._runner.failure, self._runner
        if failure is not None:
            kind = "" if isinstance(failure, errors.Error) else f"{type(failure).__name__}: "
            return f"the connection of this client failed: {kind}{failure}"
        return (runner.why_closed or CLOSED) if runner.is_closed else ""

    def check_open(self) -> None:
        """Raise `ClosedError` if it was closed; in a forked child, begin afresh."""
        if self.is_inherited:
            self.enter_process()
        if self._runner.is_closed:
            raise ClosedError(
                f"{self.why_closed()}: make a new {self._kind}"
            ) from self._runner.failure

    def enter_process(self) -> None:
        """In a child of the process that made the client, begin afresh with its first use.

        Raises `ClosedError` if this kind of client cannot, and what `Client()` may raise.
        """
        if not self.is_inherited or self._runner.is_closed:
            return
        if self._begin_in_child is None:
            raise ClosedError(f"{_FORKED}: make a new {self._kind} in the child")
        self._begin_in_child()

    def check_not_failed(self) -> None:
        """Raise `ClosedError` if the client ended by itself, and not because it was closed."""
        if self._runner.failure is not None:
            self.check_open()

    def check_thread(self) -> None:
        """Raise `UsageError` on a thread that may not call this client; any thread may."""

    def check_may_wait(self) -> None:
        """Raise `UsageError` on the thread that a wait would wait for.

        The user's code is there in a callback with `inline=True`, in a finalizer, or in a hook of
        the interpreter.
        """
        if self._runner.is_current:
            raise UsageError(
                "this thread runs the connection of the client, so a wait for the client on it "
                "would never end: wait on another thread, or in a callback without inline=True"
            )
