"""What is the matter with a node, in words for people and codes for programs.

A core lists its problems when it is asked, and nothing is kept for that. Codes are stable
(docs/operating.md lists them); a detail says what fails, what goes on all the same, and what to do.
What is the matter elsewhere never says that this process should be started again.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

# An election takes up to two seconds: meta that is away for longer than this is trouble.
AWAY_SECONDS: Final = 3.0
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


class Absence:
    """What a node knows of the leader of meta while it does not reach it."""

    def __init__(self, now: float) -> None:
        # Why the last attempt failed; empty: it is not away, or nothing was tried yet.
        self.why = ""
        self.since = now
        # Whether some meta node lives, and does not lead, by this round of attempts: an election
        # is short. In each round somebody has to say so again.
        self.is_electing = False
        # What one that knows no leader said in this round, and in this one or the last.
        self._heard = self._said = ""

    def __repr__(self) -> str:
        """Show why and since when."""
        return f"<Absence {self.why!r} since={self.since}>"

    def note(self, why: str, now: float) -> None:
        """Note that an attempt failed."""
        if not self.why:
            self.since = now
        self.why = why

    def hear(self, detail: str, leader: str) -> None:
        """Note that a meta node answered that it does not lead, and who does if it knows."""
        self.is_electing = True
        if not leader:
            self._heard = self._said = detail

    def begin_round(self) -> None:
        """Note that all meta nodes have been tried, and are being tried again."""
        self.is_electing = False
        self._said, self._heard = self._heard, ""

    def end(self) -> None:
        """Note that the leader has answered."""
        self.is_electing = False
        self.why = self._heard = self._said = ""

    def problem(self, now: float, goes_on: str, *, is_due: bool) -> Problem | None:
        """Return what is the matter; None if nothing is, or, unless it is due, not for long."""
        seconds = now - self.since
        if not self.why or not (is_due or seconds >= AWAY_SECONDS):
            return None
        if self._said:
            what = f"{self._said}. It has been so for {seconds:.0f} s"
            return Problem("meta-quorum-missing", f"{what}; meanwhile {goes_on}")
        what = f"the leader of meta has not been reached for {seconds:.0f} s (last: {self.why})"
        do = "start meta, correct --meta, or look at the network between"
        return Problem("meta-unreachable", f"{what}: {do}; meanwhile {goes_on}")


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
