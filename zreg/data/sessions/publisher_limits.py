"""Whether a primary has room for a new publisher, and what it says when it has none.

Two limits bound what sessions can make a data node hold: `publishers_max` of the whole node, copies
included, and `publishers_per_datum_max` of one id. A publisher that the node holds already may
always change, and a copy of what another primary holds is always taken: copies must not diverge.
"""

from typing import Final

from zreg.config import Config
from zreg.data.store.datum_store import DatumStore
from zreg.effects import WARNING, Effect, Log
from zreg.health import Problem
from zreg.model import DataInfoId

# A limit that goes on refusing publishers is logged so often.
_REMINDER_SECONDS: Final = 60.0
# Health names a full id for so long after it refused a publisher.
_SHOWN_SECONDS: Final = 60.0

NODE_FULL: Final = "data.publishers.full"
DATUM_FULL: Final = "data.datum.full"


class PublisherLimits:
    """The two limits, how often they refused a publisher, and when that was logged.

    Both are compared with counts that the store keeps, so a check takes the same time at any size.
    """

    def __init__(self, config: Config, store: DatumStore) -> None:
        self._config = config
        self._store = store
        self.refused_count = 0
        # When each event was logged.
        self._logged_at: dict[str, float] = {}
        # The id that was found full last, and when.
        self._full_datum: tuple[DataInfoId, float] | None = None

    @property
    def _is_node_full(self) -> bool:
        return self._store.buckets.publisher_count >= self._config.publishers_max

    def _is_datum_full(self, name: DataInfoId) -> bool:
        datum = self._store.find(name)
        count_max = self._config.publishers_per_datum_max
        return datum is not None and len(datum.publishers) >= count_max

    def why_refused(self, name: DataInfoId) -> str:
        """Return why a new publisher of an id is refused, for people; empty if there is room."""
        if self._is_datum_full(name):
            return (
                f"this id has {self._config.publishers_per_datum_max} publishers, as many as it "
                "may have: publish under several ids, or raise publishers_per_datum_max on the "
                "data nodes"
            )
        if self._is_node_full:
            return (
                f"the data node that owns this id holds {self._config.publishers_max} publishers, "
                "as many as it takes: add a data node, or raise publishers_max on the data nodes"
            )
        return ""

    def note_refused(self, name: DataInfoId, now: float) -> list[Effect]:
        """Count a refusal; return the log line, once a minute for each of the two limits."""
        self.refused_count += 1
        if self._is_datum_full(name):
            self._full_datum = (name, now)
            count_max = self._config.publishers_per_datum_max
            return self._log(DATUM_FULL, now, {"id": name, "publishers": count_max})
        count = self._store.buckets.publisher_count
        return self._log(NODE_FULL, now, {"publishers": count})

    def _log(self, event: str, now: float, fields: dict[str, str | int | float]) -> list[Effect]:
        logged_at = self._logged_at.get(event)
        if logged_at is not None and now - logged_at < _REMINDER_SECONDS:
            return []
        self._logged_at[event] = now
        return [Log(WARNING, event, {**fields, "refused": self.refused_count})]

    def problems(self, now: float) -> list[Problem]:
        """Return the limits that are reached."""
        found = []
        if self._is_node_full:
            detail = (
                f"this data node holds {self._store.buckets.publisher_count} publishers, copies "
                "included, and refuses new ones; those that it holds stay and may change; add a "
                "data node, or raise publishers_max"
            )
            found.append(Problem("publishers-full", detail))
        if self._full_datum is not None and now - self._full_datum[1] < _SHOWN_SECONDS:
            detail = (
                f"{self._full_datum[0]} has {self._config.publishers_per_datum_max} publishers, "
                "and new ones were refused within the last minute; those that it has stay and may "
                "change; publish under several ids, or raise publishers_per_datum_max"
            )
            found.append(Problem("datum-full", detail))
        return found
