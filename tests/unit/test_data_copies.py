"""What a replica takes of its primaries, and what it tells them about its copies."""

from msgspec.structs import replace
from replica_fakes import (
    BUCKET,
    CONFIG,
    D1,
    D2,
    D3,
    EPOCH,
    FOREIGN,
    NAME,
    OTHER,
    OTHER_BUCKET,
    P1,
    P2,
    P3,
    PRIMARY,
    RING_EPOCH,
    change_of,
    digest_of,
    evicted,
    fetched,
    make_membership,
    make_replica,
    names_on,
    published,
    replicate,
    to_peer,
    unpublished,
    v,
)

from zreg.effects import Effect
from zreg.errors import NotPrimaryError, UnknownNodeError
from zreg.model import Incarnation
from zreg.primitives.ring import bucket_of
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.replication_messages import (
    BucketDigests,
    BucketsCompared,
    FetchBucket,
    Replicated,
)

STRANGER = b"peer of an unknown node"
NOT_PRIMARY = "this data node is not the primary of that id: compare epochs, then ask the primary"
ONE_REMOVED = (OTHER, change_of(1, unpublished(P1)))
ONE_CHANGE = replicate(4, (NAME, change_of(1, published())))


def not_primary(peer: bytes = PRIMARY) -> Effect:
    return to_peer(peer, Refused(0, NotPrimaryError.code, NOT_PRIMARY, EPOCH))


def say_hello(peer: bytes = STRANGER) -> Effect:
    return to_peer(peer, Refused(0, UnknownNodeError.code, "say NodeHello first", EPOCH))


def compared(*equal: int, differing: tuple[int, ...] = ()) -> Effect:
    return to_peer(PRIMARY, BucketsCompared(RING_EPOCH, equal, differing))


def bucket_digests(*digests: tuple[int, int, int], ring_epoch: int = RING_EPOCH) -> BucketDigests:
    return BucketDigests(ring_epoch, digests)


# --- changes --------------------------------------------------------------------------------------


def test_a_stranger_has_to_say_who_it_is() -> None:
    replica = make_replica()

    assert replica.copies.on_replicate(STRANGER, ONE_CHANGE, 0.0) == [say_hello()]
    assert replica.copies.on_bucket_digests(STRANGER, bucket_digests(), 0.0) == [say_hello()]

    assert replica.held() == []
    assert replica.copies.settle() == []


def test_changes_are_taken_and_acknowledged_once_a_turn_with_the_last_number() -> None:
    replica = make_replica()
    more = replicate(6, (NAME, change_of(2, published(P2), source=v(1))))

    assert replica.copies.on_replicate(PRIMARY, ONE_CHANGE, 0.0) == []
    assert replica.copies.on_replicate(PRIMARY, more, 0.0) == []

    assert replica.copies.settle() == [to_peer(PRIMARY, Replicated(6))]
    assert replica.copies.settle() == []
    assert replica.held() == [published(P1), published(P2)]
    assert replica.datum().revision == v(2)
    assert not replica.datum().is_unsure


def test_a_record_with_more_to_come_is_not_acknowledged() -> None:
    replica = make_replica()

    first = replace(ONE_CHANGE, number=0)
    assert replica.copies.on_replicate(PRIMARY, first, 0.0) == []

    assert replica.copies.settle() == []
    assert replica.held() == [published()]


def test_a_record_without_changes_is_acknowledged() -> None:
    replica = make_replica()

    assert replica.copies.on_replicate(PRIMARY, replicate(9), 0.0) == []

    assert replica.copies.settle() == [to_peer(PRIMARY, Replicated(9))]


def test_a_removal_is_remembered_for_as_long_as_its_primary_still_does() -> None:
    replica = make_replica()
    replica.hold(published(P3))
    withdrawn, gone = (unpublished(P1), unpublished(P2)), evicted(published(P3))
    changes = ((NAME, change_of(2, gone, *withdrawn, source=v(1))), ONE_REMOVED)

    record = replace(replicate(4, *changes), tombstone_seconds=(5.0, 86_400.0, 7.0))
    replica.copies.on_replicate(PRIMARY, record, 10.0)

    ends = {key: at for key, (_, at) in replica.datum().tombstones.items()}
    assert ends == {P1: 15.0, P2: 10.0 + CONFIG.tombstone_seconds}
    assert replica.datum(OTHER).tombstones[P1][1] == 17.0


