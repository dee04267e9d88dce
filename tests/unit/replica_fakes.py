"""What surrounds the copies of a bucket in unit tests: three data nodes, both sides of a stream."""

from collections.abc import Sequence
from random import Random
from typing import cast

from msgspec.structs import replace
from strategies import make_publisher

from zreg.config import Config
from zreg.data.copies.copies import Copies
from zreg.data.copies.copy_answers import CopyAnswers
from zreg.data.followers.hints import Hints
from zreg.data.placement import Placement
from zreg.data.refusals import Refusals
from zreg.data.replication.acceptances import Acceptances
from zreg.data.replication.replica_stream import ReplicaStream
from zreg.data.replication.replication import Replication
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.effects import INFO, Effect, Link, Log, Peer, PeerLost, PeerUp, Send
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.data_connections import DataConnections
from zreg.model import (
    ZERO,
    Cause,
    Change,
    DataInfoId,
    Incarnation,
    Member,
    Membership,
    Publisher,
    Removal,
    RingParameters,
    Role,
    Status,
    Version,
    data_info_id,
)
from zreg.primitives.digest import DigestSum
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.ring import bucket_of, ring_of
from zreg.wire.messages import Message
from zreg.wire.records.data_messages import NodeHello
from zreg.wire.records.membership_messages import ReportGone
from zreg.wire.records.replication_messages import (
    BucketsCompared,
    Replicate,
    Replicated,
)

CONFIG = Config(op_log_length_min=4)
EPOCH, RING_EPOCH = 7, 5
D1, D2, D3, D4 = (Incarnation(epoch, f"d{epoch}") for epoch in (1, 2, 3, 4))
S1, S2 = Incarnation(3, "s1"), Incarnation(4, "s2")
P1, P2, P3 = (bytes([number]) * 16 for number in (1, 2, 3))
# The replicas' names at the primary `d1`, connections of sessions, the primary's name at a replica.
A, B = str(D2), str(D3)
ONE, TWO = b"peer of s1", b"peer of s2"
PRIMARY = b"peer of d1"


class NoJitter(Random):
    """Draws the upper end, so that a pause is the present bound of its backoff."""

    def random(self) -> float:
        return 1.0


def data_member(incarnation: Incarnation, status: Status = Status.WORKING) -> Member:
    """Return a data node."""
    address = f"tcp://{incarnation.node_id}:1"
    changes_address = f"tcp://{incarnation.node_id}:2"
    return Member(
        incarnation.node_id, Role.DATA, incarnation.epoch, status, address, changes_address
    )


def make_membership(
    *data: Incarnation,
    epoch: int = EPOCH,
    ring_epoch: int = RING_EPOCH,
    replica_count: int = 3,
    sessions: Sequence[Incarnation] = (S1, S2),
) -> Membership:
    """Return a membership of these data nodes, by default of three."""
    ring = RingParameters(virtual_node_count=8, replica_count=replica_count)
    members = [
        *(Member(s.node_id, Role.SESSION, s.epoch, Status.WORKING, "tcp://s:1") for s in sessions),
        *(data_member(node) for node in data or (D1, D2, D3)),
    ]
    return Membership(b"A" * 16, epoch, ring_epoch, ring, tuple(members))


def names_on(*node_ids: str, count: int = 1, replica_count: int = 3) -> list[DataInfoId]:
    """Return names of different buckets that are placed on these nodes first, in this order."""
    ring = ring_of(make_membership(replica_count=replica_count))
    found: dict[int, DataInfoId] = {}
    for number in range(2000):
        name = data_info_id(f"service-{number}")
        if ring.placement(name)[: len(node_ids)] == node_ids:
            found.setdefault(bucket_of(name), name)
    return list(found.values())[:count]


def names_in_bucket(name: DataInfoId, count: int) -> list[DataInfoId]:
    """Return names in the bucket of this one, in order."""
    bucket, found, number = bucket_of(name), [name], 0
    while len(found) < count:
        other = data_info_id(f"more-{number}")
        if bucket_of(other) == bucket:
            found.append(other)
        number += 1
    return sorted(found)


# `d1` is the primary, and the two replicas are `d2` and `d3`.
NAME, OTHER = names_on("d1", "d2", count=2)
BUCKET, OTHER_BUCKET = bucket_of(NAME), bucket_of(OTHER)
# `d2` is the primary.
(FOREIGN,) = names_on("d2")


