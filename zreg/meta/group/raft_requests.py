"""The proposals that wait for their entry, and the reads that wait for a majority, on this node."""

from collections.abc import Callable, Sequence
from typing import Final

from zreg.effects import Effect
from zreg.meta.state.applied import Applied
from zreg.raft.configuration import Configuration
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import OverloadedError
from zreg.wire.log_commands import AnyCommand, encode_command
from zreg.wire.records.raft_messages import Entry

# Linearizable reads that wait for a majority.
_READS_MAX: Final = 10_000

# Called with the result of a proposal; None: another entry took its place, or the result is not
# known here.
OnApplied = Callable[[Applied | None, float], Sequence[Effect]]
# Called with whether the state now holds all that was acknowledged before the read began.
OnConfirmed = Callable[[bool, float], Sequence[Effect]]


class RaftRequests:
    """The owners of proposals by the index of their entry, and of reads by token.

    Each owner is called once. The node that proposed an entry calls its owner when the entry is
    applied, also if the node has lost the leadership meanwhile and the entry was not replaced.
    """

    def __init__(self, raft: RaftCore) -> None:
        self._raft = raft
        # The term of the entry, and the owner.
        self._proposals: dict[int, tuple[int, OnApplied]] = {}
        self._reads: dict[int, OnConfirmed] = {}
        self._last_token = 0

    def __repr__(self) -> str:
        """Show how many wait."""
        return f"<RaftRequests proposals={len(self._proposals)} reads={len(self._reads)}>"

    def propose(self, command: AnyCommand, on_applied: OnApplied) -> None:
        """Propose a command as the leader; raises `RaftError`."""
        entry = self._raft.propose(encode_command(command))
        self._proposals[entry.index] = (entry.term, on_applied)

    def change_configuration(self, new: Configuration, on_applied: OnApplied) -> None:
        """Change one member as the leader; raises `RaftError`."""
        entry = self._raft.change_configuration(new)
        self._proposals[entry.index] = (entry.term, on_applied)

    def read(self, on_confirmed: OnConfirmed) -> None:
        """Wait until the state holds all that was acknowledged before now; raises `RaftError`.

        If the leadership ends first, the owner is called with False.
        """
        if len(self._reads) >= _READS_MAX:
            raise OverloadedError(f"{_READS_MAX} reads wait for a majority")
        self._last_token += 1
        self._raft.read_index(self._last_token)
        self._reads[self._last_token] = on_confirmed

    # --- answers -----------------------------------------------------------------------------

    def on_entry_applied(
        self, entry: Entry, applied: Applied | None, now: float
    ) -> Sequence[Effect]:
        """Answer the proposal of an entry, if this node made it."""
        term, on_applied = self._proposals.pop(entry.index, (0, None))
        if on_applied is None:
            return []
        return on_applied(applied if term == entry.term else None, now)

    def on_log_truncated(self, first: int, now: float) -> list[Effect]:
        """Answer the proposals whose entries were cut off, from index `first` on.

        The entries that take their place may come late, or never: the new log may be shorter.
        """
        return self._give_up(first, max(self._proposals, default=0), now)

    def on_snapshot_restored(self, last: int, now: float) -> list[Effect]:
        """Answer the proposals up to index `last`: a snapshot does not tell their results."""
        return self._give_up(0, last, now)

    def on_read(self, token: int, now: float, *, is_confirmed: bool) -> Sequence[Effect]:
        """Answer a read."""
        return self._reads.pop(token)(is_confirmed, now)

    def _give_up(self, first: int, last: int, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for index in [index for index in self._proposals if first <= index <= last]:
            effects += self._proposals.pop(index)[1](None, now)
        return effects
