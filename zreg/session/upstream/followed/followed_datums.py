"""The datums that a session follows at data nodes, one mirror for each.

Hint, compare, fetch: the session applies a hint that fits, and fetches everything else, one request
per datum at a time. A gap in the sequences of a bucket shows a lost hint; then the session compares
the versions of that bucket. A fetch that fails is repeated, and leaves the copy as it is.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import BEAT_TOPIC, Effect, Link, Listen
from zreg.model import ZERO, DataInfoId, Publisher, Version
from zreg.primitives.mirror import Verdict
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.ring import bucket_of
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.followed.buckets import Buckets, VersionChecks
from zreg.session.upstream.followed.fetches import Fetches
from zreg.session.upstream.followed.followed_datum import FollowedDatum, IncompleteDatums
from zreg.session.upstream.followed.followed_logs import FollowedLogs
from zreg.session.upstream.registered.registrations import Registrations
from zreg.wire.records.common_messages import HopKind
from zreg.wire.records.data_messages import Beat, Changed, Changes, Snapshot, Versions

if TYPE_CHECKING:
    from random import Random

HEARD: Final = HopKind.HEARD
BEHIND: Final = HopKind.BEHIND
MISSED: Final = HopKind.MISSED
FETCHED: Final = HopKind.FETCHED


class FollowedDatums:
    """All followed datums, and what the messages of data nodes do to them.

    Invariants: a datum is followed at its primary only; messages of other data nodes about it are
    ignored. A publisher that this session answers for is never dropped from a mirror because a
    primary lacks it.
    """

    def __init__(
        self,
        config: Config,
        links: DataLinks,
        registrations: Registrations,
        *,
        hops: HopRings,
        rng: "Random",
        now: float,
    ) -> None:
        self._config = config
        self._links = links
        self._hops = hops.by_id
        self._registrations = registrations
        self._followed: dict[DataInfoId, FollowedDatum] = {}
        self._buckets = Buckets()
        self._checks = VersionChecks(config, links, self._buckets, now=now)
        self._fetches = Fetches(config, links, rng=rng)
        self._changed: dict[DataInfoId, FollowedDatum] = {}
        self._incomplete = IncompleteDatums()
        # The datums of before the ring changed that may have another primary now; None: all.
        self._unmoved: Iterator[FollowedDatum] | None = None
        self._logs = FollowedLogs(config)
        self.is_moving = False
        self._ring_changed_at = now
        # With how many sessions each data node has not compared yet, by its last beat.
        self._unreconciled: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many datums are followed."""
        return len(self._followed)

    @property
    def fetch_count(self) -> int:
        """How many fetches were sent."""
        return self._fetches.count

    @property
    def gap_count(self) -> int:
        """How many times lost hints were noticed."""
        return self._buckets.gap_count

    @property
    def compare_count(self) -> int:
        """How many times the versions of a bucket were compared."""
        return self._checks.compare_count

    def find(self, name: DataInfoId) -> FollowedDatum | None:
        """Return a followed datum."""
        return self._followed.get(name)

    def start(self) -> list[Effect]:
        """Listen to the beats of data nodes."""
        return [Listen(Link.CHANGES, BEAT_TOPIC)]

    def take_changed(self, now: float) -> list[FollowedDatum]:
        """Return the datums that moved since the last call, in the order in which they moved.

        What became visible is in their logs then, as one step.
        """
        changed = list(self._changed.values())
        self._changed.clear()
        for followed in changed:
            difference = followed.mirror.take_difference()
            if difference.version > difference.source_version:
                self._logs.append(followed, difference, now)
        return changed

    # --- which datums are followed ------------------------------------------------------------

    def add(self, name: DataInfoId, now: float) -> tuple[FollowedDatum, list[Effect]]:
        """Follow a datum: listen to its bucket first, then fetch."""
        followed = self._followed.get(name)
        if followed is not None:
            return followed, []
        followed = self._followed[name] = FollowedDatum(name, self._links.primary(name), now)
        self._incomplete.note(followed)
        return followed, self._buckets.add(followed) + self._fetches.fetch(followed)

    def remove(self, name: DataInfoId) -> list[Effect]:
        """Stop following a datum."""
        followed = self._followed.pop(name, None)
        if followed is None:
            return []
        self._fetches.forget(followed)
        self._incomplete.drop(followed)
        self._changed.pop(name, None)
        self._logs.forget(name)
        return self._buckets.remove(followed)

    def claim(self, followed: FollowedDatum, version: Version) -> None:
        """Note that a client claims to have seen a version: never fetch one below it."""
        self._fetches.claim(followed, version)

    def settle(self) -> list[Effect]:
        """Ask the primaries about what clients claim."""
        return self._fetches.settle()

    # --- hints, beats, comparisons ------------------------------------------------------------

    def on_changed(self, peer: str, changed: Changed, now: float) -> list[Effect]:
        """Take a hint: apply it if it fits, else fetch."""
        bucket = bucket_of(changed.data_info_id)
        gaps = self._buckets.note_hint(peer, bucket, changed.sequence)
        effects = self._checks.compare(peer, gaps) if gaps else []
        followed = self._followed.get(changed.data_info_id)
        if self.is_moving and followed is not None:
            effects += self._move(followed)
        if followed is None or followed.peer != peer:
            return effects
        before = followed.mirror.version
        verdict = followed.mirror.hint(
            changed.source_version, changed.version, changed.publishers, changed.removals
        )
        if verdict is Verdict.IGNORED:
            return effects
        if followed.mirror.version > before:
            self._changed[followed.name] = followed
        if verdict is Verdict.FETCH:
            effects += self._fetches.fetch(followed)
        kind = BEHIND if verdict is Verdict.FETCH else HEARD
        self._hops[followed.name].append((kind, now, b"", 0, changed.version, peer, 0))
        return effects

    def on_beat(self, peer: str, beat: Beat) -> list[Effect]:
        """Compare the buckets whose hints were lost; fetch what the data node may know by now.

        A fetch that waits for the end of its pause is not sent before, unless the beat has news:
        else a data node that refuses would get all of them with each beat.
        """
        effects = self._checks.compare(peer, self._buckets.note_beat(peer, beat.sequences))
        before = self._unreconciled.get(peer)
        self._unreconciled[peer] = count = len(beat.unreconciled)
        has_news = count < before if before is not None else count == 0
        if has_news or not count:
            for followed in self._incomplete.at(peer):
                if has_news or followed.retry_at is None:
                    effects += self._fetches.fetch(followed)
        return effects

    def on_versions(self, peer: str, versions: Versions, now: float) -> list[Effect]:
        """Fetch the datums that a comparison showed to be at another version."""
        effects: list[Effect] = []
        for name, version in versions.versions:
            followed = self._followed.get(name)
            if followed is not None and followed.peer == peer:
                if version > followed.mirror.version:
                    followed.mirror.expect(version)
                    self._hops[name].append((MISSED, now, b"", 0, version, peer, 0))
                effects += self._fetches.fetch(followed)
        return effects

    # --- answers to fetches -------------------------------------------------------------------

    def on_changes(self, followed: FollowedDatum, changes: Changes, now: float) -> list[Effect]:
        """Apply fetched changes."""
        self._fetches.end(followed)
        self._buckets.start_counting(followed, changes.sequence)
        before = followed.mirror.version
        for change in changes.changes:
            followed.mirror.hint(
                change.source_version, change.version, change.publishers, change.removals
            )
        return self._on_answered(followed, before, now)

    def on_snapshot(
        self, followed: FollowedDatum, snapshot: Snapshot, now: float
    ) -> tuple[list[Effect], list[bytes]]:
        """Gather the parts of a snapshot, and apply it when the last one is here.

        Return also the ids of the publishers that the primary lacks although this session answers
        for them: they stay in the mirror, and have to be sent to the primary again.
        """
        followed.parts.extend(snapshot.publishers)
        if snapshot.parts_left:
            return [], []
        publishers = followed.parts
        self._fetches.end(followed)
        self._buckets.start_counting(followed, snapshot.sequence)
        is_partial = snapshot.is_unreconciled
        if is_partial and not _takes_provisional(self._config, followed, publishers, now):
            self._fetches.retry(followed, now)
            return [], []
        lacking = [] if is_partial else _lacking(self._registrations, followed, publishers)
        before = followed.mirror.version
        followed.mirror.snapshot(snapshot.version, publishers + lacking, is_partial=is_partial)
        self._incomplete.note(followed)
        effects = self._on_answered(followed, before, now)
        return effects, [publisher.publisher_id for publisher in lacking]

    def doubt(self, followed: FollowedDatum) -> list[Effect]:
        """Fetch a datum as a whole: its copy has a publisher that was removed elsewhere."""
        followed.mirror.is_unsure = True
        self._incomplete.note(followed)
        return self._fetches.fetch(followed)

    def _on_answered(self, followed: FollowedDatum, before: Version, now: float) -> list[Effect]:
        """Ask again if more was hinted meanwhile; after a pause if the answer led nowhere."""
        self._changed[followed.name] = followed
        version = followed.mirror.version
        if version > before:
            hop = (FETCHED, now, b"", 0, version, followed.peer, int(before > ZERO))
            self._hops[followed.name].append(hop)
        self._fetches.settle_claim(followed)
        if not followed.wants_fetch:
            followed.retry_count = 0
            return []
        if followed.mirror.version > before:
            followed.retry_count = 0
            return self._fetches.fetch(followed)
        self._fetches.retry(followed, now)
        return []

    def on_refused(self, followed: FollowedDatum, now: float) -> None:
        """Ask again after a pause: the data node refused the fetch."""
        self._fetches.end(followed)
        self._fetches.retry(followed, now)

    # --- connections, ring, time --------------------------------------------------------------

    def on_node_up(self, peer: str) -> list[Effect]:
        """Ask a data node for what could not be asked before, and compare the rest."""
        return self._fetches.on_node_up(peer) + self._checks.compare_all(peer)

    def on_node_lost(self, peer: str) -> None:
        """Ask again over the next connection what was under way when this one broke."""
        self._fetches.on_node_lost(peer)

    def ask_again(self, peer: str) -> list[Effect]:
        """Ask again what is under way on a connection that stands: answers were dropped."""
        self._fetches.on_node_lost(peer)
        return self._fetches.on_node_up(peer)

    def on_ring(self, now: float) -> None:
        """Begin to follow each datum at its primary under the new ring: see `move_some`."""
        peers = set(self._links.peers())
        self._buckets.keep_only(peers)
        self._fetches.keep_only(peers)
        self._unreconciled = {p: n for p, n in self._unreconciled.items() if p in peers}
        self._unmoved = None
        self._ring_changed_at = now
        self.is_moving = True

    def move_some(self, count: int) -> list[Effect]:
        """Look at so many datums; has to be called until `is_moving` is False.

        A datum whose new primary hints at a change is moved first.
        """
        if self._unmoved is None:
            self._unmoved = iter(list(self._followed.values()))
            if len(self._followed) > count:
                # A list of so many takes long enough for one turn.
                return []
        effects: list[Effect] = []
        looked_at = 0
        for followed in islice(self._unmoved, count):
            looked_at += 1
            if self._followed.get(followed.name) is followed:
                effects += self._move(followed)
        self.is_moving = looked_at == count
        return effects

    def _move(self, followed: FollowedDatum) -> list[Effect]:
        """Follow a datum at its primary, if that is another data node now."""
        peer = self._links.primary(followed.name)
        if peer == followed.peer:
            return []
        self._fetches.end(followed)
        self._incomplete.drop(followed)
        followed.peer = peer
        self._incomplete.note(followed)
        followed.first_asked_at = self._ring_changed_at
        return self._fetches.fetch(followed)

    def tick(self, now: float) -> list[Effect]:
        """Ask again what has waited for its pause; once in a while, compare everything."""
        effects = self._fetches.tick(now)
        if now >= self._checks.sweep_at:
            effects += self._checks.sweep(now)
            self._logs.start_sweep()
        elif self._checks.is_pending:
            effects += self._checks.go_on()
        if self._logs.is_sweeping:
            self._logs.go_on(now)
        return effects

    def next_tick_at(self) -> float:
        """Return when the next sweep or the next pause of a fetch is due; 0 if work is left."""
        if self._checks.is_pending or self._logs.is_sweeping:
            return 0.0
        fetch = self._fetches.next_tick_at()
        return self._checks.sweep_at if fetch is None else min(self._checks.sweep_at, fetch)


def _lacking(
    registrations: Registrations, followed: FollowedDatum, publishers: Iterable[Publisher]
) -> list[Publisher]:
    """Return the mirror's publishers that a snapshot lacks and this session answers for."""
    lacking = followed.mirror.content.keys() - {each.publisher_id for each in publishers}
    content = followed.mirror.content.items()
    return [p for key, p in content if key in lacking and registrations.answers_for(key)]


def _takes_provisional(
    config: Config, followed: FollowedDatum, publishers: list[Publisher], now: float
) -> bool:
    """Return whether to take what an unreconciled data node has, which may lack publishers.

    A copy merges it at once, since merging drops nothing. Without a copy the session waits a
    little for more, and a long time before it believes that there is nothing.
    """
    if followed.mirror.is_known:
        return True
    waited = now - followed.first_asked_at
    if publishers:
        return waited >= config.provisional_seconds
    return waited >= config.provisional_empty_seconds
