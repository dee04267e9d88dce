"""How the last changes of settings ended, so that a repeated change happens once.

A change is repeated when its answer was lost, when the leader changed before the outcome was known,
or when an old connection delivers a copy late. Refusals are remembered too: after a refusal, a late
copy must not make the change after all.
"""

from collections.abc import Sequence

from zreg.config import Limits
from zreg.wire.log_commands import Outcome


class SettingOutcomes:
    """The outcomes of the last changes by their ids; part of the state that meta nodes agree on."""

    def __init__(self, outcomes: Sequence[Outcome] = ()) -> None:
        self._by_id = {outcome.change_id: outcome for outcome in outcomes}

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._by_id)

    def find(self, change_id: bytes) -> Outcome | None:
        """Return how a change ended; None if it is new, too old, or without an id."""
        return self._by_id.get(change_id)

    def note(self, outcome: Outcome) -> None:
        """Remember an outcome; beyond the limit, forget the oldest."""
        if not outcome.change_id:
            return
        assert outcome.change_id not in self._by_id
        self._by_id[outcome.change_id] = outcome
        if len(self._by_id) > Limits.changes_remembered_max:
            del self._by_id[next(iter(self._by_id))]

    def all(self) -> tuple[Outcome, ...]:
        """Return all outcomes, the oldest first."""
        return tuple(self._by_id.values())
