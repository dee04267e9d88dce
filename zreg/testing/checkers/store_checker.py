"""Check the stores of data nodes: a version stands for one content, and a tombstone for one time.

Versions of an id are unique in the whole cluster: an epoch has one primary for it, and the counter
of a data node is never reset. So what one store ever held at a version, no store may hold otherwise
at that version.
"""

from typing import TYPE_CHECKING, Final

from zreg.data.core import DataCore
from zreg.data.store.datum import Datum
from zreg.model import ZERO, DataInfoId, Version
from zreg.testing.sim.cluster import SimCluster

if TYPE_CHECKING:
    from zreg.data.store.datum_store import DatumStore

# A tombstone travels with its remaining seconds, and the time on the way is not known: a node that
# lost a bucket and gets it back may remember the tombstone for that much longer.
_TRANSIT_SECONDS_MAX: Final = 0.5

# What a datum holds: its publishers at their versions, or what subscribers see of them.
_Content = frozenset[tuple[object, ...]]


class StoreChecker:
    """Remembers the content of each revision and version, and the end of each tombstone."""

    def __init__(self, *, transit_seconds_max: float = _TRANSIT_SECONDS_MAX) -> None:
        # A tombstone travels with its remaining seconds: it ends so much later at most.
        self._transit_seconds_max = transit_seconds_max
        self._stored: dict[tuple[DataInfoId, Version], _Content] = {}
        self._visible: dict[tuple[DataInfoId, Version], _Content] = {}
        # When each tombstone ended first in each store, by id, publisher and its version.
        self._tombstone_ends: dict[tuple[object, ...], dict[DatumStore, float]] = {}

    def check(self, cluster: SimCluster) -> list[str]:
        """Return a line for each broken rule of the data nodes as they are now."""
        found: list[str] = []
        for name, process in cluster.sim.processes.items():
            if isinstance(process.core, DataCore):
                store: DatumStore = process.core._store  # noqa: SLF001 -- no public name
                for datum in store.buckets.all():
                    if not (datum.is_dirty or datum.is_unsure) and datum.revision > ZERO:
                        found += self._check_content(name, datum)
                    found += self._check_tombstones(name, store, datum)
        return found

    def _check_content(self, node: str, datum: Datum) -> list[str]:
        publishers = datum.publishers.values()
        stored = frozenset((p.publisher_id, p.version, p.session) for p in publishers)
        visible = frozenset(
            (p.publisher_id, p.body, p.zone, p.data_center, p.app) for p in publishers
        )
        found = []
        if self._stored.setdefault((datum.name, datum.revision), stored) != stored:
            found.append(f"{node} has two contents of {datum.name} at revision {datum.revision}")
        if self._visible.setdefault((datum.name, datum.version), visible) != visible:
            found.append(f"{node} has two contents of {datum.name} at version {datum.version}")
        return found

    def _check_tombstones(self, node: str, store: "DatumStore", datum: Datum) -> list[str]:
        """Check that each ends when it ended first, in this store or in another one.

        A replica to which a removal was long on the way remembers it for that much longer, and may
        give that to a node that has lost the bucket meanwhile.
        """
        found = []
        for publisher_id, (removal, ends_at) in datum.tombstones.items():
            key = (datum.name, publisher_id, removal.version)
            ends = self._tombstone_ends.setdefault(key, {})
            ends.setdefault(store, ends_at)
            if ends_at > max(ends.values()) + self._transit_seconds_max:
                found.append(f"{node} prolonged a tombstone of {datum.name}")
        return found