def test_a_removal_without_seconds_is_remembered_for_as_long_as_a_new_one() -> None:
    replica = make_replica()

    replica.copies.on_replicate(PRIMARY, replicate(4, ONE_REMOVED), 10.0)

    assert replica.datum(OTHER).tombstones[P1][1] == 10.0 + CONFIG.tombstone_seconds


def test_the_seconds_of_a_change_that_is_not_kept_are_those_of_no_other_change() -> None:
    """A primary of a newer ring sends what this node keeps no copy of yet."""
    replica = make_replica()
    foreign = (FOREIGN, change_of(1, unpublished(P2)))

    record = replace(replicate(4, foreign, ONE_REMOVED), tombstone_seconds=(5.0, 7.0))
    replica.copies.on_replicate(PRIMARY, replace(record, ring_epoch=RING_EPOCH + 1), 10.0)

    assert replica.store.find(FOREIGN) is None
    assert replica.datum(OTHER).tombstones[P1][1] == 17.0


def test_a_primary_of_a_former_ring_is_refused() -> None:
    replica = make_replica()

    older = replace(ONE_CHANGE, ring_epoch=RING_EPOCH - 1)
    assert replica.copies.on_replicate(PRIMARY, older, 0.0) == [not_primary()]
    older_digests = bucket_digests(ring_epoch=RING_EPOCH - 1)
    assert replica.copies.on_bucket_digests(PRIMARY, older_digests, 0.0) == [not_primary()]

    assert replica.held() == []
    assert replica.copies.settle() == []


def test_changes_under_a_newer_ring_are_merged_and_not_acknowledged() -> None:
    replica = make_replica()
    newer = replace(
        ONE_CHANGE,
        ring_epoch=EPOCH + 2,
        changes=(*ONE_CHANGE.changes, (FOREIGN, change_of(2, published()))),
    )

    assert replica.copies.on_replicate(PRIMARY, newer, 0.0) == [fetched(EPOCH + 2)]

    assert replica.copies.settle() == []
    assert replica.held() == [published()]
    assert replica.held(FOREIGN) == [], "this node is the primary of it in its own membership"


def test_digests_of_a_newer_ring_are_not_answered() -> None:
    replica = make_replica()
    newer = bucket_digests((BUCKET, 0, 0), ring_epoch=EPOCH + 2)

    assert replica.copies.on_bucket_digests(PRIMARY, newer, 0.0) == [fetched(EPOCH + 2)]


def test_a_node_that_is_not_the_primary_is_refused() -> None:
    replica = make_replica()
    replica.copies.on_node_hello(b"peer of d3", D3)

    assert replica.copies.on_replicate(b"peer of d3", ONE_CHANGE, 0.0) == [
        not_primary(b"peer of d3")
    ]

    assert replica.held() == []
    assert replica.copies.settle() == []


def test_a_former_incarnation_of_the_primary_is_refused() -> None:
    replica = make_replica()
    replica.copies.on_node_hello(STRANGER, Incarnation(0, "d1"))

    assert replica.copies.on_replicate(STRANGER, ONE_CHANGE, 0.0) == [not_primary(STRANGER)]


def test_a_node_that_lost_its_incarnation_takes_nothing() -> None:
    replica = make_replica()
    replica.placement.incarnation = None

    assert replica.copies.on_replicate(PRIMARY, ONE_CHANGE, 0.0) == [not_primary()]


def test_two_primaries_are_acknowledged_each_with_its_own_number() -> None:
    replica = make_replica()
    replica.copies.on_node_hello(b"peer of d3", D3)
    (of_d3,) = names_on("d3")

    replica.copies.on_replicate(PRIMARY, ONE_CHANGE, 0.0)
    other = replicate(2, (of_d3, change_of(1, published())))
    replica.copies.on_replicate(b"peer of d3", other, 0.0)

    assert replica.copies.settle() == [
        to_peer(PRIMARY, Replicated(4)),
        to_peer(b"peer of d3", Replicated(2)),
    ]


