"""The checks of one client: one timer for all of them, and what their results change."""

import logging
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from zreg.client.health.check_course import CheckCourse
from zreg.client.health.instance_health import HealthState, InstanceHealth, WhenUnhealthy
from zreg.client.runtime.events.changed import Changed
from zreg.client.runtime.health.check_call import CheckBeginner, Outcome
from zreg.client.runtime.health.watch import HealthPlan, Watch
from zreg.client.runtime.publication_state import PublicationState
from zreg.primitives.timing.deadlines import Deadlines
from zreg.reactor.log_lines import ExcInfo, LogLines

if TYPE_CHECKING:
    import asyncio


# The timer of a client that is closed, which any thread may close, stays with the loop so long.
_TIMER_SECONDS_MAX: Final = 60.0


class Loop(Protocol):
    """The loop of the client: a `CoreRunner`."""

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have the loop make a call. Needs the lock."""
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> "asyncio.TimerHandle":
        """Have the loop make a call later; on the loop's thread."""
        ...


class HealthMonitor:
    """The health of all publications of a client that are checked; the runtime's lock guards it.

    Invariants:
    - A publication that is checked has a deadline, or waits for a beat, or is unpublished. One
      timer of the loop is set for the earliest deadline, so nothing looks at the others.
    - No code of the user runs under the lock.
    - It refers to the runtime weakly, and the loop refers to it weakly: checks, which often refer
      to their client, do not keep one that the program has dropped.
    - Once closed it begins no check, and takes no result.
    """

    def __init__(
        self,
        changed: Changed,
        loop: Loop,
        checks: CheckBeginner,
        show: Callable[[PublicationState], None],
        log_lines: LogLines,
    ) -> None:
        self._changed = changed
        self._loop = loop
        self._checks = checks
        self._show = show
        self._log_lines = log_lines
        self._self = weakref.ref(self)
        # It rises in a forked child; what an earlier life began does not end in this one.
        self._life = 0
        self._reset()

    def _reset(self) -> None:
        self._deadlines: Deadlines[Watch] = Deadlines()
        # Checks that are to begin when the lock is released.
        self._due: deque[Watch] = deque()
        # Publications whose heartbeat beats again.
        self._awake: deque[Watch] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_called = False
        # Whether a check was ever asked for.
        self._has_checks = False
        self.is_closed = False

    def watch(self, publication: PublicationState, plan: HealthPlan) -> None:
        """Check a publication from now on. Needs the lock."""
        publication.watch = watch = Watch(publication, plan, self._self, self._life)
        if not self._has_checks:
            self._has_checks = True
            self._checks.add_user()
        self._set_deadline(watch)
        self._call_soon()

    def pause(self, publication: PublicationState) -> None:
        """Check a publication no more that is unpublished. Needs the lock."""
        if isinstance(watch := publication.watch, Watch):
            watch.pause()
            self._deadlines.drop(watch)

    def resume(self, publication: PublicationState) -> None:
        """Check a publication again that is published again. Needs the lock."""
        if isinstance(watch := publication.watch, Watch):
            if watch.life != self._life:
                # A check of it may run in the parent process, and would never return here.
                self.watch(publication, watch.plan)
                return
            watch.course.restart(time.monotonic())
            self._set_deadline(watch)
            self._call_soon()

    def close(self) -> None:
        """Begin no check any more; a second call does nothing. Needs the lock."""
        if self._has_checks and not self.is_closed:
            self._checks.remove_user()
        self.is_closed = True

    def on_forked(self) -> None:
        """Begin no check in a forked child: all threads stayed with the parent, and their locks."""
        self.is_closed = True

    def begin_in_child(self) -> None:
        """Begin afresh in a forked child, and have its loop called when that has begun.

        `resume` each publication after this, then call `on_loop_begun`. Needs the lock.
        """
        self._life += 1
        # The timer is one of the parent's loop.
        self._reset()
        self._is_called = True

    def on_loop_begun(self) -> None:
        """Have the loop of a forked child begin the checks. Needs the lock."""
        self._is_called = False
        self._call_soon()

    def end(self, watch: Watch, outcome: Outcome | None) -> None:
        """Take the result of a check, on any thread."""
        if self.is_closed or watch.life != self._life:
            return
        with self._changed:
            before, course = watch.health, watch.course
            if isinstance(course, CheckCourse):
                course.on_returned(outcome.reason if outcome else None, time.monotonic())
                self._on_looked(watch, before, outcome.exc_info if outcome else None)
                self._call_soon()

    def wake(self, watch: Watch) -> None:
        """Have the loop look at a publication whose heartbeat beats again, on any thread."""
        if self.is_closed:
            return
        # The order matters, since a client on a loop has no lock: `run` takes what is there after
        # it has noted that it runs.
        self._awake.append(watch)
        with self._changed:
            self._call_soon()

    # --- on the loop's thread ---------------------------------------------------------------

    def run(self) -> None:
        """Look at the publications whose time has come, and begin the checks that are due."""
        with self._changed:
            self._is_called = False
            if self.is_closed:
                return
            now = time.monotonic()
            while self._awake:
                self._on_awake(self._awake.popleft(), now)
            for watch in self._deadlines.take_due(now):
                self._look(watch, now)
            self._set_timer(now)
        self._begin_checks()

    def _begin_checks(self) -> None:
        try:
            while self._due and not self.is_closed:
                self._checks.begin(self._due.popleft())
            self._checks.retry()
        finally:
            if self._due:
                with self._changed:
                    self._call_soon()

    def _on_awake(self, watch: Watch, now: float) -> None:
        if watch.publication.watch is watch and not watch.publication.is_withdrawn:
            watch.course.next_at = now
            self._set_deadline(watch)

    def _look(self, watch: Watch, now: float) -> None:
        before, course = watch.health, watch.course
        if isinstance(course, CheckCourse):
            was_outdated = course.is_outdated
            if course.on_time(now):
                self._due.append(watch)
            elif course.is_outdated and not was_outdated:
                self._checks.give_up(watch)
        else:
            course.on_time(now)
            if course.next_at is None and (heartbeat := watch.heartbeat) is not None:
                heartbeat.tell_at_next_beat(watch)
                # It may have beaten since the look.
                course.on_time(now)
        self._on_looked(watch, before, None)

    def _on_looked(self, watch: Watch, before: InstanceHealth, exc_info: ExcInfo) -> None:
        """Set the next deadline; show and log what has changed."""
        self._set_deadline(watch)
        health = watch.health
        if health == before:
            return
        is_marked = watch.when_unhealthy is WhenUnhealthy.MARK
        if health.state is not before.state or (
            is_marked and health.state is HealthState.UNHEALTHY
        ):
            self._show(watch.publication)
        self._log(watch, before, exc_info)

    def _log(self, watch: Watch, before: InstanceHealth, exc_info: ExcInfo) -> None:
        health, name = watch.health, watch.publication.data_info_id
        if health.state is HealthState.UNHEALTHY:
            consequence = watch.when_unhealthy.value
            line = f"client.health.lost id={name} then={consequence} reason={health.reason!r}"
        elif health.reason:
            line = f"client.health.failing id={name} reason={health.reason!r}"
        elif before.state is HealthState.UNKNOWN:
            return
        else:
            line = f"client.health.back id={name}"
        level = logging.WARNING if health.reason else logging.INFO
        self._log_lines.write("zreg.client", level, line, exc_info)

    # --- the timer --------------------------------------------------------------------------

    def _set_deadline(self, watch: Watch) -> None:
        if (at := watch.course.next_at) is None:
            self._deadlines.drop(watch)
        else:
            self._deadlines.set(watch, at)

    def _call_soon(self) -> None:
        if not (self._is_called or self.is_closed):
            self._is_called = True
            self._loop.call_soon(_weak_run(self._self))

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (at := self._deadlines.next_at()) is not None:
            seconds = min(max(0.0, at - now), _TIMER_SECONDS_MAX)
            self._timer = self._loop.call_later(seconds, _weak_run(self._self))

    def __repr__(self) -> str:
        """Show how many checks are due."""
        return f"<HealthMonitor due={len(self._due)} closed={self.is_closed}>"


def _weak_run(monitor: "weakref.ref[HealthMonitor]") -> Callable[[], None]:
    def run() -> None:
        if (alive := monitor()) is not None:
            alive.run()

    return run
