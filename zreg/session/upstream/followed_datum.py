"""What a session is interested in: ids, the buckets that they are in, and what was heard of those.

Every hint of a data node carries the sequence of its bucket, and every beat those of all buckets.
The first answer that came after listening to a bucket says where counting begins; from then on a
gap means that hints were lost.
"""

from collections.abc import Iterable, Iterator, Sequence

from zreg.effects import Effect, Link, Listen, Unlisten
from zreg.model import ZERO, DataInfoId, Publisher, Version
from zreg.primitives.mirror import PUBLISHERS, Difference, Mirror
from zreg.primitives.op_log import OpLog
from zreg.primitives.ring import bucket_of, bucket_topic

Step = Difference[bytes, Publisher]


class FollowedDatum:
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


class Buckets:
    """The buckets that are listened to, and their sequences by data node."""

    def __init__(self) -> None:
        self._interests: dict[int, dict[DataInfoId, FollowedDatum]] = {}
        self._sequences: dict[tuple[str, int], int] = {}
        self.gap_count = 0

    def __iter__(self) -> Iterator[int]:
        """Go through the buckets that are listened to."""
        return iter(self._interests)

    def add(self, interest: FollowedDatum) -> list[Effect]:
        """Listen to the bucket of an interest."""
        interests = self._interests.setdefault(interest.bucket, {})
        effects: list[Effect] = []
        if not interests:
            effects.append(Listen(Link.CHANGES, bucket_topic(interest.bucket)))
        interests[interest.name] = interest
        return effects

    def remove(self, interest: FollowedDatum) -> list[Effect]:
        """Listen no more when the last interest in a bucket goes."""
        bucket = interest.bucket
        interests = self._interests[bucket]
        del interests[interest.name]
        if interests:
            return []
        del self._interests[bucket]
        for key in [key for key in self._sequences if key[1] == bucket]:
            del self._sequences[key]
        return [Unlisten(Link.CHANGES, bucket_topic(bucket))]

    def versions(self, peer: str, bucket: int) -> list[tuple[DataInfoId, Version]]:
        """Return what is known of a bucket at one data node, with the versions."""
        return [
            (interest.name, interest.mirror.version)
            for interest in self._interests.get(bucket, {}).values()
            if interest.peer == peer and interest.mirror.is_known
        ]

    def start_counting(self, interest: FollowedDatum, sequence: int) -> None:
        """Take the first answer that came after listening as the beginning."""
        self._sequences.setdefault((interest.peer, interest.bucket), sequence)

    def has_gap(self, peer: str, bucket: int, sequence: int, *, is_hint: bool) -> bool:
        """Note a sequence; return whether hints before it were lost.

        A hint raises the sequence itself; a beat only says where it is.
        """
        last = self._sequences.get((peer, bucket))
        if last is None or sequence <= last:
            return False
        self._sequences[peer, bucket] = sequence
        if is_hint and sequence == last + 1:
            return False
        self.gap_count += 1
        return True

    def gaps(self, peer: str, sequences: Sequence[int]) -> list[int]:
        """Return the buckets of which a beat shows that hints were lost.

        A beat may be shorter than it should be: what a peer sends must not raise.
        """
        heard = [bucket for bucket in self._interests if bucket < len(sequences)]
        return [b for b in heard if self.has_gap(peer, b, sequences[b], is_hint=False)]

    def keep_only(self, peers: Iterable[str]) -> None:
        """Forget what data nodes said that are no more."""
        wanted = set(peers)
        self._sequences = {key: s for key, s in self._sequences.items() if key[0] in wanted}
