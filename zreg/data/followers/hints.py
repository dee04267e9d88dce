"""Commits and the hints at them: a sequence number for each bucket, and the beat with all of them.

A follower that sees a gap in a bucket's sequence knows that it missed a hint.
"""

from collections.abc import Iterable
from typing import Final

from zreg.config import Limits
from zreg.data.replication.replication import Replication
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.effects import BEAT_TOPIC, Broadcast, Effect, Link
from zreg.model import ZERO, Change, Incarnation, Publisher, Removal, Version
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.ring import bucket_topic
from zreg.wire.parts import fits_inline
from zreg.wire.records.common_messages import HopKind
from zreg.wire.records.data_messages import Beat, Changed

MERGED: Final = HopKind.MERGED
HINTED: Final = HopKind.HINTED
COMMITTED: Final = HopKind.COMMITTED
# Of how many publishes of one change it is noted that they are in it, and of how many removals.
_NAMED_MAX: Final = 8


class Hints:
    """Everything that a data node broadcasts on its PUB socket."""

    def __init__(self, store: DatumStore, replication: Replication, hops: HopRings) -> None:
        self._store = store
        self._replication = replication
        self._hops = hops.by_id
        self._sequences = [0] * Limits.bucket_count
        self.hint_count = 0
        self.beat_count = 0

    def sequence(self, bucket: int) -> int:
        """Return the number of the last hint of a bucket."""
        return self._sequences[bucket]

    def commit(self, datums: Iterable[Datum], epoch: int, now: float) -> list[Effect]:
        """Commit what was merged into these datums; return hints at the visible changes.

        Replicas get all changes, when the turn ends.
        """
        effects: list[Effect] = []
        for datum in datums:
            source_version = datum.version
            change = self._store.commit(datum, epoch, now)
            self._replication.note(datum, change, now)
            self._note_hop(datum, change, now)
            if not change.is_quiet:
                effects.append(self._hint(datum, source_version, change))
        return effects

    def restamp(self, datum: Datum, epoch: int, now: float) -> Effect:
        """Give an unchanged datum a new version; return the hint at it."""
        source_version = datum.version
        change = self._store.restamp(datum, epoch, now)
        self._replication.note(datum, change, now)
        self._note_hop(datum, change, now)
        return self._hint(datum, source_version, change)

    def beat(self, incarnation: Incarnation, unreconciled: Iterable[Incarnation]) -> Effect:
        """Return the beat: all sequences, and the sessions that this node is unreconciled with."""
        self.beat_count += 1
        beat = Beat(incarnation, tuple(self._sequences), tuple(unreconciled))
        return Broadcast(Link.CHANGES, BEAT_TOPIC, beat)

    def _note_hop(self, datum: Datum, change: Change, now: float) -> None:
        """Note when a change got its version, and of which publishes it is made."""
        ring = self._hops[datum.name]
        named: tuple[Publisher | Removal, ...] = change.publishers[:_NAMED_MAX]
        named += change.removals[:_NAMED_MAX]
        publisher_id, publisher_version = b"", 0
        if named:
            publisher_id, publisher_version = named[0].publisher_id, named[0].version
        for each in named[1:]:
            ring.append((MERGED, now, each.publisher_id, each.version, ZERO, "", 0))
        kind = COMMITTED if change.is_quiet else HINTED
        number = self._replication.number
        ring.append((kind, now, publisher_id, publisher_version, change.version, "", number))

    def _hint(self, datum: Datum, source_version: Version, change: Change) -> Effect:
        """Hint at a change from version to version: it skips the quiet ones before it."""
        bucket = datum.bucket
        self.hint_count += 1
        sequence = self._sequences[bucket] = self._sequences[bucket] + 1
        version = change.version
        if fits_inline(change):
            changed = Changed(
                datum.name, source_version, version, sequence, change.publishers, change.removals
            )
        else:
            changed = Changed(datum.name, source_version, version, sequence)
        return Broadcast(Link.CHANGES, bucket_topic(bucket), changed)
