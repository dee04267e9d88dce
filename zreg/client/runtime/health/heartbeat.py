"""What `client.heartbeat` returns: the loop of a program tells that it still runs."""

from collections import deque
from collections.abc import Callable
from time import monotonic

from zreg.client.health.heartbeat_course import no_heartbeat_for


class Heartbeat:
    """The sign of life of one loop of a program, for `publish(…, health=heartbeat)`.

    Any thread may beat, and a beat takes no lock: it costs less than a microsecond. Making the
    heartbeat counts as its first beat. One heartbeat may stand for many publications.
    """

    __slots__ = ("__weakref__", "_wakes", "beat_at", "timeout_seconds")

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self.beat_at = monotonic()
        # What waits for the next beat, since the last one is too long ago.
        self._wakes: deque[Callable[[], None]] = deque()

    def beat(self) -> None:
        """Tell that the loop runs; publications that were withdrawn for its silence come back."""
        self.beat_at = monotonic()
        if self._wakes:
            self._wake()

    def __call__(self) -> str | None:
        """Return why it counts as dead, or None; so a check may be `heartbeat() or other()`."""
        is_beating = monotonic() - self.beat_at < self.timeout_seconds
        return None if is_beating else no_heartbeat_for(self.timeout_seconds)

    def call_at_next_beat(self, wake: Callable[[], None]) -> None:
        """Call once at the next beat, on the thread that beats."""
        self._wakes.append(wake)

    def _wake(self) -> None:
        # Several threads may beat at once: each call is made by one of them.
        while self._wakes:
            try:
                wake = self._wakes.popleft()
            except IndexError:
                return
            wake()

    def __repr__(self) -> str:
        """Show how long ago the last beat was."""
        return f"<Heartbeat last={monotonic() - self.beat_at:.1f}s max={self.timeout_seconds:g}s>"
