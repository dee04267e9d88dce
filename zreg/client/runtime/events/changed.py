"""The protocol of the lock that guards what the events of a client change."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType


class Changed(Protocol):
    """The lock of a runtime; each wait for an event is told of it."""

    def __enter__(self) -> object:
        """Take the lock."""
        ...

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
        /,
    ) -> object:
        """Release the lock."""
        ...

    def notify_all(self) -> None:
        """Have all waits look again."""
        ...