def to_replica(peer: str, message: Message) -> Effect:
    """Return what a primary sends."""
    return Send(Link.DATA, peer, message)


def to_peer(peer: Peer, message: Message) -> Effect:
    """Return what a data node answers on a connection that was made to it."""
    return Send(Link.REQUESTS, peer, message)


def fetched(epoch: int) -> Effect:
    """Return what `FakeMember` does to fetch a membership."""
    return Log(INFO, "test.membership.fetched", {"epoch": epoch})


def told_gone(gone: Incarnation, leader: str = "meta") -> Effect:
    """Return what a data node tells the leader of meta about another one."""
    return Send(Link.META, leader, ReportGone(D1, gone, make_membership().cluster_id))


class FakeMember:
    """Stands for the node as a member of the cluster: only notes which epochs it has to fetch."""

    def __init__(self, epoch: int = EPOCH) -> None:
        self.epoch = epoch
        self.leader: str | None = "meta"
        self.incarnation: Incarnation | None = D1
        self.membership = make_membership(D1, D2, D3)

    def see_epoch(self, epoch: int) -> list[Effect]:
        return [fetched(epoch)] if epoch > self.epoch else []

    @property
    def as_member(self) -> ClusterMember:
        return cast("ClusterMember", self)


def placed(node: Incarnation, membership: Membership) -> tuple[Placement, DatumStore]:
    """Return placement and store of a data node in a membership."""
    placement = Placement(node.node_id)
    placement.start_over(node, membership)
    placement.follow(membership)
    store = DatumStore(CONFIG)
    store.buckets.follow(placement.roles(), membership.epoch)
    return placement, store


class Primary:
    """The primary's side of the data node `d1`."""

    def __init__(self, membership: Membership | None = None, *, node: Incarnation = D1) -> None:
        membership = make_membership() if membership is None else membership
        self.placement, self.store = placed(node, membership)
        connections = DataConnections(CONFIG, hears_changes=False, rng=NoJitter())
        buckets = self.store.buckets
        self.replication = Replication(CONFIG, buckets, self.placement, connections)
        self.hops = HopRings()
        self.acceptances = Acceptances(CONFIG, self.replication, self.hops)
        self.hints = Hints(self.store, self.replication, self.hops)
        self.answers = CopyAnswers(CONFIG, self.store, self.hints, self.placement, self.replication)
        self.epoch = membership.epoch
        self.started = self.replication.follow(membership, has_new_ring=True)

    def stream(self, peer: str) -> ReplicaStream:
        stream = self.replication.stream(peer)
        assert stream is not None
        return stream

    def connect(self, *peers: str) -> list[Effect]:
        """Let connections to replicas stand; return what is sent at once."""
        return [
            effect
            for peer in peers
            for effect in self.replication.on_peer_up(PeerUp(Link.DATA, peer))
        ]

    def lose(self, peer: str, now: float = 0.0, reason: str = "closed") -> str | None:
        """Lose the connection to a replica, as `ReplicaHandler` does."""
        lost = self.replication.on_peer_lost(PeerLost(Link.DATA, peer, reason), now)
        self.acceptances.on_acked(peer, 0.0)
        return lost

    def compare(self, peer: str, *, differing: Sequence[int] = (), now: float = 0.0) -> None:
        """Let a replica say which copies differ; all others are equal."""
        equal = tuple(sorted(self.stream(peer).buckets - set(differing)))
        compared = BucketsCompared(self.placement.ring_epoch, equal, tuple(differing))
        self.replication.on_buckets_compared(peer, compared, now)

    def ack(self, peer: str, number: int) -> None:
        """Let a replica acknowledge, as `ReplicaHandler` does."""
        if self.replication.on_replicated(peer, Replicated(number)):
            self.acceptances.on_acked(peer, 0.0)

    def write(
        self,
        publisher: Publisher | Removal | None = None,
        *,
        name: DataInfoId = NAME,
        request_id: int = 1,
        peer: bytes = ONE,
    ) -> None:
        """Merge a write of a session; None: it changes nothing."""
        if isinstance(publisher, Publisher):
            self.store.put(name, publisher)
        elif publisher is not None:
            self.store.remove(name, publisher, 0.0)
        self.acceptances.add(peer, request_id, name)

    def end_turn(self, now: float = 0.0) -> list[Effect]:
        """Commit; return what goes to replicas and sessions, without the hints."""
        self.hints.commit(self.store.dirty(), self.epoch, now)
        return self.replication.settle() + self.acceptances.settle(now)


