"""How a data node routes what its replicas and primaries send, and what it does when they go."""

from typing import NamedTuple

from replica_fakes import (
    BUCKET,
    CONFIG,
    D1,
    D2,
    EPOCH,
    NAME,
    ONE,
    P2,
    PRIMARY,
    RING_EPOCH,
    S1,
    A,
    B,
    FakeMember,
    NoJitter,
    change_of,
    digest_of,
    fetched,
    hello,
    make_membership,
    names_on,
    placed,
    published,
    replicate,
    to_peer,
    to_replica,
    told_gone,
)

from zreg.data.copies.replica_handler import ReplicaHandler
from zreg.data.refusals import Refusals
from zreg.data.store.datum_store import DatumStore
from zreg.effects import (
    CLOSED,
    INFO,
    Connect,
    Disconnect,
    Effect,
    Link,
    Log,
    PeerLost,
    PeerSlow,
    PeerUp,
    Stop,
)
from zreg.errors import NotPrimaryError, UnknownNodeError
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.ring import bucket_of
from zreg.wire.records.common_messages import Accepted, Pong, Refused
from zreg.wire.records.data_messages import NodeHello
from zreg.wire.records.replication_messages import (
    BucketDigests,
    BucketsCompared,
    DatumCopy,
    DatumDigests,
    FetchBucket,
    FetchCopies,
    OfferCopy,
    Replicated,
)

(OF_D2,) = names_on("d2", "d1")


class Node(NamedTuple):
    """The data node `d1`."""

    handler: ReplicaHandler
    store: DatumStore
    member: FakeMember


def make_node() -> Node:
    """Return a node with both replicas connected and in sync."""
    membership = make_membership()
    placement, store = placed(D1, membership)
    refusals, member = Refusals(), FakeMember()
    refusals.epoch = EPOCH
    handler = ReplicaHandler(
        CONFIG,
        store,
        placement,
        member.as_member,
        refusals,
        hops=HopRings(),
        rng=NoJitter(),
    )
    assert handler.next_tick_at() is None
    assert handler.follow(membership, 0.0, has_new_ring=True) == [
        Connect(Link.DATA, A, "tcp://d2:1"),
        Connect(Link.DATA, B, "tcp://d3:1"),
        Log(INFO, "data.took_over", {"buckets": 214, "owned": 214, "ring_epoch": 5}),
    ]
    for peer in (A, B):
        assert handler.receive_event(PeerUp(Link.DATA, peer), 0.0) == [to_replica(peer, hello())]
    handler.settle(0.0)
    for peer in (A, B):
        stream = handler.replication.stream(peer)
        assert stream is not None
        compared = BucketsCompared(RING_EPOCH, tuple(stream.buckets), ())
        assert handler.receive_from_replica(peer, compared, 0.0) == ()
    return Node(handler, store, member)


def write(node: Node) -> list[Effect]:
    """Write, request 1; return what is sent."""
    node.store.put(NAME, published())
    node.handler.acceptances.add(ONE, 1, NAME)
    node.handler.hints.commit(node.store.dirty(), EPOCH, 0.0)
    return node.handler.settle(0.0)


CHANGE = replicate(1, (NAME, change_of(1, published())))
SENT = [to_replica(A, CHANGE), to_replica(B, CHANGE)]


def accepted(copies: int) -> Effect:
    return to_peer(ONE, Accepted((1,), copies))


def test_a_write_is_accepted_after_the_acknowledgements_of_its_replicas() -> None:
    node = make_node()
    assert write(node) == SENT
    assert node.handler.statistics()["waiting_for_replicas"] == 1

    for peer in (A, A, B):
        assert node.handler.receive_from_replica(peer, Replicated(1), 0.1) == ()

    assert node.handler.settle(0.1) == [accepted(3)]


def test_a_replica_that_forgot_this_node_is_told_again_and_not_waited_for() -> None:
    node = make_node()
    write(node)
    node.handler.receive_from_replica(B, Replicated(1), 0.1)

    refused = Refused(0, UnknownNodeError.code, "say NodeHello first", EPOCH)
    assert node.handler.receive_from_replica(A, refused, 0.1) == [to_replica(A, hello())]

    effects = node.handler.settle(0.1)
    assert effects[1:] == [accepted(2)]
    assert isinstance(effects[0].message, BucketDigests)  # type: ignore[attr-defined]


def test_a_refusal_by_a_replica_of_a_newer_ring_has_the_membership_fetched() -> None:
    node = make_node()

    refused = Refused(0, NotPrimaryError.code, "", EPOCH + 2)
    assert node.handler.receive_from_replica(A, refused, 0.0) == [fetched(EPOCH + 2)]
    refused = Refused(0, NotPrimaryError.code, "", EPOCH)
    assert node.handler.receive_from_replica(A, refused, 0.0) == []


def test_what_no_replica_sends_is_ignored() -> None:
    node = make_node()

    assert node.handler.receive_from_replica(A, Pong(), 0.0) == ()


