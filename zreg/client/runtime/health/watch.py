"""One publication that is checked: its source of health, and the course of its health."""

import contextvars
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from zreg.client.health.check_course import CheckCourse
from zreg.client.health.heartbeat_course import HeartbeatCourse
from zreg.client.health.instance_health import InstanceHealth, WhenUnhealthy
from zreg.client.health.verdict import CheckRules
from zreg.client.runtime.health.check_call import Outcome
from zreg.client.runtime.health.heartbeat import Heartbeat
from zreg.client.runtime.publication_state import PublicationState


class HealthPlan(NamedTuple):
    """What `publish` was told of the health of a publication."""

    source: Callable[[], object]
    rules: CheckRules


class CheckTaker(Protocol):
    """What takes the results of checks: a `HealthMonitor`."""

    @property
    def is_closed(self) -> bool:
        """Whether no result is wanted any more."""
        ...

    def end(self, watch: "Watch", outcome: Outcome | None) -> None:
        """Take the result of a check."""
        ...

    def wake(self, watch: "Watch") -> None:
        """Have the loop look at a publication whose heartbeat beats again."""
        ...


class Watch:
    """The health of one publication; the runtime's lock guards it, but for `begin`.

    It is a `CheckCall` too, since one call is under way at most. It refers to its client weakly: a
    check that hangs does not keep a client that the program has dropped.
    """

    __slots__ = ("__weakref__", "_taker", "context", "course", "life", "plan", "publication")

    def __init__(
        self,
        publication: PublicationState,
        plan: HealthPlan,
        taker: Callable[[], CheckTaker | None],
        life: int,
    ) -> None:
        now = time.monotonic()
        self.publication: Final = publication
        self.plan: Final = plan
        # In which life of its client it began: a forked child begins another one.
        self.life: Final = life
        # A check of an asyncio client runs in the context in which it was given.
        self.context: Final = contextvars.copy_context()
        self._taker: Final = taker
        self.course: CheckCourse | HeartbeatCourse
        if isinstance(plan.source, Heartbeat):
            self.course = HeartbeatCourse(plan.source, now)
        else:
            self.course = CheckCourse(plan.rules, now)

    @property
    def health(self) -> InstanceHealth:
        """What is known now."""
        return self.course.health

    @property
    def when_unhealthy(self) -> WhenUnhealthy:
        """What becomes of the publication when it is unhealthy."""
        return self.plan.rules.when_unhealthy

    @property
    def function(self) -> Callable[[], object]:
        """The check of the program."""
        return self.plan.source

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The heartbeat that tells the health; None if a function does."""
        source = self.plan.source
        return source if isinstance(source, Heartbeat) else None

    def begin(self) -> bool:
        """Note that the check begins now; return False if it is not wanted any more."""
        taker, course = self._taker(), self.course
        if taker is None or taker.is_closed or not isinstance(course, CheckCourse):
            return False
        course.begun_at = time.monotonic()
        return course.is_wanted

    def end(self, outcome: Outcome | None) -> None:
        """Take what the check has found; None if it did not begin."""
        taker = self._taker()
        if taker is not None:
            taker.end(self, outcome)

    def on_beat(self) -> None:
        """Note that its heartbeat, which was silent for too long, beats again."""
        taker = self._taker()
        if taker is not None:
            taker.wake(self)

    def pause(self) -> None:
        """Look no more: the publication was unpublished."""
        self.course.pause()
        if (heartbeat := self.heartbeat) is not None:
            heartbeat.forget(self)

    def __repr__(self) -> str:
        """Show the publication and its health."""
        health = self.health
        return f"<Watch {self.publication.data_info_id} {health.state.value} {health.reason!r}>"
