"""What became of the last changes, so that one which comes again happens once.

A change comes again when its answer was lost, when the leader changed before anybody knew what
became of it, or late, over a connection that was given up. Refusals are remembered too: whoever
was told no must not see it done by a copy that comes late.
"""

from collections.abc import Sequence

from zreg.config import Limits
from zreg.wire.log_commands import Outcome


class SettingOutcomes:
    """The outcomes of the last changes by their ids; part of what meta nodes agree on."""

    def __init__(self, outcomes: Sequence[Outcome] = ()) -> None:
        self._by_id = {outcome.change_id: outcome for outcome in outcomes}

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._by_id)

    def find(self, change_id: bytes) -> Outcome | None:
        """Return what became of a change; None if it is new, too old, or without an id."""
        return self._by_id.get(change_id)

    def note(self, outcome: Outcome) -> None:
        """Remember one, instead of the oldest where there are too many."""
        if not outcome.change_id:
            return
        assert outcome.change_id not in self._by_id
        self._by_id[outcome.change_id] = outcome
        if len(self._by_id) > Limits.changes_remembered_max:
            del self._by_id[next(iter(self._by_id))]

    def all(self) -> tuple[Outcome, ...]:
        """Return all, the oldest first."""
        return tuple(self._by_id.values())
