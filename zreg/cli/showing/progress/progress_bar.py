"""A progress bar in a terminal, for what takes over a second."""

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress

# A bar that comes and goes at once is only a flicker.
_APPEARS_AFTER_SECONDS: Final = 1.0


class ProgressBar:
    """A progress bar on stderr, which is for people only; without a terminal it shows nothing.

    Of bars in each other the outermost is shown.
    """

    _outermost: ClassVar["ProgressBar | None"] = None

    def __init__(self, what: str, unit: str = "", *, total: int | None = None) -> None:
        self._what = what
        self._unit = unit
        self._completed = 0
        self._total = total
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        """Begin; the bar appears after a second."""
        if ProgressBar._outermost is None and sys.stderr.isatty():
            ProgressBar._outermost = self
            self._timer = threading.Timer(_APPEARS_AFTER_SECONDS, self._appear)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._timer is None:
            return
        ProgressBar._outermost = None
        self._timer.cancel()
        with self._lock:
            self._timer = None
            if self._progress is not None:
                self._progress.stop()

    def set(self, completed: int, total: int | None = None) -> None:
        """Set how much is done, and of how much, if that is known by now."""
        self._completed = completed
        self._total = self._total if total is None else total
        with self._lock:
            if self._progress is not None:
                self._show(self._progress)

    def advance(self) -> None:
        """Note that one more is done."""
        self.set(self._completed + 1)

    def _appear(self) -> None:
        # Few commands take so long, and this takes as long to load as some of them run.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

        with self._lock:
            if self._timer is None:  # it is over
                return
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[counts]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.add_task(self._what, total=self._total, counts=self._counts())
            self._show(self._progress)
            self._progress.start()

    def _show(self, progress: "Progress") -> None:
        (task,) = progress.task_ids
        progress.update(task, completed=self._completed, total=self._total, counts=self._counts())

    def _counts(self) -> str:
        if not self._unit:
            return ""
        of_all = "" if self._total is None else f" of {self._total}"
        return f"{self._completed}{of_all} {self._unit}"
