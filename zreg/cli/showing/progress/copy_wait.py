"""Wait until data nodes have made their copies, with a progress bar in a terminal."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from zreg.cli.asking.repeated_ask import RepeatedAsk
from zreg.cli.showing.progress.progress_bar import ProgressBar
from zreg.errors import RefusedError, UnavailableError
from zreg.model import Incarnation
from zreg.wire.records.meta_messages import CopyProgress, FetchMetaNodes, MetaNodesReply

_QUESTION: Final = FetchMetaNodes, MetaNodesReply


class CopyBar(ProgressBar):
    """A bar of the copies that data nodes make."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "buckets")
        self._totals = CopyTotals()

    def show(self, copying: Iterable[CopyProgress]) -> None:
        """Show how far these data nodes are together."""
        equal, kept = self._totals.after(copying)
        if kept:
            self.set(equal, kept)


class CopyTotals:
    """How far several data nodes are together; one that is named no more has made its copies."""

    def __init__(self) -> None:
        self._kept: dict[Incarnation, int] = {}

    def after(self, copying: Iterable[CopyProgress]) -> tuple[int, int]:
        """Return how many copies are equal, and how many are kept, as far as nodes have told."""
        missing = 0
        for progress in copying:
            kept = progress.kept_count
            if kept is None:
                missing += self._kept.get(progress.incarnation, 0)
            else:
                self._kept[progress.incarnation] = kept
                missing += kept - progress.equal_count
        total = sum(self._kept.values())
        return total - missing, total


def wait_with_bar(
    asking: RepeatedAsk, what: str, look: Callable[[], Sequence[CopyProgress] | None]
) -> bool:
    """Look again and again, until `look` returns None; return False if time runs out before."""
    with CopyBar(what) as bar:
        while (copying := look()) is not None:
            if not asking.has_time():
                return False
            bar.show(copying)
            asking.pause()
        return True


def copying_now(asking: RepeatedAsk) -> Sequence[CopyProgress] | None:
    """Return how far the data nodes are that have not made all copies yet; None if all have."""
    return asking.until_done(lambda: asking.ask_once(_QUESTION)).copying or None


def copying_of(asking: RepeatedAsk, incarnation: Incarnation) -> Sequence[CopyProgress]:
    """Return how far one data node is, if meta can say so now."""
    try:
        reply = asking.ask_once(_QUESTION)
    except (RefusedError, UnavailableError):
        return ()
    return [each for each in reply.copying if each.incarnation == incarnation]