def test_a_primary_that_begins_anew_gets_no_acknowledgement_of_what_came_before() -> None:
    replica = make_replica()
    replica.copies.on_replicate(PRIMARY, ONE_CHANGE, 0.0)

    replica.copies.on_node_hello(PRIMARY, D1)

    assert replica.copies.settle() == []
    assert replica.copies.of_peer(PRIMARY) == D1


def test_a_connection_that_is_gone_is_forgotten() -> None:
    replica = make_replica()
    replica.copies.on_replicate(PRIMARY, ONE_CHANGE, 0.0)

    assert replica.copies.forget(PRIMARY) == D1
    assert replica.copies.forget(PRIMARY) is None

    assert replica.copies.of_peer(PRIMARY) is None
    assert replica.copies.settle() == []


def test_a_primary_with_another_connection_is_not_gone() -> None:
    """Its loss would be reported to meta, although the node lives."""
    replica = make_replica()
    replica.copies.on_node_hello(b"later peer of d1", D1)

    assert replica.copies.forget(PRIMARY) is None
    assert replica.copies.forget(b"later peer of d1") == D1


def test_a_copy_with_a_part_of_a_change_is_unsure_until_the_rest_is_here() -> None:
    """As the primary it would give a part of the content the version of the whole."""
    replica = make_replica()
    first, last = change_of(1, published(P1)), change_of(1, published(P2))

    replica.copies.on_replicate(PRIMARY, replicate(0, (NAME, first)), 0.0)
    assert replica.datum().is_unsure
    replica.copies.on_replicate(PRIMARY, replicate(1, (NAME, last), (OTHER, first)), 0.0)

    assert replica.held() == [published(P1), published(P2)]
    assert not replica.datum().is_unsure
    assert replica.datum().revision == v(1)


def test_a_whole_change_at_the_end_of_a_record_leaves_its_copy_sure() -> None:
    replica = make_replica()
    first = change_of(1, published(P1))

    replica.copies.on_replicate(PRIMARY, replicate(0, (NAME, first)), 0.0)
    replica.copies.on_replicate(PRIMARY, replicate(2, (OTHER, first)), 0.0)

    assert not replica.datum().is_unsure


def test_a_copy_stays_unsure_if_the_rest_of_a_change_is_lost() -> None:
    replica = make_replica()
    replica.copies.on_replicate(PRIMARY, replicate(0, (NAME, change_of(1, published(P1)))), 0.0)

    replica.copies.on_node_hello(PRIMARY, D1)
    replica.copies.on_replicate(PRIMARY, replicate(2, (OTHER, change_of(1, published(P1)))), 0.0)

    assert replica.datum().is_unsure


# --- digests --------------------------------------------------------------------------------------


def test_equal_copies_are_told_and_differing_ones_repaired() -> None:
    replica = make_replica()
    replica.hold(published())
    digests = bucket_digests((BUCKET, *digest_of(published())), (OTHER_BUCKET, 1, 99))

    assert replica.copies.on_bucket_digests(PRIMARY, digests, 0.0) == [
        compared(BUCKET, differing=(OTHER_BUCKET,)),
        to_peer(PRIMARY, FetchBucket(1, OTHER_BUCKET)),
    ]
    assert len(replica.repairs) == 1


def test_a_digest_stands_for_the_content_at_its_point_of_the_stream() -> None:
    replica = make_replica()
    empty, one = bucket_digests((BUCKET, 0, 0)), bucket_digests((BUCKET, *digest_of(published())))

    assert replica.copies.on_bucket_digests(PRIMARY, empty, 0.0) == [compared(BUCKET)]
    replica.copies.on_replicate(PRIMARY, ONE_CHANGE, 0.0)
    assert replica.copies.on_bucket_digests(PRIMARY, one, 0.0) == [compared(BUCKET)]


def test_a_bucket_of_another_primary_is_left_out_of_the_answer() -> None:
    replica = make_replica()
    foreign, of_d3 = bucket_of(FOREIGN), bucket_of(names_on("d3")[0])
    digests = bucket_digests((foreign, 1, 1), (of_d3, 1, 1), (BUCKET, 0, 0))

    assert replica.copies.on_bucket_digests(PRIMARY, digests, 0.0) == [compared(BUCKET)]


