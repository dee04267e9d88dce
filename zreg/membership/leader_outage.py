"""Why meta's leader is not reached: kept address by address, and told to people now and then.

A node tries its meta nodes for as long as it takes, several times a second at first. Its log says
what is wrong at once, again when that is another thing, and rarely as a reminder; and that it is
over only when the leader has let the node in.
"""

from typing import Final

from zreg.config import Limits
from zreg.effects import (
    CLOSED,
    CLOSED_EARLY,
    HANDSHAKE_FAILED,
    INFO,
    REFUSED,
    TIMED_OUT,
    UNREACHABLE,
    WARNING,
    Log,
)
from zreg.errors import NotReadyError
from zreg.health import Absence

NO_ANSWER: Final = "no answer"
# Another reason than the one that was told waits so long: of an election there are many.
_NEWS_SECONDS: Final = 5.0
_REMINDER_SECONDS: Final = 60.0
# Meta has at most seven nodes; one that moves is known by two addresses for a while.
_ADDRESSES_MAX: Final = 16
_NO_META: Final = "what listens there hangs, or is no meta node: look at it, or correct --meta"
_ADVICE: Final = {
    REFUSED: "start meta, or correct --meta; a firewall may be in the way",
    CLOSED: "start meta again, unless it comes back",
    CLOSED_EARLY: _NO_META,
    HANDSHAKE_FAILED: _NO_META,
    UNREACHABLE: "look at the network and its firewalls, or correct --meta",
    TIMED_OUT: "look at the network and its firewalls, or correct --meta",
    NO_ANSWER: "see whether meta hangs, and whether --meta names its port (9610 by habit)",
}


class LeaderOutage:
    """What each meta node answered instead of letting this node in, or why it did not."""

    def __init__(self, now: float) -> None:
        # The same for the node's health, which is looked at and not told.
        self.absence = Absence(now)
        # By address, the newest last; the answers of meta nodes apart, as they tell most.
        self._reasons: dict[str, str] = {}
        self._answers: dict[str, str] = {}
        self._last = ""
        self._told = ""
        self._told_at = 0.0
        self._is_loss_told = False

    def __repr__(self) -> str:
        """Show the reasons."""
        return f"<LeaderOutage {self.reasons!r}>"

    @property
    def reasons(self) -> str:
        """Return what is in the way, for people; empty if nothing is."""
        found = self._answers or self._reasons
        return "; ".join(f"{_bare(address)}: {reason}" for address, reason in found.items())

    def sentence(self, node_id: str, *, is_remembered: bool) -> str:
        """Return what stands in the way of any change, empty if nothing does.

        `is_remembered`: what this node knows of the members is from its disk.
        """
        why, what = self.reasons, f"meta is away: {node_id} does not reach its leader"
        if is_remembered:
            why = why or "it is being asked"
            what = (
                f"meta is away and has not let {node_id} in since it started from its disk, so "
                "what its clients publish waits"
            )
        return f"{what} ({why})"[: Limits.detail_characters_max] if why else ""

    def note(self, address: str, reason: str, now: float, *, is_answer: bool = False) -> None:
        """Note what a meta node said, or why no connection to it came to be, or stayed."""
        answers, reasons = self._answers, self._reasons
        found, other = (answers, reasons) if is_answer else (reasons, answers)
        reason = reason or "lost"
        self.absence.note(f"{address}: {reason}", now)
        other.pop(address, None)
        found.pop(address, None)
        if len(found) >= _ADDRESSES_MAX:
            del found[next(iter(found))]
        found[address] = self._last = reason

    def tell_lost(self, now: float, *, is_round_over: bool) -> list[Log]:
        """Tell the log that the leader was not reached, unless it knows.

        `is_round_over`: every meta node was tried since the last round, so that the reasons are of
        now.
        """
        fields: dict[str, str | int | float] = {"reason": self.reasons}
        if not self._answers and (advice := _ADVICE.get(self._last, "")):
            fields["detail"] = advice
        lines = self._tell("meta.connection.lost", fields, now, is_news=is_round_over)
        self._is_loss_told = self._is_loss_told or bool(lines)
        return lines

    def refused(self, address: str, code: int, detail: str, now: float) -> list[Log]:
        """Note that meta says no, and tell the log unless it knows; "not now" is no worry."""
        self.note(address, detail, now, is_answer=True)
        fields: dict[str, str | int | float] = {"code": code, "detail": detail}
        level = INFO if code == NotReadyError.code else WARNING
        return self._tell("meta.refused", fields, now, is_news=True, level=level)

    def end(self) -> list[Log]:
        """Note that the leader has let this node in, and tell the log if it knows of a loss."""
        was_told, self._is_loss_told = self._is_loss_told, False
        self.absence.end()
        if self._told or self._last:
            self._reasons.clear()
            self._answers.clear()
            self._told = self._last = ""
        return [Log(INFO, "meta.connection.restored", {})] if was_told else []

    def _tell(
        self,
        event: str,
        fields: dict[str, str | int | float],
        now: float,
        *,
        is_news: bool,
        level: int = WARNING,
    ) -> list[Log]:
        text = self.reasons
        passed = now - self._told_at
        is_news = is_news and text != self._told and passed >= _NEWS_SECONDS
        if self._told and not is_news and passed < _REMINDER_SECONDS:
            return []
        self._told, self._told_at = text, now
        return [Log(level, event, fields)]


def _bare(address: str) -> str:
    return address.removeprefix("tcp://")
