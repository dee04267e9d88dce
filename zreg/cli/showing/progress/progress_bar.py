"""A progress bar in a terminal."""

import sys
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

# A bar that comes and goes at once is only a flicker.
APPEARS_AFTER_SECONDS: Final = 1.0


class ProgressBar:
    """A progress bar on stderr, which is for people only; without a terminal it shows nothing."""

    def __init__(self, what: str, unit: str) -> None:
        self._progress = Progress(
            TextColumn(what),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f} " + unit),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(what, total=1, visible=False)

    def __enter__(self) -> Self:
        """Begin; the bar is seen from the first `appear` on."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._progress.stop()

    def appear(self) -> None:
        """Show the bar."""
        self._progress.update(self._task, visible=True)

    def set(self, completed: int, total: int) -> None:
        """Set how much is done, and of how much."""
        self._progress.update(self._task, completed=completed, total=total)
