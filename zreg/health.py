"""The health of a node: its problems, with codes for programs and details for people.

A core computes its problems when it is asked; it keeps none. Codes are stable (docs/operating.md
lists them). A detail says what fails, what still works, and what to do. Only a problem of the
process itself asks for its restart; a problem elsewhere never does.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

# A running loop whose core has been due for so long does not recover by itself.
STUCK_SECONDS: Final = 10.0
_BUG_COUNTS: Final = ("core_errors", "reactor_errors", "event_errors", "http_errors")
_SHOWN_MAX: Final = 5


class Harm(enum.IntEnum):
    """How bad a problem is; each level includes the effects of those before it."""

    DEGRADES = 1  # the node works, with a restriction
    STOPS_WORK = 2  # the node should get no work
    STUCK = 3  # only a restart of the process helps


class Problem(msgspec.Struct, frozen=True):
    """One problem: its code, what it means and what to do, and how bad it is."""

    code: str
    detail: str
    harm: Harm = Harm.DEGRADES


class Health(msgspec.Struct, frozen=True):
    """All problems of a node."""

    problems: tuple[Problem, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Whether the process need not be restarted."""
        return all(problem.harm < Harm.STUCK for problem in self.problems)

    @property
    def is_ready(self) -> bool:
        """Whether the node should get work."""
        return all(problem.harm < Harm.STOPS_WORK for problem in self.problems)

    @property
    def status(self) -> str:
        """The health in one word: ok, degraded or stuck."""
        if not self.is_alive:
            return "stuck"
        return "degraded" if self.problems else "ok"


def bug_problems(counts: Mapping[str, int | float | str]) -> list[Problem]:
    """Return a problem if the counters show errors in the code of this process."""
    found = {name: int(counts.get(name, 0)) for name in _BUG_COUNTS}
    named = [f"{name} {count}" for name, count in found.items() if count]
    if not named:
        return []
    total = sum(found.values())
    detail = (
        f"{total} error{'s' if total > 1 else ''} in this node's own code since it started "
        f"({', '.join(named)}): it dropped what it was working on and went on; report the "
        "tracebacks in its log; this problem stays until the node is restarted"
    )
    return [Problem("internal-errors", detail)]


def stuck_problems(due_at: float | None, now: float) -> list[Problem]:
    """Return a problem if the loop runs although the core has been due for too long."""
    if due_at is None or now - due_at < STUCK_SECONDS:
        return []
    detail = (
        f"this node should have acted {now - due_at:.0f} s ago and has not, although its process "
        "answers: restart it and report its log"
    )
    return [Problem("stuck", detail, Harm.STUCK)]


def some(names: Sequence[str]) -> str:
    """Return the names as text; of many names, the first ones and how many more there are."""
    shown = ", ".join(names[:_SHOWN_MAX])
    more = len(names) - _SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown
