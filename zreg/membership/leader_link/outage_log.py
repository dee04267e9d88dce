"""The log lines about an outage of the leader of meta: the first at once, then few.

A node tries its meta nodes several times a second at first. The log has the first reason at once, a
new reason at most every five seconds, a reminder every minute, and the end only when the leader has
admitted the node.
"""

from typing import Final

from zreg.effects import (
    CLOSED,
    CLOSED_EARLY,
    HANDSHAKE_FAILED,
    INFO,
    REFUSED,
    TIMED_OUT,
    UNREACHABLE,
    UNRESOLVED,
    WARNING,
    Log,
)
from zreg.errors import NotReadyError
from zreg.membership.leader_link.leader_outage import LeaderOutage

NO_ANSWER: Final = "no answer"
# An election has many reasons in a row.
_NEW_REASON_SECONDS: Final = 5.0
_REMINDER_SECONDS: Final = 60.0
_NO_META_NODE: Final = (
    "the process at this address hangs or is no meta node: check it, or correct --meta"
)
_ADVICE: Final = {
    REFUSED: "start meta, or correct --meta; a firewall may block the port",
    CLOSED: "start meta again if it does not come back by itself",
    CLOSED_EARLY: _NO_META_NODE,
    HANDSHAKE_FAILED: _NO_META_NODE,
    UNREACHABLE: "check the network and its firewalls, or correct --meta",
    TIMED_OUT: "check the network and its firewalls, or correct --meta",
    NO_ANSWER: "check whether meta hangs, and whether --meta names its port (9610 by default)",
}

_UNRESOLVED_ADVICE: Final = "correct the name in --meta, or the name service of this machine"

_Fields = dict[str, str | int | float]


class OutageLog:
    """Decides which lines about an outage are written."""

    def __init__(self, outage: LeaderOutage) -> None:
        self._outage = outage
        self._logged_reasons = ""
        self._logged_at = 0.0
        # A refusal alone is no loss, so its end needs no line.
        self._is_loss_logged = False

    def lost(self, now: float, *, is_round_over: bool) -> list[Log]:
        """Return the line for a failed attempt.

        `is_round_over`: every meta node was tried since the last round, so all reasons are fresh.
        """
        fields: _Fields = {"reason": self._outage.reasons}
        if advice := _advice_on(self._outage.last_failure):
            fields["detail"] = advice
        lines = self._log("meta.connection.lost", fields, now, may_be_new=is_round_over)
        self._is_loss_logged = self._is_loss_logged or bool(lines)
        return lines

    def refused(self, code: int, detail: str, now: float) -> list[Log]:
        """Return the line for a refusal of this node; a temporary one (not ready) is no warning."""
        level = INFO if code == NotReadyError.code else WARNING
        fields: _Fields = {"code": code, "detail": detail}
        return self._log("meta.refused", fields, now, may_be_new=True, level=level)

    def end(self) -> list[Log]:
        """Return the line that the leader is reached again, if the log has the loss."""
        was_logged, self._is_loss_logged = self._is_loss_logged, False
        self._logged_reasons = ""
        return [Log(INFO, "meta.connection.restored", {})] if was_logged else []

    def _log(
        self, event: str, fields: _Fields, now: float, *, may_be_new: bool, level: int = WARNING
    ) -> list[Log]:
        reasons = self._outage.reasons
        passed = now - self._logged_at
        is_new = may_be_new and reasons != self._logged_reasons and passed >= _NEW_REASON_SECONDS
        if self._logged_reasons and not is_new and passed < _REMINDER_SECONDS:
            return []
        self._logged_reasons, self._logged_at = reasons, now
        return [Log(level, event, fields)]


def _advice_on(reason: str) -> str | None:
    return _UNRESOLVED_ADVICE if UNRESOLVED in reason else _ADVICE.get(reason)
