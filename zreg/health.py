"""What is the matter with a node, in words for people and codes for programs.

A core lists its problems when it is asked, and nothing is kept for that. Codes are stable
(docs/operating.md lists them); a detail says what fails, what goes on all the same, and what to do.
What is the matter elsewhere never says that this process should be started again.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

# A loop that turns while its core has been due for so long will not come back by itself.
STUCK_SECONDS: Final = 10.0
_BUG_COUNTS: Final = ("core_errors", "reactor_errors", "event_errors", "http_errors")
_SHOWN_MAX: Final = 5


class Harm(enum.IntEnum):
    """How far a problem goes; each goes as far as those before it."""

    DEGRADES = 1  # work goes on
    STOPS_WORK = 2  # this node should be sent none
    STUCK = 3  # nothing but a restart of the process helps


class Problem(msgspec.Struct, frozen=True):
    """One thing that is the matter."""

    code: str
    detail: str
    harm: Harm = Harm.DEGRADES


class Health(msgspec.Struct, frozen=True):
    """All that is the matter with a node."""

    problems: tuple[Problem, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Whether there is no reason to start this process again."""
        return all(problem.harm < Harm.STUCK for problem in self.problems)

    @property
    def is_ready(self) -> bool:
        """Whether this node may be sent work."""
        return all(problem.harm < Harm.STOPS_WORK for problem in self.problems)

    @property
    def status(self) -> str:
        """One word: ok, degraded or stuck."""
        if not self.is_alive:
            return "stuck"
        return "degraded" if self.problems else "ok"


def bug_problems(counts: Mapping[str, int | float | str]) -> list[Problem]:
    """Return a problem if this process has met bugs of its own."""
    found = {name: int(counts.get(name, 0)) for name in _BUG_COUNTS}
    named = [f"{name} {count}" for name, count in found.items() if count]
    if not named:
        return []
    total = sum(found.values())
    detail = (
        f"{total} error{'s' if total > 1 else ''} in this node's own code since it started "
        f"({', '.join(named)}): it went on without what they were about; report the tracebacks in "
        "its log; this stays until it is restarted"
    )
    return [Problem("internal-errors", detail)]


def stuck_problems(due_at: float | None, now: float) -> list[Problem]:
    """Return a problem if the core was due long ago although the loop turns."""
    if due_at is None or now - due_at < STUCK_SECONDS:
        return []
    detail = (
        f"this node should have acted {now - due_at:.0f} s ago and has not, although its process "
        "answers: restart it, and report its log"
    )
    return [Problem("stuck", detail, Harm.STUCK)]


def some(names: Sequence[str]) -> str:
    """Return the names, or the first of many."""
    shown = ", ".join(names[:_SHOWN_MAX])
    more = len(names) - _SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown
