"""What a primary sends its replicas, in which order, and which of them are in sync."""

from msgspec.structs import replace
from replica_fakes import (
    BUCKET,
    D1,
    D2,
    D3,
    D4,
    EPOCH,
    NAME,
    OTHER,
    OTHER_BUCKET,
    P1,
    P2,
    RING_EPOCH,
    A,
    B,
    FakeMember,
    Primary,
    change_of,
    digest_of,
    hello,
    make_membership,
    make_synced,
    names_on,
    published,
    to_replica,
    told_gone,
    unpublished,
    v,
    with_status,
)

from zreg.config import Limits
from zreg.effects import CLOSED, TIMED_OUT, Connect, Disconnect, Effect, Link, PeerLost, Send
from zreg.model import Publisher, Status
from zreg.primitives.ring import bucket_of
from zreg.wire.records.replication_messages import (
    BucketDigests,
    BucketsCompared,
    Replicate,
    Replicated,
)

ALONE = make_membership(D1)


def all_digests(primary: Primary, peer: str, ring_epoch: int = RING_EPOCH) -> Effect:
    """Return the digests of all buckets that a replica keeps copies of; all are empty."""
    digests = tuple((bucket, 0, 0) for bucket in sorted(primary.stream(peer).buckets))
    return to_replica(peer, BucketDigests(ring_epoch, digests))


def digest(bucket: int, *publishers: Publisher, peer: str = A) -> Effect:
    record = BucketDigests(RING_EPOCH, ((bucket, *digest_of(*publishers)),))
    return to_replica(peer, record)


def sent(number: int, *changes: object, peer: str = A) -> Effect:
    return to_replica(peer, Replicate(RING_EPOCH, number, changes))  # type: ignore[arg-type]


# --- who is connected -----------------------------------------------------------------------------


def test_a_primary_connects_to_the_replicas_of_its_buckets_and_to_no_others() -> None:
    primary = Primary()

    assert primary.started == [
        Connect(Link.DATA, A, "tcp://d2:1"),
        Connect(Link.DATA, B, "tcp://d3:1"),
    ]
    assert Primary(ALONE).started == []
    assert Primary(ALONE).replication.next_tick_at() is None


def test_a_primary_says_who_it_is_and_then_sends_all_digests() -> None:
    primary = Primary()

    assert primary.connect(A) == [to_replica(A, hello())]

    assert primary.end_turn() == [all_digests(primary, A)]
    assert primary.end_turn() == []


def test_a_connection_that_no_replica_is_behind_begins_no_stream() -> None:
    primary = Primary()

    assert primary.connect("d9@9") == []
    assert primary.lose("d9@9") is None
    assert primary.replication.begin(B) == [], "it is not connected yet"


def test_a_node_without_an_incarnation_begins_no_stream() -> None:
    primary = Primary()
    primary.placement.incarnation = None

    assert primary.connect(A) == []
    assert primary.end_turn() == []


def test_a_lost_connection_is_made_again_and_its_copies_are_not_in_sync() -> None:
    primary = make_synced()
    primary.replication.tick(0.0)
    primary.end_turn()

    assert primary.lose(A) == A
    assert primary.replication.awaited(BUCKET) == (B,)
    primary.write(published())
    (change,) = primary.end_turn()
    assert change == sent(1, (NAME, change_of(1, published())), peer=B)

    assert primary.replication.next_tick_at() == 0.05
    assert primary.replication.tick(0.05) == [Connect(Link.DATA, A, "tcp://d2:1")]
    assert primary.connect(A) == [to_replica(A, hello())]
    held = digest_of(published())
    (effect,) = primary.end_turn()
    assert isinstance(effect.message, BucketDigests)  # type: ignore[attr-defined]
    assert (BUCKET, *held) in effect.message.digests  # type: ignore[attr-defined]


def test_all_streams_begin_again_as_another_incarnation() -> None:
    primary = make_synced()
    primary.lose(B)
    primary.placement.incarnation = replace(D1, epoch=9)

    assert primary.replication.begin_all() == [to_replica(A, hello(replace(D1, epoch=9)))]

    assert primary.end_turn() == [all_digests(primary, A)]
    assert primary.replication.copy_counts() == (0, 2 * len(primary.stream(A).buckets))


# --- changes --------------------------------------------------------------------------------------


