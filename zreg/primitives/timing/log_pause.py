"""Which log lines are due: the first of each kind, and again after a pause, however many come."""

from typing import Final

PAUSE_SECONDS: Final = 60.0
_KEYS_MAX: Final = 64


class LogPause:
    """When each line was written last, by its key. At most 64 keys are remembered."""

    def __init__(self) -> None:
        self._written_at: dict[str, float] = {}

    def take(self, key: str, now: float) -> bool:
        """Return whether a line is due; if so, it counts as written."""
        written_at = self._written_at.pop(key, None)
        is_due = written_at is None or now - written_at >= PAUSE_SECONDS
        self._written_at[key] = now if is_due or written_at is None else written_at
        if len(self._written_at) > _KEYS_MAX:
            del self._written_at[next(iter(self._written_at))]
        return is_due