def test_an_equal_digest_ends_a_repair_that_waits() -> None:
    replica = make_replica(make_membership(D1, D2))
    buckets = [bucket_of(name) for name in names_on("d1", count=5)]
    differing = bucket_digests(*((bucket, 1, 1) for bucket in buckets))
    replica.copies.on_bucket_digests(PRIMARY, differing, 0.0)
    assert len(replica.repairs) == 5

    equal = bucket_digests((buckets[-1], 0, 0))

    assert replica.copies.on_bucket_digests(PRIMARY, equal, 0.0) == [compared(buckets[-1])]
    assert len(replica.repairs) == 4


# --- the store of a copy --------------------------------------------------------------------------


def test_a_removal_leaves_a_tombstone_that_suppresses_an_older_publisher() -> None:
    replica = make_replica()
    replica.store.apply(NAME, change_of(1, published()), 0.0)

    replica.store.apply(NAME, change_of(2, unpublished(P1), source=v(1)), 0.0)
    replica.store.apply(NAME, change_of(1, published()), 0.0)

    assert replica.held() == []
    assert replica.datum().revision == v(2)


def test_an_eviction_leaves_no_tombstone_and_the_empty_datum_is_swept() -> None:
    replica = make_replica()
    replica.store.apply(NAME, change_of(1, published()), 0.0)

    replica.store.apply(NAME, change_of(2, evicted(published()), source=v(1)), 0.0)
    replica.store.sweep(0.0, 10)

    assert replica.store.find(NAME) is None


def test_a_change_that_does_not_follow_is_merged_and_makes_the_copy_unsure() -> None:
    replica = make_replica()
    replica.hold(published(P1))

    replica.store.apply(NAME, change_of(3, published(P2), source=v(2)), 0.0)

    assert replica.held() == [published(P1), published(P2)]
    assert replica.datum().is_unsure
    assert replica.datum().revision == v(1)


def test_a_change_that_the_copy_has_already_leaves_it_sure() -> None:
    replica = make_replica()
    replica.hold(published(P1), counter=2)

    replica.store.apply(NAME, change_of(1, published(P1)), 0.0)
    replica.store.apply(NAME, change_of(2, published(P1)), 0.0)

    assert not replica.datum().is_unsure
    assert replica.datum().revision == v(2)


def test_the_pieces_of_a_change_are_one_revision_without_a_log() -> None:
    replica = make_replica()
    pieces = [change_of(2, published(P1), source=v(1)), change_of(2, published(P2), source=v(1))]
    replica.hold()

    for piece in pieces:
        replica.store.apply(NAME, piece, 0.0)

    assert replica.held() == [published(P1), published(P2)]
    assert replica.datum().revision == v(2)
    assert not replica.datum().is_unsure
    assert replica.datum().log is None, "it has no change that leads to the whole"


def test_a_copy_that_suppresses_what_follows_is_unsure() -> None:
    """A later primary must not say that its content is that of the version."""
    replica = make_replica()
    replica.hold()
    replica.bury(unpublished(P1, 5))

    replica.store.apply(NAME, change_of(2, published(P1, 3), source=v(1)), 0.0)

    assert replica.held() == []
    assert replica.datum().is_unsure


def test_a_copy_that_keeps_what_a_change_removes_is_unsure() -> None:
    replica = make_replica()
    replica.hold(published(P1, 3))

    replica.store.apply(NAME, change_of(2, unpublished(P1, 2), source=v(1)), 0.0)

    assert replica.held() == [published(P1, 3)]
    assert replica.datum().is_unsure


def test_an_unsure_copy_gets_a_version_of_its_own_when_its_node_becomes_the_primary() -> None:
    replica = make_replica()
    replica.hold(published(P1))
    replica.hold(published(P1), name=OTHER)
    replica.store.apply(NAME, change_of(3, published(P2), source=v(2)), 0.0)
    ring = make_membership(D2, D3, epoch=9, ring_epoch=9)
    replica.placement.follow(ring)

    replica.store.buckets.follow(replica.placement.roles(), 9)

    names = (NAME, OTHER)
    owned = [name for name in names if replica.placement.is_primary(name)]
    assert NAME in owned
    assert replica.datum().version == v(1, epoch=9)
    assert not replica.datum().is_unsure
    assert replica.datum(OTHER).version == v(1)
