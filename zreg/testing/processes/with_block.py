"""What is used in a `with` block, whose end closes it."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class WithBlock(ABC):
    """Returns itself at the beginning of the block; `close` ends it."""

    @abstractmethod
    def close(self) -> None:
        """End what it is."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
