"""What `client.heartbeat` returns: the loop of a program tells that it still runs."""

from time import monotonic
from typing import Protocol
from weakref import ref

from zreg.client.health.heartbeat_course import no_heartbeat_for


class BeatListener(Protocol):
    """What waits for a beat: a `Watch`."""

    def on_beat(self) -> None:
        """Note that the heart beats again."""
        ...


class Heartbeat:
    """The sign of life of one loop of a program, for `publish(…, health=heartbeat)`.

    Any thread may beat, and a beat takes no lock: it costs less than a microsecond. Making the
    heartbeat counts as its first beat. One heartbeat may stand for many publications.
    """

    __slots__ = ("__weakref__", "_listeners", "beat_at", "timeout_seconds")

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self.beat_at = monotonic()
        # What waits for the next beat, since the last one is too long ago. A publication that is
        # gone waits no more, however long no beat comes.
        self._listeners: set[ref[BeatListener]] = set()

    def beat(self) -> None:
        """Tell that the loop runs; publications that were withdrawn for its silence come back."""
        self.beat_at = monotonic()
        if self._listeners:
            self._tell_listeners()

    def __call__(self) -> str | None:
        """Return why it counts as dead, or None; so a check may be `heartbeat() or other()`."""
        is_beating = monotonic() - self.beat_at < self.timeout_seconds
        return None if is_beating else no_heartbeat_for(self.timeout_seconds)

    def tell_at_next_beat(self, listener: BeatListener) -> None:
        """Tell of the next beat once, on the thread that beats."""
        self._listeners.add(ref(listener, self._listeners.discard))

    def forget(self, listener: BeatListener) -> None:
        """Tell of no beat any more."""
        self._listeners.discard(ref(listener))

    def _tell_listeners(self) -> None:
        # Several threads may beat at once: each listener is told by one of them.
        while True:
            try:
                listener = self._listeners.pop()()
            except KeyError:
                return
            if listener is not None:
                listener.on_beat()

    def __repr__(self) -> str:
        """Show how long ago the last beat was."""
        return f"<Heartbeat last={monotonic() - self.beat_at:.1f}s max={self.timeout_seconds:g}s>"