def test_the_changes_of_a_turn_are_one_record_before_the_digests() -> None:
    primary = make_synced()
    primary.write(published(P1))
    primary.write(published(P2))
    primary.write(published(P1), name=OTHER)
    primary.replication.request_digest(A, BUCKET)
    changes = (
        (NAME, change_of(1, published(P1), published(P2))),
        (OTHER, change_of(2, published(P1))),
    )

    assert primary.end_turn()[:3] == [
        sent(2, *changes),
        digest(BUCKET, published(P1), published(P2)),
        sent(2, *changes, peer=B),
    ]


def test_a_quiet_change_is_replicated_too() -> None:
    primary = make_synced()
    primary.write(published(version=2))
    primary.end_turn()

    primary.write(published(version=3))

    quiet = replace(change_of(2, published(version=3), source=v(1)), is_quiet=True)
    assert primary.end_turn() == [sent(2, (NAME, quiet)), sent(2, (NAME, quiet), peer=B)]


def test_a_change_goes_to_the_replicas_of_its_bucket_alone() -> None:
    primary = make_synced(make_membership(replica_count=2))
    (with_a,) = names_on("d1", "d2", replica_count=2)

    primary.write(published(), name=with_a)

    assert primary.end_turn() == [sent(1, (with_a, change_of(1, published())))]


def test_a_change_for_which_a_digest_is_due_only_for_other_buckets_names_these() -> None:
    primary = make_synced()
    primary.write(unpublished(P1))
    primary.end_turn()

    primary.replication.request_digest(A, OTHER_BUCKET)
    primary.replication.request_digest(A, bucket_of(names_on("d2")[0]))
    primary.replication.request_digest("d9@9", BUCKET)

    assert primary.end_turn() == [digest(OTHER_BUCKET)]


def test_all_copies_are_compared_each_second_also_those_without_changes() -> None:
    primary = make_synced()
    assert primary.replication.next_tick_at() == 0.0
    assert primary.replication.tick(3.0) == []
    assert primary.end_turn() == [all_digests(primary, A), all_digests(primary, B)]

    assert primary.replication.next_tick_at() == 4.0
    assert primary.replication.tick(3.9) == []
    assert primary.end_turn() == []
    primary.write(published())
    primary.end_turn()
    assert primary.replication.tick(4.0) == []

    for effect, empty in zip(
        primary.end_turn(), (all_digests(primary, A), all_digests(primary, B)), strict=True
    ):
        assert isinstance(effect, Send)
        assert isinstance(empty, Send)
        assert isinstance(effect.message, BucketDigests)
        assert isinstance(empty.message, BucketDigests)
        changed = set(effect.message.digests) - set(empty.message.digests)
        assert changed == {(BUCKET, *digest_of(published()))}


# --- acknowledgements and comparisons -------------------------------------------------------------


def test_a_number_that_was_not_sent_or_is_not_new_is_ignored() -> None:
    primary = make_synced()
    primary.write(published(P1))
    primary.write(published(P1), name=OTHER)
    primary.end_turn()
    on_replicated = primary.replication.on_replicated

    assert not on_replicated(A, Replicated(3))
    assert not on_replicated("d9@9", Replicated(1))
    assert on_replicated(A, Replicated(2))
    assert not on_replicated(A, Replicated(2))
    assert not on_replicated(A, Replicated(1))
    assert primary.stream(A).acked == 2
    assert primary.stream(B).acked == 0


def test_an_equal_copy_is_in_sync_until_it_differs() -> None:
    primary = make_synced()
    assert primary.replication.awaited(BUCKET) == (A, B)

    primary.compare(A, differing=[BUCKET])
    assert primary.replication.awaited(BUCKET) == (B,)
    assert primary.replication.awaited(OTHER_BUCKET) == (A, B)
    primary.compare(A)

    assert primary.replication.awaited(BUCKET) == (A, B)


def test_a_replica_is_in_sync_only_for_the_buckets_that_it_keeps_copies_of() -> None:
    primary = Primary(make_membership(replica_count=2))
    primary.connect(A, B)
    every = tuple(range(Limits.bucket_count))

    for peer in (A, B, "d9@9"):
        primary.replication.on_buckets_compared(peer, BucketsCompared(RING_EPOCH, every, ()), 0.0)

    both = [primary.stream(peer).buckets for peer in (A, B)]
    assert [primary.stream(peer).in_sync for peer in (A, B)] == both
    assert not both[0] & both[1]
    assert primary.replication.copy_counts() == (len(both[0] | both[1]),) * 2


def test_a_comparison_under_another_ring_is_ignored() -> None:
    primary = Primary()
    primary.connect(A)

    for ring_epoch in (RING_EPOCH - 1, RING_EPOCH + 1):
        compared = BucketsCompared(ring_epoch, (BUCKET,), ())
        primary.replication.on_buckets_compared(A, compared, 0.0)

    assert primary.replication.awaited(BUCKET) == ()


# --- rings ----------------------------------------------------------------------------------------


def test_under_a_new_ring_all_copies_are_compared_again() -> None:
    primary = make_synced()
    ring = make_membership(epoch=EPOCH + 1, ring_epoch=EPOCH + 1)
    primary.placement.follow(ring)

    assert primary.replication.follow(ring, has_new_ring=True) == []

    assert primary.replication.awaited(BUCKET) == ()
    assert primary.end_turn() == [
        all_digests(primary, A, EPOCH + 1),
        all_digests(primary, B, EPOCH + 1),
    ]


def test_a_membership_with_the_same_ring_leaves_the_replicas_in_sync() -> None:
    primary = make_synced()
    members = make_membership(epoch=EPOCH + 1)
    primary.placement.follow(members)

    assert primary.replication.follow(members, has_new_ring=False) == []

    assert primary.replication.awaited(BUCKET) == (A, B)
    assert primary.end_turn() == []


def test_a_replica_that_comes_and_one_that_goes_change_the_connections() -> None:
    primary = make_synced()
    ring = make_membership(D1, D3, D4, epoch=EPOCH + 1, ring_epoch=EPOCH + 1)
    primary.placement.follow(ring)

    assert primary.replication.follow(ring, has_new_ring=True) == [
        Disconnect(Link.DATA, A),
        Connect(Link.DATA, str(D4), "tcp://d4:1"),
    ]

    assert primary.replication.stream(A) is None
    assert not primary.replication.on_replicated(A, Replicated(1))
    assert primary.connect(str(D4)) == [to_replica(str(D4), hello())]


def test_a_replica_that_leaves_gets_changes_and_counts_no_more() -> None:
    primary = make_synced()
    ring = with_status(make_membership(epoch=EPOCH + 1, ring_epoch=EPOCH + 1), D2, Status.LEAVING)
    primary.placement.follow(ring)

    assert primary.replication.follow(ring, has_new_ring=True) == []
    primary.end_turn()
    primary.compare(A)
    primary.compare(B)
    primary.write(published())

    change = (NAME, change_of(1, published()))
    assert primary.end_turn() == [
        to_replica(peer, Replicate(EPOCH + 1, 1, (change,))) for peer in (A, B)
    ]
    assert primary.replication.awaited(BUCKET) == (B,)
    assert primary.replication.copy_counts() == (len(primary.stream(B).buckets),) * 2


def test_a_change_after_the_ring_took_the_last_replica_is_sent_to_none() -> None:
    primary = make_synced()
    ring = make_membership(D1, epoch=EPOCH + 1, ring_epoch=EPOCH + 1)
    primary.placement.follow(ring)
    primary.replication.follow(ring, has_new_ring=True)

    primary.store.put(NAME, published())
    primary.hints.commit(primary.store.dirty(), EPOCH + 1, 0.0)

    assert primary.replication.settle() == []
    assert primary.replication.number == 1


# --- reports --------------------------------------------------------------------------------------


def test_the_loss_of_a_replica_is_reported_once_to_each_leader() -> None:
    primary, member = make_synced(), FakeMember()
    lost = PeerLost(Link.DATA, A, CLOSED)
    primary.replication.on_peer_lost(lost, 0.0)

    told = []
    for leader in ("meta", "meta", None, "meta-2"):
        member.leader = leader
        told += primary.replication.report(lost, member.as_member)

    assert told == [told_gone(D2), told_gone(D2, "meta-2")]


def test_a_loss_that_could_not_be_reported_is_reported_later() -> None:
    primary, member = make_synced(), FakeMember()
    lost = PeerLost(Link.DATA, A, CLOSED)
    primary.replication.on_peer_lost(lost, 0.0)
    member.incarnation = None
    assert primary.replication.report(lost, member.as_member) == []
    member.incarnation = D1

    assert primary.replication.report(lost, member.as_member) == [told_gone(D2)]


def test_a_replica_that_is_silent_is_not_reported() -> None:
    primary, member = make_synced(), FakeMember()
    lost = PeerLost(Link.DATA, A, TIMED_OUT)
    primary.replication.on_peer_lost(lost, 0.0)

    assert primary.replication.report(lost, member.as_member) == []
