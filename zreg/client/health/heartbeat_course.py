"""Whether the loop of a program still beats."""

from typing import Protocol

from zreg.client.health.instance_health import InstanceHealth
from zreg.client.health.verdict import Verdict


class Pulse(Protocol):
    """What tells of beats: a `zreg.Heartbeat`."""

    beat_at: float
    timeout_seconds: float


class HeartbeatCourse:
    """The health of one publication that is tied to a heartbeat.

    Invariant: while it is unhealthy it has no `next_at`: the next beat is what it waits for. So a
    heartbeat costs one look per timeout, however often it beats.
    """

    def __init__(self, pulse: Pulse, now: float) -> None:
        self._pulse = pulse
        self._verdict = Verdict(failures_max=1)
        self.next_at: float | None = now

    @property
    def health(self) -> InstanceHealth:
        """What is known now."""
        return self._verdict.health

    def on_time(self, now: float) -> None:
        """Look at the last beat."""
        beat_at, seconds = self._pulse.beat_at, self._pulse.timeout_seconds
        if now - beat_at < seconds:
            self._verdict.on_success()
            self.next_at = beat_at + seconds
        else:
            self._verdict.on_failure(no_heartbeat_for(seconds))
            self.next_at = None

    def pause(self) -> None:
        """Look no more: the publication was unpublished."""
        self.next_at = None

    def restart(self, now: float) -> None:
        """Forget what was found: the publication is published again."""
        self._verdict = Verdict(failures_max=1)
        self.next_at = now


def no_heartbeat_for(seconds: float) -> str:
    """Return the reason of a heartbeat that stopped."""
    return f"no heartbeat for {seconds:g} s"