def test_a_replica_repairs_its_copy_and_offers_what_the_primary_lacks() -> None:
    node = make_node()
    write(node)
    receive = node.handler.receive_from_replica

    assert receive(A, FetchBucket(4, BUCKET), 0.0) == [
        to_replica(A, DatumDigests(4, ((NAME, *digest_of(published())),)))
    ]
    datum = node.store.find(NAME)
    assert datum is not None
    copy = DatumCopy(5, NAME, datum.version, datum.revision, (published(),), (), 0)
    assert receive(A, FetchCopies(5, (NAME,)), 0.0) == [to_replica(A, copy)]
    assert receive(A, OfferCopy(NAME, (published(P2),), ()), 0.0) == ()

    assert node.store.dirty() == [datum]


def test_a_node_takes_the_changes_and_answers_of_its_primaries() -> None:
    node, bucket = make_node(), bucket_of(OF_D2)
    receive = node.handler.receive_from_primary
    assert receive(PRIMARY, hello(D2), 0.0) == ()
    assert node.handler.copies.of_peer(PRIMARY) == D2

    change = replicate(3, (OF_D2, change_of(1, published())))
    assert receive(PRIMARY, change, 0.0) == []
    assert node.handler.settle(0.0) == [to_peer(PRIMARY, Replicated(3))]
    digests = BucketDigests(RING_EPOCH, ((bucket, 2, 2),))
    assert receive(PRIMARY, digests, 0.0) == [
        to_peer(PRIMARY, BucketsCompared(RING_EPOCH, (), (bucket,))),
        to_peer(PRIMARY, FetchBucket(1, bucket)),
    ]
    assert receive(PRIMARY, DatumDigests(1, ((OF_D2, 2, 2),)), 0.0) == [
        to_peer(PRIMARY, FetchCopies(2, (OF_D2,)))
    ]
    assert node.handler.statistics()["repairs"] == 1
    assert receive(PRIMARY, Refused(9, 3), 0.0) == []
    both = (published(), published(P2))
    answer = DatumCopy(2, OF_D2, change_of(2).version, change_of(2).version, both, (), 0)
    assert receive(PRIMARY, answer, 0.0) == []

    datum = node.store.find(OF_D2)
    assert datum is not None
    assert tuple(datum.publishers.values()) == both
    assert node.handler.statistics()["copies_fetched"] == 1


def test_what_sessions_send_is_left_to_others() -> None:
    node = make_node()

    assert node.handler.receive_from_primary(ONE, NodeHello(S1), 0.0) is None
    assert node.handler.receive_event(Stop(), 0.0) is None
    assert node.handler.receive_event(PeerLost(Link.REQUESTS, ONE), 0.0) is None


def test_a_lost_replica_is_reported_and_writes_do_not_wait_for_it() -> None:
    node = make_node()
    write(node)
    node.handler.receive_from_replica(B, Replicated(1), 0.1)

    lost = PeerLost(Link.DATA, A, CLOSED)
    assert node.handler.receive_event(lost, 0.1) == [told_gone(D2)]

    assert node.handler.settle(0.1) == [accepted(2)]
    unknown = PeerLost(Link.DATA, "d9@9", CLOSED)
    assert node.handler.receive_event(unknown, 0.1) == []


def test_a_replica_that_does_not_read_is_disconnected_and_not_reported() -> None:
    node = make_node()
    write(node)
    node.handler.receive_from_replica(B, Replicated(1), 0.1)

    assert node.handler.receive_event(PeerSlow(Link.DATA, A), 0.1) == [Disconnect(Link.DATA, A)]

    assert node.handler.settle(0.1) == [accepted(2)]
    node.handler.tick(0.0)
    assert node.handler.next_tick_at() == 0.1 + CONFIG.reconnect_seconds_min
    assert node.handler.tick(0.2) == [Connect(Link.DATA, A, "tcp://d2:1")]


def test_a_new_ring_ends_repairs_and_a_new_membership_alone_does_not() -> None:
    node, bucket = make_node(), bucket_of(OF_D2)
    node.handler.receive_from_primary(PRIMARY, hello(D2), 0.0)
    node.handler.copies.repairs.begin(PRIMARY, [bucket], 0.0)
    membership = make_membership(epoch=EPOCH + 1)

    node.handler.on_roles(0.0, has_new_ring=False)
    assert node.handler.follow(membership, 0.0, has_new_ring=False) == []
    assert len(node.handler.copies.repairs) == 1
    node.handler.on_roles(0.0, has_new_ring=True)
    assert node.handler.follow(membership, 0.0, has_new_ring=True) == []

    assert len(node.handler.copies.repairs) == 0
    assert node.handler.statistics()["copies_in_sync"] == 0


def test_the_earliest_of_all_that_is_due_is_next() -> None:
    node = make_node()
    node.handler.tick(0.5)
    assert node.handler.next_tick_at() == 1.5
    node.handler.copies.repairs.begin(PRIMARY, [bucket_of(OF_D2)], 0.5)
    assert node.handler.next_tick_at() == 1.5

    write(node)

    assert node.handler.next_tick_at() == 0.25
