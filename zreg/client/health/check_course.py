"""When the check of one publication begins, how long it may take, and what its result means."""

import enum

from zreg.client.health.instance_health import InstanceHealth
from zreg.client.health.verdict import CheckRules, Verdict


class _Phase(enum.Enum):
    """Where the check of a publication stands."""

    IDLE = enum.auto()  # the next check begins at `next_at`
    ASKED = enum.auto()  # a check was asked for; it begins when a thread has time for it
    # The result of a check does not count any more: it took too long, or was asked for before the
    # publication was unpublished. It goes on as long as it does.
    OUTDATED = enum.auto()


class CheckCourse:
    """The checks of one publication by a function of the program.

    Invariants:
    - One check is under way at most: the next one begins after the last one has returned, however
      long it hangs.
    - A check that hangs counts as failed after its timeout, and once more in each interval.
    - The time from `begun_at` on counts, so a check that waits for a thread is not to blame. One
      that has waited for a whole interval counts as failed nevertheless: nothing is known.
    """

    def __init__(self, rules: CheckRules, now: float) -> None:
        self._rules = rules
        self._verdict = Verdict(rules.failures_max)
        self._phase = _Phase.IDLE
        self._is_paused = False
        self._asked_at = now
        # Set by the thread that runs the check.
        self.begun_at: float | None = None
        self.next_at: float | None = now

    @property
    def health(self) -> InstanceHealth:
        """What is known now."""
        return self._verdict.health

    @property
    def is_wanted(self) -> bool:
        """Whether a check that was asked for is to begin."""
        return self._phase is _Phase.ASKED

    @property
    def is_outdated(self) -> bool:
        """Whether the result of the check that is under way does not count any more."""
        return self._phase is _Phase.OUTDATED

    def on_time(self, now: float) -> bool:
        """Note the time; return whether a check is to begin now."""
        if self.next_at is None or now < self.next_at:
            return False
        if self._phase is _Phase.IDLE:
            self._phase = _Phase.ASKED
            self._asked_at, self.begun_at = now, None
            self.next_at = now + self._rules.timeout_seconds
            return True
        if self._phase is _Phase.ASKED:
            self._look_at_check(now)
        elif self._phase is _Phase.OUTDATED:
            self._fail_late(now)
        return False

    def on_returned(self, reason: str | None, now: float) -> None:
        """Take what a check has found: why the instance is unhealthy, or None if it is healthy."""
        rules = self._rules
        begun_at = self._asked_at if self.begun_at is None else self.begun_at
        if self._phase is _Phase.ASKED:
            seconds = now - begun_at
            if reason is None and seconds > rules.timeout_seconds:
                reason = f"its check took {seconds:.1f} s, more than {rules.timeout_seconds:g} s"
            self._take(reason)
        self._phase = _Phase.IDLE
        self.next_at = None if self._is_paused else max(now, begun_at + rules.interval_seconds)

    def pause(self) -> None:
        """Begin no check any more: the publication was unpublished."""
        self._is_paused = True
        self.next_at = None
        if self._phase is _Phase.ASKED:
            self._phase = _Phase.OUTDATED

    def restart(self, now: float) -> None:
        """Forget what was found: the publication is published again."""
        self._is_paused = False
        self._verdict = Verdict(self._rules.failures_max)
        # The former check may still run.
        is_idle = self._phase is _Phase.IDLE
        self.next_at = now if is_idle else now + self._rules.timeout_seconds

    def _look_at_check(self, now: float) -> None:
        rules = self._rules
        if self.begun_at is None:
            if now >= self._asked_at + rules.interval_seconds:
                self._asked_at = now
                self._take(
                    f"its check has not begun for {rules.interval_seconds:g} s: checks of other "
                    "publications take too long"
                )
            self.next_at = min(self._asked_at + rules.interval_seconds, now + rules.timeout_seconds)
        elif now >= self.begun_at + rules.timeout_seconds:
            self._phase = _Phase.OUTDATED
            self._fail_late(now)
        else:
            self.next_at = self.begun_at + rules.timeout_seconds

    def _fail_late(self, now: float) -> None:
        self._take(f"its check did not return within {self._rules.timeout_seconds:g} s")
        self.next_at = now + self._rules.interval_seconds

    def _take(self, reason: str | None) -> None:
        if reason is None:
            self._verdict.on_success()
        else:
            self._verdict.on_failure(reason)
