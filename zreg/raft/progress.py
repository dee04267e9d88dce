"""What a node knows of one peer: the request under way, and how far the peer's log agrees."""

from enum import Enum
from typing import Final

from zreg.effects import Snapshot
from zreg.wire.raft_messages import Request

CATCH_UP_ROUNDS_MAX: Final = 10


class Slot:
    """The one request that a peer may still answer; all times are ticks since the node started."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.read_round = 0
        # From then on a request may be sent: none is under way, or it waited long enough.
        self.free_at = 0

    def occupy(self, request: Request, *, free_at: int) -> None:
        """Note that `request` was sent; from `free_at` on it is given up."""
        self.request = request
        self.free_at = free_at

    def settle(self, sequence: int) -> Request | None:
        """Return the request that the reply `sequence` is for, None if it is not waited for."""
        request = self.request
        if request is None or request.sequence != sequence:
            return None
        self.request = None
        self.free_at = 0
        return request

    def hold(self, *, free_at: int) -> None:
        """Send nothing before `free_at`: the peer cannot be reached or cannot go on now."""
        self.request = None
        self.free_at = free_at


class CatchUpState(Enum):
    """How a learner stands: following, close enough to get a vote, or given up."""

    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"


class CatchUp:
    """The rounds in which a learner catches up (thesis §4.2.1).

    A round replicates what the log held at its start. A round shorter than an election timeout
    means that a vote for the learner would stall no commit for longer than that.
    """

    def __init__(self, *, target_index: int, election_ticks: int) -> None:
        self.state = CatchUpState.RUNNING
        self._election_ticks = election_ticks
        self._target_index = target_index
        self._round = 1
        self._round_ticks = 0
        self._silent_ticks = 0

    def matched(self, match_index: int, last_index: int) -> None:
        """Take an answer of the learner, which agrees up to `match_index`."""
        self._silent_ticks = 0
        if self.state is CatchUpState.FAILED:
            # It is back, or faster now: it has no vote, so trying again costs nobody anything.
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
        """Count a tick; a learner that says nothing for ten election timeouts is given up."""
        self._round_ticks += 1
        self._silent_ticks += 1
        if self._silent_ticks > CATCH_UP_ROUNDS_MAX * self._election_ticks:
            self.state = CatchUpState.FAILED


class Progress:
    """What a leader knows of one peer in its own term."""

    def __init__(self, *, next_index: int, now: int) -> None:
        self.match_index = 0
        self.next_index = next_index
        self.is_active = False
        self.acked_round = 0
        self.slot = Slot()
        self.heard_at = now
        self.beat_at = now
        self.snapshot: Snapshot | None = None
        self.snapshot_offset = 0
        self.catch_up: CatchUp | None = None

    def matched(self, match_index: int) -> None:
        """Take over how far the peer's log agrees; late news never move it back."""
        self.match_index = max(self.match_index, match_index)
        self.next_index = max(self.next_index, self.match_index + 1)

    def rejected(self, prev_index: int, agreed_index: int) -> bool:
        """Go back: the logs differ at `prev_index`. Return whether that is a step at all."""
        before = self.next_index
        self.next_index = max(min(prev_index, agreed_index + 1), self.match_index + 1)
        return self.next_index < before

    def pinned(self, latest: Snapshot) -> Snapshot:
        """Return the snapshot in transfer, from the start the latest one.

        It is kept for the whole transfer, or each compaction would start it again.
        """
        if self.snapshot is None:
            self.snapshot = latest
            self.snapshot_offset = 0
        return self.snapshot
