"""How long a client has had no session, why, and when the log says so."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from zreg.effects import INFO, OTHER_CLUSTER, UNRESOLVED, WARNING, Log

DEFAULT_SESSION_PORT: Final = 9600
REFUSED_GREETING: Final = "refused the greeting"
# What answered says itself what is wrong, and what to do.
_ANSWERS: Final = (OTHER_CLUSTER, REFUSED_GREETING)
_SCHEME: Final = "tcp://"
_DEFAULT_ADDRESS: Final = f"{_SCHEME}127.0.0.1:{DEFAULT_SESSION_PORT}"
# An outage that is shorter needs no line: a session that is restarted takes a second.
_WARN_SECONDS: Final = 2.0
# A new reason waits this long, since each address of several may have its own.
_NEW_REASON_SECONDS: Final = 5.0
_REMINDER_SECONDS: Final = 60.0
# How many addresses a line names with their reasons.
_SHOWN_MAX: Final = 4


def advice_on(addresses: Sequence[str], reasons: Iterable[str] = ()) -> str:
    """Return what to check when no session answers at these addresses, for these reasons."""
    known = list(reasons)
    if known and all(any(said in reason for said in _ANSWERS) for reason in known):
        return "do what the reason says"
    if known and all(UNRESOLVED in reason for reason in known):
        return "correct the name, or the name service of this machine"
    if _DEFAULT_ADDRESS in addresses:
        return "start a registry with `zreg dev`, or give the url of one (--url, ZREG_URL)"
    return (
        f"check host and port (by default {DEFAULT_SESSION_PORT}), that a session runs there "
        "(systemctl status 'zreg-session@*'), and that no firewall is in between"
    )


class Outage:
    """The time without a session. It begins with the client, and with each lost session.

    Invariants:
    - The log has a WARNING within three seconds of an outage, again when the reason has changed,
      and once a minute; and an INFO when an outage ends of which it has a WARNING.
    - `due_at` is infinite exactly while there is a session.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._since = 0.0
        # Of each address, why its last attempt failed.
        self._reasons: dict[str, str] = {}
        self._logged_reasons: dict[str, str] | None = None
        self._logged_at = -math.inf
        self.due_at = math.inf
        # Why the LAN does not help, for people; empty if it may.
        self.lan_note = ""

    def begin(self, now: float) -> None:
        """Note that there is no session from now on."""
        self._since = now
        self._reasons.clear()
        self.due_at = now + _WARN_SECONDS

    def note_failure(self, address: str, reason: str, now: float) -> None:
        """Note why an attempt at an address failed."""
        if self._reasons.get(address) == reason:
            return
        self._reasons[address] = reason
        if self._logged_reasons is not None:
            # The line of the first reason may be younger than its successor.
            self.due_at = min(self.due_at, max(now, self._logged_at + _NEW_REASON_SECONDS))

    def warn_if_due(self, now: float) -> list[Log]:
        """Return the line that is due."""
        if now < self.due_at:
            return []
        is_new = self._reasons != self._logged_reasons
        self.due_at = self._logged_at + _REMINDER_SECONDS
        if not is_new and now < self.due_at:
            return []
        self._logged_reasons, self._logged_at = dict(self._reasons), now
        self.due_at = now + _REMINDER_SECONDS
        return [
            Log(
                WARNING,
                "client.session.unreachable",
                {
                    "seconds": round(now - self._since, 1),
                    "reason": self._shown_reasons(),
                    "advice": self._advice(),
                },
            )
        ]

    def end(self, now: float) -> list[Log]:
        """Note that there is a session; return the line that says so if the log has the outage."""
        was_logged = self._logged_reasons is not None
        self.due_at, self._logged_reasons, self._logged_at = math.inf, None, -math.inf
        if not was_logged:
            return []
        seconds = round(now - self._since, 1)
        return [Log(INFO, "client.session.reachable", {"seconds": seconds})]

    def _advice(self) -> str:
        advice = advice_on(self._addresses, self._reasons.values())
        return f"{advice}; {self.lan_note}" if self.lan_note else advice

    def _shown_reasons(self) -> str:
        """Return the reason of each configured address, and of those that sessions have named."""
        known = [*self._addresses, *(a for a in self._reasons if a not in self._addresses)]
        shown = [
            f"{address.removeprefix(_SCHEME)}: {self._reasons.get(address, 'no answer yet')}"
            for address in known[:_SHOWN_MAX]
        ]
        more = len(known) - len(shown)
        return "; ".join(shown) + (f"; and {more} more" if more else "")
