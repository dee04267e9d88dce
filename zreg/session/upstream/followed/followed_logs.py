"""The logs of followed datums: kept short, and looked at only where they have something to drop."""

from itertools import islice
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.model import DataInfoId
from zreg.session.upstream.followed.followed_datum import FollowedDatum, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

# How many logs one turn trims in a sweep: the next turn goes on. It takes 2 to 5 ms.
_SLICE: Final = 2000


class FollowedLogs:
    """Appends to the logs of followed datums, and trims them.

    Invariant: each followed datum whose log has more than one step is in `_long`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._long: dict[DataInfoId, FollowedDatum] = {}
        # What is left of a sweep.
        self._untrimmed: Iterator[FollowedDatum] = iter(())
        self.is_sweeping = False

    def append(self, followed: FollowedDatum, step: Step, now: float) -> None:
        """Log a step of a datum."""
        followed.log.append(step, now)
        self._trim(followed, now)
        if len(followed.log) > 1:
            self._long[followed.name] = followed

    def forget(self, name: DataInfoId) -> None:
        """Forget a datum that is no longer followed."""
        self._long.pop(name, None)

    def start_sweep(self) -> None:
        """Begin to trim all logs: `go_on` has to be called while `is_sweeping`."""
        self._untrimmed = iter(list(self._long.values()))
        self.is_sweeping = True

    def go_on(self, now: float) -> None:
        """Trim logs, as far as one turn allows."""
        looked_at = 0
        for followed in islice(self._untrimmed, _SLICE):
            looked_at += 1
            self._trim(followed, now)
            if len(followed.log) <= 1:
                self._long.pop(followed.name, None)
        self.is_sweeping = looked_at == _SLICE

    def _trim(self, followed: FollowedDatum, now: float) -> None:
        """Drop steps of a datum's log that are too old or too many."""
        length = max(self._config.op_log_length_min, len(followed.mirror.content) // 4)
        followed.log.trim(now, length_max=length, seconds_max=self._config.op_log_seconds)
