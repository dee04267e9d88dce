"""When the last changes of each id passed through this node, in memory, for people who ask.

Every node notes all changes, since it is not known before which one will be slow. So a hop costs
one tuple and one `append`: hot paths append to `by_id` directly, and nothing is sorted, matched or
sent before a command asks. All times are those of the turn in which the hop happened.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from zreg.model import ZERO, Version
from zreg.wire.records.common_messages import HOPS_MAX, FetchHops, Hop, HopKind, HopsReply

# Of one id, and ids of one node: together at most some 8 MB, and less than 1 MB if ids change
# seldom.
HOPS_PER_ID_MAX: Final = 48
IDS_MAX: Final = 1024
# Acknowledgements of one replica; each stands for a whole turn. More replicas than any node has.
ACKS_PER_REPLICA_MAX: Final = 512
REPLICAS_MAX: Final = 64
# A replica that acknowledges later was away, and got the change from a comparison.
_ACK_SECONDS_MAX: Final = 10.0

_MICROSECONDS: Final = 1_000_000
_OF_CHANGES: Final = frozenset((HopKind.HINTED, HopKind.COMMITTED))


class PushRound(msgspec.Struct, gc=False):
    """The pushes that bring the subscribers of an id to one version, and their acknowledgements.

    First snapshots do not count: a client that subscribes later, or starts anew, does not wait for
    a change.
    """

    version: Version
    first_at: float = 0.0
    last_at: float = 0.0
    count: int = 0
    confirmed_at: float = 0.0
    confirmed_count: int = 0


# Kind, time, publisher, its version, version of the datum, peer, and a number or the pushes. The
# number is that of the change in the stream to the replicas (HINTED, COMMITTED, ACCEPTED); with
# ACCEPTED the copies are in place of the publisher's version. A publisher of HINTED or COMMITTED
# was merged in the same turn. Else the number is the count of the `Hop`.
Noted = tuple[HopKind, float, bytes, int, Version, str, int | PushRound]
# The number up to which a replica has acknowledged, and when.
Ack = tuple[int, float]

Entry = TypeVar("Entry", Noted, Ack)


class BoundedRings(dict[str, "deque[Entry]"], Generic[Entry]):
    """A ring of the last entries of each key; a key that is new gets a ring by itself.

    Invariants: there are at most `keys_max` rings with `per_key_max` entries each. The rings that
    go are those to which nothing was added for the longest time.
    """

    def __init__(self, keys_max: int, per_key_max: int) -> None:
        super().__init__()
        self._keys_max = keys_max
        self._per_key_max = per_key_max

    def __missing__(self, key: str) -> "deque[Entry]":
        """Make the ring of a new key; drop the oldest eighth of all rings if there are too many."""
        if len(self) >= self._keys_max:
            last_at = {each: ring[-1][1] if ring else 0.0 for each, ring in self.items()}
            for each in sorted(last_at, key=last_at.__getitem__)[: self._keys_max // 8 + 1]:
                del self[each]
        ring: deque[Entry] = deque(maxlen=self._per_key_max)
        self[key] = ring
        return ring


def _no_replicas(_data_info_id: str) -> Collection[str]:
    """Return the replicas of an id at a node that is no data node."""
    return ()


class HopRings:
    """The hops that a node has noted, by data info id, and what its replicas acknowledged.

    `replicas_of` returns the peer names of the nodes that get the changes of an id from this one.
    """

    def __init__(self, replicas_of: Callable[[str], Collection[str]] = _no_replicas) -> None:
        self._replicas_of = replicas_of
        self.by_id: BoundedRings[Noted] = BoundedRings(IDS_MAX, HOPS_PER_ID_MAX)
        self.acks: BoundedRings[Ack] = BoundedRings(REPLICAS_MAX, ACKS_PER_REPLICA_MAX)

    def answer(self, request: FetchHops, node_id: str, now: float) -> HopsReply:
        """Return what this node has noted of an id, the oldest first."""
        name = request.data_info_id
        replicas = self._replicas_of(name)
        # The last change so far, and its number in the stream to the replicas.
        changes: list[tuple[int, Version]] = []
        hops: list[Hop] = []
        noted: Iterable[Noted] = self.by_id.get(name, ())
        for kind, at, publisher_id, publisher_version, version, peer, last in noted:
            ago = _ago(at, now)
            if isinstance(last, PushRound):
                hops += _told_round(last, now)
            elif kind in _OF_CHANGES:
                changes.append((last, version))
                if publisher_id:
                    merged = HopKind.MERGED
                    hops.append(Hop(merged, ago, ZERO, publisher_id, publisher_version))
                hops.append(Hop(kind, ago, version))
                hops += self._replicated(replicas, last, at, version, now)
            elif kind is HopKind.ACCEPTED:
                accepted = _version_at(changes, last)
                hops.append(Hop(kind, ago, accepted, count=publisher_version))
            else:
                hops.append(Hop(kind, ago, version, publisher_id, publisher_version, peer, last))
        return HopsReply(request.request_id, node_id, tuple(hops[-HOPS_MAX:]))

    def _replicated(
        self, replicas: Collection[str], number: int, at: float, version: Version, now: float
    ) -> list[Hop]:
        """Return when each replica acknowledged a change, as far as that is known still."""
        hops: list[Hop] = []
        for peer in replicas:
            acks: Sequence[Ack] = self.acks.get(peer, ())
            if len(acks) == ACKS_PER_REPLICA_MAX and acks[0][1] > at:
                continue  # the acknowledgements of that time are forgotten
            acked_at = next((when for acked, when in acks if acked >= number), None)
            if acked_at is not None and at <= acked_at <= at + _ACK_SECONDS_MAX:
                hops.append(Hop(HopKind.REPLICATED, _ago(acked_at, now), version, peer=peer))
        return hops


def _told_round(pushes: PushRound, now: float) -> list[Hop]:
    """Return the hops of pushes; none if all subscribers still wait for room in their windows."""
    if not pushes.count:
        return []
    version = pushes.version
    hops = [Hop(HopKind.PUSHED, _ago(pushes.first_at, now), version, count=pushes.count)]
    if pushes.last_at > pushes.first_at:
        ago = _ago(pushes.last_at, now)
        hops.append(Hop(HopKind.PUSHED_LAST, ago, version, count=pushes.count))
    if pushes.confirmed_count:
        ago = _ago(pushes.confirmed_at, now)
        confirmed = pushes.confirmed_count
        hops.append(Hop(HopKind.CONFIRMED, ago, version, count=confirmed, total=pushes.count))
    return hops


def _version_at(changes: Sequence[tuple[int, Version]], number: int) -> Version:
    """Return the version of the last change up to a number; ZERO if it is forgotten."""
    return next((version for each, version in reversed(changes) if each <= number), ZERO)


def _ago(at: float, now: float) -> int:
    return max(0, round((now - at) * _MICROSECONDS))
