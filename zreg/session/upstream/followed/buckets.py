"""The buckets that a session listens to, lost hints, and the comparisons that repair a loss.

Each hint of a data node carries the sequence of its bucket, and each beat those of all buckets.
The first answer that comes after listening to a bucket says where counting begins. From then on, a
gap between sequences means that hints were lost, and the session compares its versions of that
bucket with those of the data node. It compares all buckets of a data node when the connection to it
stands again, and everything once in a while.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, repeat
from operator import ne
from typing import Final

from zreg.config import Config
from zreg.effects import Effect, Link, Listen, Send, Unlisten
from zreg.model import DataInfoId, Version
from zreg.primitives.ring import bucket_topic
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.wire.parts import comparison_records

# How many datums one turn compares: the next turn goes on. It takes 5 to 20 ms.
_SLICE: Final = 2000


class Buckets:
    """Followed datums by bucket, and the last sequence by data node and bucket.

    Invariant: the session listens to exactly the buckets that hold a followed datum, and has
    sequences of no others.
    """

    def __init__(self) -> None:
        self._followed: dict[int, dict[DataInfoId, FollowedDatum]] = {}
        self._sequences: dict[int, dict[str, int]] = {}
        # The last beat of each data node, unless counting has begun in another bucket since.
        self._beats: dict[str, Sequence[int]] = {}
        self.gap_count = 0

    def __iter__(self) -> Iterator[int]:
        """Go through the buckets that the session listens to."""
        return iter(self._followed)

    def add(self, followed: FollowedDatum) -> list[Effect]:
        """Add a datum; listen to its bucket if it is the first one there."""
        datums = self._followed.setdefault(followed.bucket, {})
        effects: list[Effect] = []
        if not datums:
            effects.append(Listen(Link.CHANGES, bucket_topic(followed.bucket)))
        datums[followed.name] = followed
        return effects

    def remove(self, followed: FollowedDatum) -> list[Effect]:
        """Remove a datum; stop listening to its bucket if it was the last one there."""
        bucket = followed.bucket
        datums = self._followed[bucket]
        del datums[followed.name]
        if datums:
            return []
        del self._followed[bucket]
        self._sequences.pop(bucket, None)
        return [Unlisten(Link.CHANGES, bucket_topic(bucket))]

    def count(self, bucket: int) -> int:
        """Return how many followed datums a bucket has."""
        return len(self._followed.get(bucket, ()))

    def versions(self, peer: str, bucket: int) -> list[tuple[DataInfoId, Version]]:
        """Return the known datums of a bucket whose primary is `peer`, with their versions."""
        return [
            (followed.name, followed.mirror.version)
            for followed in self._followed.get(bucket, {}).values()
            if followed.peer == peer and followed.mirror.is_known
        ]

    def start_counting(self, followed: FollowedDatum, sequence: int) -> None:
        """Take the sequence of an answer as the beginning, unless counting has begun already."""
        by_peer = self._sequences.setdefault(followed.bucket, {})
        if followed.peer not in by_peer:
            by_peer[followed.peer] = sequence
            self._beats.pop(followed.peer, None)

    def note_hint(self, peer: str, bucket: int, sequence: int) -> Sequence[int]:
        """Note the sequence of a hint; return the bucket if hints before it were lost, else ()."""
        by_peer = self._sequences.get(bucket)
        last = None if by_peer is None else by_peer.get(peer)
        if by_peer is None or last is None or sequence <= last:
            return ()
        by_peer[peer] = sequence
        # The hint itself raised the sequence by one.
        if sequence == last + 1:
            return ()
        self.gap_count += 1
        return (bucket,)

    def note_beat(self, peer: str, sequences: Sequence[int]) -> list[int]:
        """Note the sequences of a beat; return the buckets of which hints were lost.

        A beat may hold fewer sequences than there are buckets: what a peer sends must not raise.
        Only sequences that differ from those of the last beat show something new.
        """
        former = self._beats.get(peer, ())
        self._beats[peer] = sequences
        gaps: list[int] = []
        is_new = map(ne, sequences, chain(former, repeat(-1)))
        for bucket in compress(range(len(sequences)), is_new):
            by_peer = self._sequences.get(bucket)
            if by_peer is not None and sequences[bucket] > by_peer.get(peer, math.inf):
                by_peer[peer] = sequences[bucket]
                gaps.append(bucket)
        self.gap_count += len(gaps)
        return gaps

    def keep_only(self, peers: Iterable[str]) -> None:
        """Forget the sequences of data nodes that are no longer members."""
        wanted = set(peers)
        self._beats = {peer: beat for peer, beat in self._beats.items() if peer in wanted}
        for bucket, by_peer in self._sequences.items():
            self._sequences[bucket] = {p: s for p, s in by_peer.items() if p in wanted}


class VersionChecks:
    """Sends comparisons of versions; `FollowedDatums` acts on the answers (`Versions`).

    Comparisons are sent over several turns, each with about `_SLICE` datums.
    """

    def __init__(self, config: Config, links: DataLinks, buckets: Buckets, *, now: float) -> None:
        self._config = config
        self._links = links
        self._buckets = buckets
        # When everything is compared next.
        self.sweep_at = now + config.sweep_seconds
        self.compare_count = 0
        # The data nodes and buckets that are still to be compared.
        self._left: dict[tuple[str, int], None] = {}

    @property
    def is_pending(self) -> bool:
        """Whether `go_on` has to be called: comparisons are left."""
        return bool(self._left)

    def compare(self, peer: str, buckets: Iterable[int]) -> list[Effect]:
        """Ask a data node which of the versions here, in these buckets, are no longer current."""
        self._left.update(dict.fromkeys((peer, bucket) for bucket in buckets))
        return self.go_on()

    def compare_all(self, peer: str) -> list[Effect]:
        """Ask a data node about all buckets."""
        return self.compare(peer, self._buckets)

    def go_on(self) -> list[Effect]:
        """Send what is left, as far as one turn allows."""
        effects: list[Effect] = []
        done: list[tuple[str, int]] = []
        count = 0
        for peer, bucket in self._left:
            if count >= _SLICE:
                break
            done.append((peer, bucket))
            if self._links.is_up(peer):
                count += self._buckets.count(bucket)
                effects += self._compare_bucket(peer, bucket)
        for key in done:
            del self._left[key]
        return effects

    def _compare_bucket(self, peer: str, bucket: int) -> list[Effect]:
        versions = self._buckets.versions(peer, bucket)
        if not versions:
            return []
        self.compare_count += 1
        return [Send(Link.DATA, peer, compare) for compare in comparison_records(bucket, versions)]

    def sweep(self, now: float) -> list[Effect]:
        """Compare everything with all data nodes, and set the time of the next sweep."""
        self.sweep_at = now + self._config.sweep_seconds
        for peer in self._links.peers():
            self._left.update(dict.fromkeys((peer, bucket) for bucket in self._buckets))
        return self.go_on()
