"""What a node knows of one peer: the request under way, and how far the peer's log matches."""

from enum import Enum
from typing import Final

from zreg.effects import Snapshot
from zreg.wire.records.raft_messages import Request

CATCH_UP_ROUNDS_MAX: Final = 10


class Slot:
    """The one request that a peer may still answer. All times are ticks since the node started."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.read_round = 0
        # The tick from which the next request may be sent; 0 while none is under way.
        self.free_at = 0

    def occupy(self, request: Request, *, free_at: int) -> None:
        """Note that `request` is sent; from `free_at` on the next one may follow it."""
        self.request = request
        self.free_at = free_at

    def settle(self, sequence: int) -> Request | None:
        """Free the slot and return its request if `sequence` answers it; else return None."""
        request = self.request
        if request is None or request.sequence != sequence:
            return None
        self.request = None
        self.free_at = 0
        return request

    def hold(self, *, free_at: int) -> None:
        """Send nothing before `free_at`: the peer is unreachable, or its answer was no progress."""
        self.request = None
        self.free_at = free_at


class CatchUpState(Enum):
    """Whether a learner is catching up, is close enough to get a vote, or was given up."""

    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"


class CatchUp:
    """The rounds in which a learner catches up (thesis §4.2.1).

    A round replicates the entries that the log held when the round began. A round that is shorter
    than an election timeout shows that the learner's vote would delay no commit for longer.
    """

    def __init__(self, *, target_index: int, election_ticks: int) -> None:
        self.state = CatchUpState.RUNNING
        self._election_ticks = election_ticks
        self._target_index = target_index
        self._round = 1
        self._round_ticks = 0
        self._silent_ticks = 0

    def on_matched(self, match_index: int, last_index: int) -> None:
        """Take an answer of the learner, whose log matches up to `match_index`."""
        self._silent_ticks = 0
        if self.state is CatchUpState.FAILED:
            # The learner answers again, or is faster now. It has no vote, so retrying is free.
            self.state = CatchUpState.RUNNING
            self._round, self._round_ticks, self._target_index = 1, 0, last_index
        if self.state is not CatchUpState.RUNNING or match_index < self._target_index:
            return
        if self._round_ticks < self._election_ticks:
            self.state = CatchUpState.READY
        elif self._round == CATCH_UP_ROUNDS_MAX:
            self.state = CatchUpState.FAILED
        else:
            self._round += 1
            self._round_ticks = 0
            self._target_index = last_index

    def tick(self) -> None:
        """Count a tick; give up a learner that is silent for ten election timeouts."""
        self._round_ticks += 1
        self._silent_ticks += 1
        if self._silent_ticks > CATCH_UP_ROUNDS_MAX * self._election_ticks:
            self.state = CatchUpState.FAILED


class Progress:
    """What a leader knows of one peer during its term: how far the log matches, what is next."""

    def __init__(self, *, next_index: int, now: int) -> None:
        self.match_index = 0
        self.next_index = next_index
        # Whether the peer answered since the last check of the majority.
        self.is_active = False
        # The newest read round of which the peer answered a request.
        self.confirmed_round = 0
        self.slot = Slot()
        self.heard_at = now
        self.sent_at = now
        self.snapshot: Snapshot | None = None
        self.snapshot_offset = 0
        self.catch_up: CatchUp | None = None

    def on_matched(self, match_index: int) -> None:
        """Note that the peer's log matches up to `match_index`; a late reply never lowers it."""
        self.match_index = max(self.match_index, match_index)
        self.next_index = max(self.next_index, self.match_index + 1)

    def on_rejected(self, prev_index: int, agreed_index: int) -> bool:
        """Go back, as the logs differ at `prev_index`; return whether `next_index` fell."""
        before = self.next_index
        self.next_index = max(min(prev_index, agreed_index + 1), self.match_index + 1)
        return self.next_index < before

    def pin_snapshot(self, latest: Snapshot) -> Snapshot:
        """Return the snapshot being sent to the peer; a new transfer begins with `latest`.

        The snapshot stays the same for the whole transfer, or each compaction would restart it.
        """
        if self.snapshot is None:
            self.snapshot = latest
            self.snapshot_offset = 0
        return self.snapshot