def make_synced(membership: Membership | None = None) -> Primary:
    """Return a primary whose replicas are connected and in sync."""
    primary = Primary(membership)
    peers = [peer for peer in (A, B) if primary.replication.stream(peer)]
    primary.connect(*peers)
    primary.end_turn()
    for peer in peers:
        primary.compare(peer)
    return primary


class Replica:
    """A replica's side of the data node `d2`."""

    def __init__(self, membership: Membership | None = None, *, node: Incarnation = D2) -> None:
        membership = make_membership() if membership is None else membership
        self.placement, self.store = placed(node, membership)
        self.member = FakeMember(membership.epoch)
        self.refusals = Refusals()
        self.refusals.epoch = membership.epoch
        self.copies = Copies(
            CONFIG, self.store, self.placement, self.member.as_member, self.refusals
        )
        self.repairs = self.copies.repairs
        self.repairs.on_roles(0.0, has_new_ring=True)

    def hold(self, *content: Publisher, name: DataInfoId = NAME, counter: int = 1) -> Datum:
        """Give the node a copy with these publishers, sure at version 7.counter."""
        change = Change(ZERO, v(counter), content, ())
        self.store.apply(name, change, 0.0)
        return self.datum(name)

    def bury(self, removal: Removal, *, name: DataInfoId = NAME, now: float = 0.0) -> None:
        """Give a copy a tombstone."""
        datum = self.store.find(name) or self.store.buckets.add(name)
        self.store.merge_copy(datum, (), [(removal, CONFIG.tombstone_seconds)], now)

    def datum(self, name: DataInfoId = NAME) -> Datum:
        datum = self.store.find(name)
        assert datum is not None
        return datum

    def held(self, name: DataInfoId = NAME) -> list[Publisher]:
        datum = self.store.find(name)
        return [] if datum is None else list(datum.publishers.values())


def make_replica(membership: Membership | None = None) -> Replica:
    """Return a replica that knows the connection `PRIMARY` of its primary `d1`."""
    replica = Replica(membership)
    replica.copies.on_node_hello(PRIMARY, D1)
    return replica


def v(counter: int, epoch: int = EPOCH) -> Version:
    """Return a version."""
    return Version(epoch, counter)


def digest_of(*publishers: Publisher) -> tuple[int, int]:
    """Return count and digest of publishers."""
    digest = DigestSum()
    for publisher in publishers:
        digest.add(publisher.publisher_id, publisher.version)
    return digest.count, digest.value


def replicate(number: int, *changes: tuple[DataInfoId, Change]) -> Replicate:
    """Return changes of a primary under the present ring."""
    return Replicate(RING_EPOCH, number, changes)


def change_of(
    counter: int, *what: Publisher | Removal, source: Version = ZERO, epoch: int = EPOCH
) -> Change:
    """Return a change that leads to a version."""
    publishers = tuple(each for each in what if isinstance(each, Publisher))
    removals = tuple(each for each in what if isinstance(each, Removal))
    return Change(source, v(counter, epoch), publishers, removals)


def unpublished(key: bytes, version: int = 1) -> Removal:
    """Return the removal of a publisher."""
    return Removal(key, version, Cause.UNPUBLISHED)


def evicted(publisher: Publisher) -> Removal:
    """Return the eviction of a publisher."""
    return Removal(publisher.publisher_id, publisher.version, Cause.EVICTED, publisher.session)


def published(key: bytes = P1, version: int = 1, session: Incarnation = S1) -> Publisher:
    """Return a publisher of a session."""
    return make_publisher(key, version=version, session=session)


def hello(node: Incarnation = D1) -> NodeHello:
    """Return what a primary says first."""
    return NodeHello(node, Role.DATA)


def with_status(membership: Membership, node: Incarnation, status: Status) -> Membership:
    """Return the membership with another status of one node."""
    members = tuple(
        replace(member, status=status) if member.incarnation == node else member
        for member in membership.members
    )
    return replace(membership, members=members)
