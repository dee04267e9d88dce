"""Why a node does not reach the leader of meta, for its health and for other nodes' questions.

A node tries its meta nodes in rounds. Each failed attempt leaves a reason per address. A meta node
that answers "I do not lead" tells more than an address that is not reached, so the answers are
shown instead of the failures.
"""

from typing import Final

from zreg.health import Problem
from zreg.wire.parts import cut_detail

# An election takes up to two seconds, so a shorter outage is not a problem.
OUTAGE_SECONDS: Final = 3.0
# Meta has at most seven nodes; one that moves is known by two addresses for a while.
_ADDRESSES_MAX: Final = 16


class LeaderOutage:
    """The reasons of one outage; empty while the leader answers.

    Invariants: an address has either a failure or an answer. `since` is the time of the first
    failure after the leader answered last.
    """

    def __init__(self, now: float) -> None:
        self.since = now
        # Whether a meta node of this round of attempts answered that it does not lead: an election
        # may be under way, and it is short.
        self.is_electing = False
        # What the LAN announces instead of meta nodes of this cluster; empty: nothing.
        self.lan_note = ""
        # By address, the newest last.
        self._failures: dict[str, str] = {}
        self._answers: dict[str, str] = {}
        self._last_address = self._last_failure = ""
        # What a meta node without a leader said in this round, and in this round or the last one.
        self._quorum_detail_of_round = self._quorum_detail = ""

    def __repr__(self) -> str:
        """Show the reasons and their beginning."""
        return f"<LeaderOutage {self.reasons!r} since={self.since}>"

    @property
    def reasons(self) -> str:
        """The reason for each address, for people; empty while the leader answers."""
        found = self._answers or self._failures
        return "; ".join(f"{_short(address)}: {reason}" for address, reason in found.items())

    @property
    def last_failure(self) -> str:
        """The reason of the last attempt; empty while the leader answers, or meta nodes do."""
        return "" if self._answers else self._last_failure

    def note_failure(self, address: str, reason: str, now: float) -> None:
        """Note that a connection to a meta node was not made, or ended."""
        self._note(self._failures, self._answers, address, reason or "lost", now)

    def note_answer(self, address: str, detail: str, now: float) -> None:
        """Note that a meta node answered, but did not admit this node."""
        self._note(self._answers, self._failures, address, detail or "lost", now)

    def _note(
        self,
        noted: dict[str, str],
        outdated: dict[str, str],
        address: str,
        reason: str,
        now: float,
    ) -> None:
        if not self._last_failure:
            self.since = now
        outdated.pop(address, None)
        noted.pop(address, None)
        if len(noted) >= _ADDRESSES_MAX:
            del noted[next(iter(noted))]
        noted[address] = self._last_failure = reason
        self._last_address = address

    def note_not_leader(self, detail: str, leader: str) -> None:
        """Note that a meta node answered that it does not lead; `leader` is empty if unknown."""
        self.is_electing = True
        if not leader:
            self._quorum_detail_of_round = self._quorum_detail = detail

    def begin_round(self) -> None:
        """Note that all meta nodes have been tried, and are tried again."""
        self.is_electing = False
        self._quorum_detail, self._quorum_detail_of_round = self._quorum_detail_of_round, ""

    def end(self) -> None:
        """Note that the leader has answered."""
        self.is_electing = False
        self._failures.clear()
        self._answers.clear()
        self._last_failure = self._quorum_detail_of_round = self._quorum_detail = ""

    def sentence(self, node_id: str, *, is_membership_cached: bool) -> str:
        """Return why no change of members or settings is possible; empty if nothing prevents it.

        `is_membership_cached`: this node still works with the membership from its disk.
        """
        reasons, what = self.reasons, f"meta is away: {node_id} does not reach its leader"
        if is_membership_cached:
            reasons = reasons or "connecting"
            what = (
                f"meta is away and has not admitted {node_id} since it started from its disk, so "
                "what its clients publish waits"
            )
        return cut_detail(f"{what} ({reasons})") if reasons else ""

    def problem(self, now: float, still_works: str, *, is_urgent: bool) -> Problem | None:
        """Return the problem; None without an outage, or while it is short and not urgent.

        `still_works` says what the node does without meta.
        """
        seconds = now - self.since
        if not self._last_failure or not (is_urgent or seconds >= OUTAGE_SECONDS):
            return None
        if self._quorum_detail:
            detail = f"{self._quorum_detail}. This has lasted {seconds:.0f} s"
            return Problem("meta-quorum-missing", f"{detail}; meanwhile {still_works}")
        last = f"{self._last_address}: {self._last_failure}"
        detail = f"the leader of meta has not been reached for {seconds:.0f} s (last: {last})"
        advice = "start meta, correct --meta, or check the network between"
        if self.lan_note:
            advice = f"{advice}; {self.lan_note}"
        return Problem("meta-unreachable", f"{detail}: {advice}; meanwhile {still_works}")


def _short(address: str) -> str:
    return address.removeprefix("tcp://")
