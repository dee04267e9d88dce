"""What a session follows: one mirror per id that somebody here subscribes to.

Hint, compare, fetch. A hint that fits is applied; anything else is fetched, one request per id at
a time. Every hint carries the sequence of its bucket, and every beat of a data node the sequences
of all its buckets, so a lost hint shows as a gap, and then the versions of that bucket are
compared. What cannot be fetched is asked for again and changes nothing.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from zreg.config import Config, Limits
from zreg.effects import BEAT_TOPIC, Effect, Link, Listen, Send
from zreg.model import ZERO, DataInfoId, Publisher, Version
from zreg.primitives.mirror import Verdict
from zreg.primitives.ring import bucket_of
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.fetches import Fetches
from zreg.session.upstream.followed_datum import Buckets, FollowedDatum
from zreg.wire.data_messages import Beat, Changed, Changes, CompareVersions, Snapshot, Versions

if TYPE_CHECKING:
    from random import Random


class FollowedDatums:
    """All interests of a session, and the dialog that keeps them up to date."""

    def __init__(
        self,
        config: Config,
        links: DataLinks,
        *,
        rng: "Random",
        keeps: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._config = config
        self._links = links
        # Whether this session vouches for a publisher, and sees to it that the primary has it.
        self._keeps = keeps
        self._interests: dict[DataInfoId, FollowedDatum] = {}
        self._buckets = Buckets()
        self._unreconciled: dict[str, int] = {}
        self._fetching = Fetches(config, links, rng=rng)
        self._changed: dict[DataInfoId, FollowedDatum] = {}
        self._claims: dict[DataInfoId, FollowedDatum] = {}
        self._sweep_at = 0.0
        self.compare_count = 0

    def __len__(self) -> int:
        """Return how many ids are followed."""
        return len(self._interests)

    @property
    def fetch_count(self) -> int:
        """How often something was asked for."""
        return self._fetching.count

    @property
    def gap_count(self) -> int:
        """How often lost hints were noticed."""
        return self._buckets.gap_count

    def find(self, name: DataInfoId) -> FollowedDatum | None:
        """Return the interest in an id."""
        return self._interests.get(name)

    def start(self) -> list[Effect]:
        """Listen to the beats."""
        return [Listen(Link.CHANGES, BEAT_TOPIC)]

    def take_changed(self) -> list[FollowedDatum]:
        """Return what moved since this was called last, in the order in which it moved."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    # --- interest -----------------------------------------------------------------------------

    def add(self, name: DataInfoId, now: float) -> tuple[FollowedDatum, list[Effect]]:
        """Follow an id: first listen to its bucket, then fetch."""
        interest = self._interests.get(name)
        if interest is not None:
            return interest, []
        interest = self._interests[name] = FollowedDatum(name, self._links.primary(name), now)
        return interest, self._buckets.add(interest) + self._fetching.fetch(interest, now)

    def drop(self, name: DataInfoId) -> list[Effect]:
        """Follow an id no more."""
        interest = self._interests.pop(name, None)
        if interest is None:
            return []
        self._fetching.forget(interest)
        self._changed.pop(name, None)
        self._claims.pop(name, None)
        return self._buckets.remove(interest)

    def claim(self, interest: FollowedDatum, version: Version) -> None:
        """Hear from a client that it has seen a version: the primary is asked for none below it."""
        if version > max(interest.claimed, interest.mirror.highest_seen):
            interest.claimed = version
            self._claims[interest.name] = interest

    def settle(self, now: float) -> list[Effect]:
        """Ask about what clients claim."""
        effects: list[Effect] = []
        for interest in list(self._claims.values()):
            if interest.asked != interest.claimed:
                effects += self._fetching.fetch(interest, now)
        return effects

    # --- hints and beats ----------------------------------------------------------------------

    def hinted(self, peer: str, changed: Changed, now: float) -> list[Effect]:
        """Take a hint of the data node that owns the id; any other's is of the past."""
        effects: list[Effect] = []
        bucket = bucket_of(changed.data_info_id)
        if self._buckets.has_gap(peer, bucket, changed.sequence, is_hint=True):
            effects += self._compare(peer, bucket)
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
            effects += self._fetching.fetch(interest, now)
        return effects

    def beaten(self, peer: str, beat: Beat, now: float) -> list[Effect]:
        """Compare a beat's sequences with mine, and see whether the node knows more now."""
        effects: list[Effect] = []
        for bucket in self._buckets.gaps(peer, beat.sequences):
            effects += self._compare(peer, bucket)
        before = self._unreconciled.get(peer, 0)
        self._unreconciled[peer] = len(beat.unreconciled)
        if len(beat.unreconciled) < before or not beat.unreconciled:
            for interest in self._interests.values():
                is_open = interest.mirror.is_unsure or not interest.mirror.is_known
                if interest.peer == peer and is_open:
                    effects += self._fetching.fetch(interest, now)
        return effects

    def _compare(self, peer: str, bucket: int) -> list[Effect]:
        """Ask which of the versions that I have in a bucket are not the present ones."""
        versions = self._buckets.versions(peer, bucket)
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
                effects += self._fetching.fetch(interest, now)
        return effects

    # --- fetching -----------------------------------------------------------------------------

    def changes_came(self, peer: str, changes: Changes, now: float) -> list[Effect]:
        """Apply fetched changes."""
        interest = self._fetching.of_answer(peer, changes.request_id)
        if interest is None:
            return []
        self._fetching.end(interest)
        self._buckets.start_counting(interest, changes.sequence)
        before = interest.mirror.version
        for change in changes.changes:
            interest.mirror.hint(
                change.source_version, change.version, change.publishers, change.removals
            )
        return self._answered(interest, before, now)

    def snapshot_came(self, peer: str, snapshot: Snapshot, now: float) -> list[Effect]:
        """Gather a snapshot's parts and apply them when they are all here."""
        interest = self._fetching.of_answer(peer, snapshot.request_id)
        if interest is None:
            return []
        interest.parts.extend(snapshot.publishers)
        if snapshot.parts_left:
            self._fetching.goes_on(interest, now)
            return []
        parts = interest.parts
        self._fetching.end(interest)
        self._buckets.start_counting(interest, snapshot.sequence)
        if snapshot.is_unreconciled and not self._takes_provisional(interest, parts, now):
            self._fetching.retry(interest, now)
            return []
        mirror = interest.mirror
        before = mirror.version
        if not snapshot.is_unreconciled:
            named = {publisher.publisher_id for publisher in parts}
            own = [p for key, p in mirror.content.items() if key not in named and self._keeps(key)]
            parts += own
        mirror.snapshot(snapshot.version, parts, is_partial=snapshot.is_unreconciled)
        return self._answered(interest, before, now)

    def _answered(self, interest: FollowedDatum, before: Version, now: float) -> list[Effect]:
        """Ask again if more was hinted meanwhile; after a pause if the answer led nowhere."""
        self._changed[interest.name] = interest
        if interest.claimed == interest.asked:
            interest.claimed = interest.asked = ZERO
            self._claims.pop(interest.name, None)
        if not interest.wants_fetch:
            return []
        if interest.mirror.version > before:
            return self._fetching.fetch(interest, now)
        self._fetching.retry(interest, now)
        return []

    def _takes_provisional(
        self, interest: FollowedDatum, parts: Iterable[Publisher], now: float
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

    def refused(self, peer: str, request_id: int, now: float) -> bool:
        """Ask again in a while; return whether the request was one of mine."""
        interest = self._fetching.of_answer(peer, request_id)
        if interest is None:
            return False
        self._fetching.end(interest)
        self._fetching.retry(interest, now)
        return True

    # --- connections, ring, time --------------------------------------------------------------

    def node_up(self, peer: str, now: float) -> list[Effect]:
        """Ask a data node for what could not be asked before, and compare the rest."""
        effects = self._fetching.node_up(peer, now)
        for bucket in self._buckets:
            effects += self._compare(peer, bucket)
        return effects

    def node_lost(self, peer: str, now: float) -> None:
        """Ask again what was under way when the connection went."""
        self._fetching.node_lost(peer, now)

    def ring_changed(self, now: float) -> list[Effect]:
        """Follow each id at the node that owns it now."""
        peers = set(self._links.peers())
        self._buckets.keep_only(peers)
        self._unreconciled = {p: n for p, n in self._unreconciled.items() if p in peers}
        effects: list[Effect] = []
        for interest in self._interests.values():
            peer = self._links.primary(interest.name)
            if peer != interest.peer:
                self._fetching.end(interest)
                interest.peer = peer
                interest.first_asked_at = now
                effects += self._fetching.fetch(interest, now)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Ask again what is due, and compare everything once in a while."""
        effects = self._fetching.tick(now)
        if now >= self._sweep_at:
            if self._sweep_at:
                effects += self._sweep(now)
            self._sweep_at = now + self._config.sweep_seconds
        return effects

    def _sweep(self, now: float) -> list[Effect]:
        """Compare everything, and let old steps go."""
        effects: list[Effect] = []
        for peer in self._links.peers():
            for bucket in self._buckets:
                effects += self._compare(peer, bucket)
        for interest in self._interests.values():
            self.trim(interest, now)
        return effects

    def trim(self, interest: FollowedDatum, now: float) -> None:
        """Bound the steps that are kept of one id."""
        length = max(self._config.op_log_length_min, len(interest.mirror.content) // 4)
        interest.log.trim(now, length_max=length, seconds_max=self._config.op_log_seconds)

    def next_tick_at(self) -> float:
        """When something is due."""
        fetch = self._fetching.next_tick_at()
        return self._sweep_at if fetch is None else min(self._sweep_at, fetch)
