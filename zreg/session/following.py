"""What a session follows: one mirror per id that somebody here subscribes to.

Hint, compare, fetch. A hint that fits is applied; anything else is fetched, one request per id at
a time. Every hint carries the sequence of its bucket, and every beat of a data node the sequences
of all its buckets, so a lost hint shows as a gap, and then the versions of that bucket are
compared. What cannot be fetched is asked for again and changes nothing.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from zreg.config import Config, Limits
from zreg.effects import BEAT_TOPIC, Effect, Link, Listen, Send, Unlisten
from zreg.mirror import PUBLISHERS, Difference, Mirror, Verdict
from zreg.model import ZERO, DataInfoId, Publisher, Version
from zreg.oplog import OpLog
from zreg.ring import bucket_of, bucket_topic
from zreg.session.data_links import DataLinks
from zreg.wire.messages import (
    Beat,
    Changed,
    Changes,
    CompareVersions,
    FetchChanges,
    Snapshot,
    Versions,
)

if TYPE_CHECKING:
    from random import Random

_RETRY_SECONDS: Final = 0.1

Step = Difference[bytes, Publisher]


class Interest:
    """One followed id."""

    __slots__ = (
        "asked",
        "bucket",
        "claimed",
        "first_asked_at",
        "log",
        "mirror",
        "name",
        "parts",
        "peer",
        "request_id",
        "retry_at",
        "sent_at",
    )

    def __init__(self, name: DataInfoId, peer: str, now: float) -> None:
        self.name = name
        self.bucket = bucket_of(name)
        self.mirror: Mirror[bytes, Publisher] = Mirror(PUBLISHERS)
        # What became visible, step by step, for those who follow this session.
        self.log: OpLog[Step] = OpLog()
        # The highest version that a client says it has seen; only a primary can judge that.
        self.claimed = ZERO
        # The claim that the request under way, or the last one, has named.
        self.asked = ZERO
        # The data node that owns it, the request under way there, and what came of it.
        self.peer = peer
        self.request_id = 0
        self.sent_at = 0.0
        self.parts: list[Publisher] = []
        self.retry_at: float | None = None
        self.first_asked_at = now

    @property
    def wants_fetch(self) -> bool:
        """Return whether there is something to ask for."""
        return not self.mirror.is_known or self.mirror.is_behind


class Following:
    """All interests of a session, and the dialog that keeps them up to date."""

    def __init__(self, config: Config, links: DataLinks, *, rng: "Random") -> None:
        self._config = config
        self._links = links
        self._rng = rng
        self._interests: dict[DataInfoId, Interest] = {}
        self._by_bucket: dict[int, dict[DataInfoId, Interest]] = {}
        self._sequences: dict[tuple[str, int], int] = {}
        self._unreconciled: dict[str, int] = {}
        self._fetches: dict[int, Interest] = {}
        self._waiting: dict[DataInfoId, Interest] = {}
        self._changed: dict[DataInfoId, Interest] = {}
        self._claims: dict[DataInfoId, Interest] = {}
        self._sweep_at = 0.0
        self.gap_count = 0
        self.fetch_count = 0
        self.compare_count = 0

    def __len__(self) -> int:
        """Return how many ids are followed."""
        return len(self._interests)

    def find(self, name: DataInfoId) -> Interest | None:
        """Return the interest in an id."""
        return self._interests.get(name)

    def start(self) -> list[Effect]:
        """Listen to the beats."""
        return [Listen(Link.CHANGES, BEAT_TOPIC)]

    def take_changed(self) -> list[Interest]:
        """Return what moved since this was called last, in the order in which it moved."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    # --- interest -----------------------------------------------------------------------------

    def add(self, name: DataInfoId, now: float) -> tuple[Interest, list[Effect]]:
        """Follow an id: first listen to its bucket, then fetch."""
        interest = self._interests.get(name)
        if interest is not None:
            return interest, []
        interest = self._interests[name] = Interest(name, self._links.primary(name), now)
        effects: list[Effect] = []
        names = self._by_bucket.setdefault(interest.bucket, {})
        if not names:
            effects.append(Listen(Link.CHANGES, bucket_topic(interest.bucket)))
        names[name] = interest
        return interest, effects + self._fetch(interest, now)

    def drop(self, name: DataInfoId) -> list[Effect]:
        """Follow an id no more."""
        interest = self._interests.pop(name, None)
        if interest is None:
            return []
        self._forget_request(interest)
        self._waiting.pop(name, None)
        self._changed.pop(name, None)
        self._claims.pop(name, None)
        names = self._by_bucket[interest.bucket]
        del names[name]
        if names:
            return []
        del self._by_bucket[interest.bucket]
        for key in [key for key in self._sequences if key[1] == interest.bucket]:
            del self._sequences[key]
        return [Unlisten(Link.CHANGES, bucket_topic(interest.bucket))]

    def claim(self, interest: Interest, version: Version) -> None:
        """Hear from a client that it has seen a version: the primary is asked for none below it."""
        if version > max(interest.claimed, interest.mirror.highest_seen):
            interest.claimed = version
            self._claims[interest.name] = interest

    def settle(self, now: float) -> list[Effect]:
        """Ask about what clients claim."""
        effects: list[Effect] = []
        for interest in list(self._claims.values()):
            if interest.asked != interest.claimed:
                effects += self._fetch(interest, now)
        return effects

    # --- hints and beats ----------------------------------------------------------------------

    def hinted(self, peer: str, changed: Changed, now: float) -> list[Effect]:
        """Take a hint of the data node that owns the id; any other's is of the past."""
        effects = self._hear_sequence(peer, bucket_of(changed.data_info_id), changed.sequence)
        interest = self._interests.get(changed.data_info_id)
        if interest is None or interest.peer != peer:
            return effects
        before = interest.mirror.version
        verdict = interest.mirror.hint(
            changed.source_version, changed.version, changed.publishers, changed.removals
        )
        if interest.mirror.version > before:
            self._changed[interest.name] = interest
        if verdict is Verdict.FETCH:
            effects += self._fetch(interest, now)
        return effects

    def _hear_sequence(self, peer: str, bucket: int, sequence: int) -> list[Effect]:
        """Note the sequence of a hint; a gap before it means that hints were lost."""
        last = self._sequences.get((peer, bucket))
        if last is None or sequence <= last:
            return []
        self._sequences[peer, bucket] = sequence
        if sequence == last + 1:
            return []
        self.gap_count += 1
        return self._compare(peer, bucket)

    def beaten(self, peer: str, beat: Beat, now: float) -> list[Effect]:
        """Compare a beat's sequences with mine, and see whether the node knows more now."""
        effects: list[Effect] = []
        for bucket in self._by_bucket:
            last = self._sequences.get((peer, bucket))
            # A beat may be shorter than it should be: what a peer sends must not raise.
            sequence = beat.sequences[bucket] if bucket < len(beat.sequences) else 0
            if last is not None and sequence > last:
                self._sequences[peer, bucket] = sequence
                self.gap_count += 1
                effects += self._compare(peer, bucket)
        before = self._unreconciled.get(peer, 0)
        self._unreconciled[peer] = len(beat.unreconciled)
        if len(beat.unreconciled) < before or not beat.unreconciled:
            for interest in self._interests.values():
                is_open = interest.mirror.is_unsure or not interest.mirror.is_known
                if interest.peer == peer and is_open:
                    effects += self._fetch(interest, now)
        return effects

    def _compare(self, peer: str, bucket: int) -> list[Effect]:
        """Ask which of the versions that I have in a bucket are not the present ones."""
        versions = [
            (interest.name, interest.mirror.version)
            for interest in self._by_bucket.get(bucket, {}).values()
            if interest.peer == peer and interest.mirror.is_known
        ]
        if not versions or not self._links.is_up(peer):
            return []
        size = Limits.ids_per_record_max
        self.compare_count += 1
        return [
            Send(Link.DATA, peer, CompareVersions(0, bucket, tuple(versions[at : at + size])))
            for at in range(0, len(versions), size)
        ]

    def compared(self, peer: str, versions: Versions, now: float) -> list[Effect]:
        """Fetch what a comparison showed to be different."""
        effects: list[Effect] = []
        for name, version in versions.versions:
            interest = self._interests.get(name)
            if interest is not None and interest.peer == peer:
                if version > interest.mirror.version:
                    interest.mirror.expect(version)
                effects += self._fetch(interest, now)
        return effects

    # --- fetching -----------------------------------------------------------------------------

    def _fetch(self, interest: Interest, now: float) -> list[Effect]:
        """Ask for what came after my version, unless that was asked already."""
        if interest.request_id:
            return []
        if not self._links.is_up(interest.peer):
            interest.retry_at = None
            self._waiting[interest.name] = interest
            return []
        self._waiting.pop(interest.name, None)
        interest.retry_at = None
        self.fetch_count += 1
        interest.request_id = request_id = self._links.next_request_id()
        interest.sent_at = now
        interest.parts = []
        self._fetches[request_id] = interest
        mirror = interest.mirror
        interest.asked = interest.claimed
        fetch = FetchChanges(
            request_id,
            interest.name,
            mirror.version if mirror.is_known else ZERO,
            max(mirror.highest_seen, interest.asked),
            mirror.is_unsure,
        )
        return [Send(Link.DATA, interest.peer, fetch)]

    def _forget_request(self, interest: Interest) -> None:
        self._fetches.pop(interest.request_id, None)
        interest.request_id = 0
        interest.parts = []

    def _retry(self, interest: Interest, now: float) -> None:
        interest.retry_at = now + _RETRY_SECONDS * (1 + self._rng.random())
        self._waiting[interest.name] = interest

    def _of_answer(self, peer: str, request_id: int) -> Interest | None:
        interest = self._fetches.get(request_id)
        return interest if interest is not None and interest.peer == peer else None

    def changes_came(self, peer: str, changes: Changes, now: float) -> list[Effect]:
        """Apply fetched changes."""
        interest = self._of_answer(peer, changes.request_id)
        if interest is None:
            return []
        self._forget_request(interest)
        self._hear_first_sequence(interest, changes.sequence)
        before = interest.mirror.version
        for change in changes.changes:
            interest.mirror.hint(
                change.source_version, change.version, change.publishers, change.removals
            )
        return self._answered(interest, before, now)

    def snapshot_came(self, peer: str, snapshot: Snapshot, now: float) -> list[Effect]:
        """Gather a snapshot's parts and apply them when they are all here."""
        interest = self._of_answer(peer, snapshot.request_id)
        if interest is None:
            return []
        interest.parts.extend(snapshot.publishers)
        if snapshot.parts_left:
            # It is answering: to the end of the queue of those whose patience is counted.
            interest.sent_at = now
            self._fetches[snapshot.request_id] = self._fetches.pop(snapshot.request_id)
            return []
        parts = interest.parts
        self._forget_request(interest)
        self._hear_first_sequence(interest, snapshot.sequence)
        if snapshot.is_unreconciled and not self._takes_provisional(interest, parts, now):
            self._retry(interest, now)
            return []
        before = interest.mirror.version
        interest.mirror.snapshot(snapshot.version, parts, is_partial=snapshot.is_unreconciled)
        return self._answered(interest, before, now)

    def _answered(self, interest: Interest, before: Version, now: float) -> list[Effect]:
        """Ask again if more was hinted meanwhile; after a pause if the answer led nowhere."""
        self._changed[interest.name] = interest
        if interest.claimed == interest.asked:
            interest.claimed = interest.asked = ZERO
            self._claims.pop(interest.name, None)
        if not interest.wants_fetch:
            return []
        if interest.mirror.version > before:
            return self._fetch(interest, now)
        self._retry(interest, now)
        return []

    def _takes_provisional(
        self, interest: Interest, parts: Iterable[Publisher], now: float
    ) -> bool:
        """Return whether to go on with what an unreconciled node has.

        Whoever has a copy merges at once, since that loses nothing; the others wait a little for
        more, and long before they believe that there is nothing.
        """
        if interest.mirror.is_known:
            return True
        waited = now - interest.first_asked_at
        if parts:
            return waited >= self._config.provisional_seconds
        return waited >= self._config.provisional_empty_seconds

    def _hear_first_sequence(self, interest: Interest, sequence: int) -> None:
        """Count hints of a bucket from the first answer that came after listening to it."""
        self._sequences.setdefault((interest.peer, interest.bucket), sequence)

    def refused(self, peer: str, request_id: int, now: float) -> bool:
        """Ask again in a while; return whether the request was one of mine."""
        interest = self._of_answer(peer, request_id)
        if interest is None:
            return False
        self._forget_request(interest)
        self._retry(interest, now)
        return True

    # --- connections, ring, time --------------------------------------------------------------

    def node_up(self, peer: str, now: float) -> list[Effect]:
        """Ask a data node for what could not be asked before, and compare the rest."""
        effects: list[Effect] = []
        for interest in list(self._waiting.values()):
            if interest.peer == peer:
                effects += self._fetch(interest, now)
        for bucket in self._by_bucket:
            effects += self._compare(peer, bucket)
        return effects

    def node_lost(self, peer: str, now: float) -> None:
        """Ask again what was under way when the connection went."""
        for interest in list(self._fetches.values()):
            if interest.peer == peer:
                self._forget_request(interest)
                self._retry(interest, now)

    def ring_changed(self, now: float) -> list[Effect]:
        """Follow each id at the node that owns it now."""
        peers = set(self._links.peers())
        self._sequences = {key: s for key, s in self._sequences.items() if key[0] in peers}
        self._unreconciled = {p: n for p, n in self._unreconciled.items() if p in peers}
        effects: list[Effect] = []
        for interest in self._interests.values():
            peer = self._links.primary(interest.name)
            if peer != interest.peer:
                self._forget_request(interest)
                interest.peer = peer
                interest.first_asked_at = now
                effects += self._fetch(interest, now)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Ask again what is due, and compare everything once in a while."""
        effects: list[Effect] = []
        oldest = now - self._config.request_retry_seconds
        for interest in list(self._fetches.values()):
            if interest.sent_at > oldest:
                break
            self._forget_request(interest)
            effects += self._fetch(interest, now)
        for interest in list(self._waiting.values()):
            if interest.retry_at is not None and now >= interest.retry_at:
                effects += self._fetch(interest, now)
        if now >= self._sweep_at:
            if self._sweep_at:
                effects += self._sweep(now)
            self._sweep_at = now + self._config.sweep_seconds
        return effects

    def _sweep(self, now: float) -> list[Effect]:
        """Compare everything, and let old steps go."""
        effects: list[Effect] = []
        for peer in self._links.peers():
            for bucket in self._by_bucket:
                effects += self._compare(peer, bucket)
        for interest in self._interests.values():
            self.trim(interest, now)
        return effects

    def trim(self, interest: Interest, now: float) -> None:
        """Bound the steps that are kept of one id."""
        length = max(self._config.op_log_length_min, len(interest.mirror.content) // 4)
        interest.log.trim(now, length_max=length, seconds_max=self._config.op_log_seconds)

    def next_tick_at(self) -> float:
        """When something is due."""
        due = self._sweep_at
        for interest in self._fetches.values():
            due = min(due, interest.sent_at + self._config.request_retry_seconds)
            break
        for interest in self._waiting.values():
            if interest.retry_at is not None:
                due = min(due, interest.retry_at)
        return due
