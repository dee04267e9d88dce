"""Linearizable reads without a log entry and without a clock (thesis §6.4).

A read notes the commit index and waits until a majority has answered a request that was sent
*after* the read arrived: so no newer leader had committed anything when the read began. The leader
numbers its rounds, and they end with its term, so an old answer cannot confirm a new round. Reads
that arrive before a round opens share it.
"""

from collections import deque

from zreg.raft.ready import ReadState


class ReadQueue:
    """The reads of one leadership, in the order in which they arrived."""

    def __init__(self) -> None:
        self.round = 0
        self._waiting: list[int] = []
        self._rounds: deque[tuple[int, int, list[int]]] = deque()
        self._confirmed: deque[ReadState] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether no read waits for a round or for its majority."""
        return not (self._waiting or self._rounds)

    @property
    def is_pending(self) -> bool:
        """Whether some round waits for its majority."""
        return bool(self._rounds)

    def add(self, token: int) -> None:
        """Add a read; `token` identifies it when it is confirmed."""
        self._waiting.append(token)

    def open_round(self, commit_index: int) -> None:
        """Start a round for the waiting reads, if there are any."""
        if self._waiting:
            self.round += 1
            self._rounds.append((self.round, commit_index, self._waiting))
            self._waiting = []

    def confirm(self, number: int) -> None:
        """Confirm the rounds up to `number`: a majority has answered a request of that round."""
        while self._rounds and self._rounds[0][0] <= number:
            _, index, tokens = self._rounds.popleft()
            self._confirmed.extend(ReadState(token=token, index=index) for token in tokens)

    def take(self, applied_index: int) -> tuple[ReadState, ...]:
        """Hand out the confirmed reads that the state at `applied_index` can answer."""
        if not self._confirmed:
            return ()
        reads: list[ReadState] = []
        while self._confirmed and self._confirmed[0].index <= applied_index:
            reads.append(self._confirmed.popleft())
        return tuple(reads)

    def drop(self) -> list[int]:
        """Return the tokens of all reads without an answer, since the leadership has ended."""
        tokens = [read.token for read in self._confirmed]
        for _, _, round_tokens in self._rounds:
            tokens += round_tokens
        return tokens + self._waiting
