"""Commits and the hints at them: a sequence number for each bucket, and the beat with all of them.

A follower that sees a gap in a bucket's sequence knows that it missed a hint.
"""

from collections.abc import Iterable

from zreg.config import Limits
from zreg.data.replication.replication import Replication
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.effects import BEAT_TOPIC, Broadcast, Effect, Link
from zreg.model import Change, Incarnation, Version
from zreg.primitives.ring import bucket_topic
from zreg.wire.parts import fits_inline
from zreg.wire.records.data_messages import Beat, Changed


class Hints:
    """Everything that a data node broadcasts on its PUB socket."""

    def __init__(self, store: DatumStore, replication: Replication) -> None:
        self._store = store
        self._replication = replication
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
            self._replication.note(datum, change)
            if not change.is_quiet:
                effects.append(self._hint(datum, source_version, change))
        return effects

    def restamp(self, datum: Datum, epoch: int, now: float) -> Effect:
        """Give an unchanged datum a new version; return the hint at it."""
        source_version = datum.version
        change = self._store.restamp(datum, epoch, now)
        self._replication.note(datum, change)
        return self._hint(datum, source_version, change)

    def beat(self, incarnation: Incarnation, unreconciled: Iterable[Incarnation]) -> Effect:
        """Return the beat: all sequences, and the sessions that this node is unreconciled with."""
        self.beat_count += 1
        beat = Beat(incarnation, tuple(self._sequences), tuple(unreconciled))
        return Broadcast(Link.CHANGES, BEAT_TOPIC, beat)

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
