"""How a replica makes its copies equal, and what it offers of its own."""

import pytest
from replica_fakes import (
    BUCKET,
    CONFIG,
    D1,
    D2,
    EPOCH,
    FOREIGN,
    NAME,
    OTHER_BUCKET,
    P1,
    P2,
    P3,
    PRIMARY,
    Replica,
    digest_of,
    make_membership,
    make_replica,
    names_in_bucket,
    names_on,
    published,
    to_peer,
    unpublished,
    v,
)

from zreg.data.copies.repairs import (
    ACTIVE_MAX,
    ANSWER_SECONDS,
    NAMES_MAX,
    PAUSE_SECONDS,
    PUBLISHERS_MAX,
)
from zreg.data.store.bucket import BucketRole
from zreg.effects import Effect
from zreg.model import ZERO, DataInfoId, Publisher, Removal, Version
from zreg.primitives.ring import bucket_of
from zreg.wire.messages import Message
from zreg.wire.records.replication_messages import (
    DatumCopy,
    DatumDigests,
    FetchBucket,
    FetchCopies,
    OfferCopy,
)

FIRST, SECOND, THIRD = names_in_bucket(NAME, 3)
OLD = CONFIG.tombstone_seconds / 2 + 1
LATER = b"later peer of d1"


def ask(message: Message, peer: bytes = PRIMARY) -> Effect:
    return to_peer(peer, message)


def line(name: DataInfoId, *content: Publisher) -> tuple[DataInfoId, int, int]:
    return (name, *digest_of(*content))


def copy(
    request_id: int,
    name: DataInfoId,
    *what: Publisher | tuple[Removal, float],
    version: Version = v(9),  # noqa: B008 -- it is frozen
    parts_left: int = 0,
) -> DatumCopy:
    publishers = tuple(each for each in what if isinstance(each, Publisher))
    tombstones = tuple(each for each in what if isinstance(each, tuple))
    return DatumCopy(request_id, name, version, version, publishers, tombstones, parts_left)


def make_repairing(*content: Publisher, name: DataInfoId = NAME) -> Replica:
    """Return a replica with a copy, which has asked for the bucket of it as request 1."""
    replica = make_replica()
    if content:
        replica.hold(*content, name=name)
    assert replica.repairs.begin(PRIMARY, [BUCKET], 0.0) == [ask(FetchBucket(1, BUCKET))]
    return replica


def name_datums(
    replica: Replica, *lines: tuple[DataInfoId, int, int], now: float = 0.0
) -> list[Effect]:
    """Let the primary answer request 1."""
    return replica.repairs.on_datum_digests(PRIMARY, DatumDigests(1, lines), now)


def take(replica: Replica, answer: DatumCopy, now: float = 0.0) -> list[Effect]:
    return replica.repairs.on_datum_copy(PRIMARY, answer, now)


# --- what differs ---------------------------------------------------------------------------------


def test_a_bucket_that_is_equal_meanwhile_is_not_fetched() -> None:
    replica = make_repairing(published())

    assert name_datums(replica, line(NAME, published())) == []

    assert len(replica.repairs) == 0
    assert replica.repairs.next_tick_at() is None


def test_a_datum_that_differs_is_fetched_and_merged() -> None:
    replica = make_repairing(published(version=1))

    assert name_datums(replica, line(NAME, published(version=2))) == [ask(FetchCopies(2, (NAME,)))]
    assert take(replica, copy(2, NAME, published(version=2))) == []

    assert replica.held() == [published(version=2)]
    assert (replica.datum().version, replica.datum().revision) == (v(9), v(9))
    assert len(replica.repairs) == 0
    assert replica.repairs.copy_count == 1


def test_a_datum_that_is_missing_is_fetched() -> None:
    replica = make_repairing()

    assert name_datums(replica, line(NAME, published())) == [ask(FetchCopies(2, (NAME,)))]
    assert take(replica, copy(2, NAME, published())) == []

    assert replica.held() == [published()]
    assert not replica.datum().is_unsure


def test_a_tombstone_of_the_primary_removes_the_publisher_here() -> None:
    replica = make_repairing(published(P1), published(P2))
    name_datums(replica, line(NAME, published(P2)))

    answer = copy(2, NAME, published(P2), (unpublished(P1), 60.0))
    assert take(replica, answer, 5.0) == []

    assert replica.held() == [published(P2)]
    assert replica.datum().tombstones == {P1: (unpublished(P1), 65.0)}
    assert not replica.datum().is_unsure


def test_a_datum_that_the_primary_dropped_meanwhile_stays_absent() -> None:
    replica = make_repairing()
    name_datums(replica, line(NAME, published()))

    assert take(replica, copy(2, NAME, version=ZERO)) == []

    assert replica.store.find(NAME) is None
    assert len(replica.repairs) == 0


def test_a_copy_of_an_emptied_datum_is_swept() -> None:
    replica = make_repairing()
    name_datums(replica, line(NAME, published()))

    take(replica, copy(2, NAME))
    replica.store.sweep(0.0, 10)

    assert replica.store.find(NAME) is None


# --- what the primary lacks -----------------------------------------------------------------------


def test_what_the_primary_lacks_of_a_datum_is_offered() -> None:
    replica = make_repairing(published(P1, 2), published(P2))
    name_datums(replica, line(NAME, published(P1)))

    assert take(replica, copy(2, NAME, published(P1, 1), published(P3))) == [
        ask(OfferCopy(NAME, (published(P1, 2), published(P2)), ()))
    ]

    assert replica.held() == [published(P1, 2), published(P2), published(P3)]
    assert replica.datum().is_unsure, "it is not what the primary has at that version"
    assert replica.datum().revision == v(1)
    assert replica.repairs.offer_count == 1


def test_a_datum_that_the_primary_lacks_is_offered() -> None:
    replica = make_repairing(published(), name=FIRST)
    replica.hold(published(), name=SECOND)

    assert name_datums(replica, line(SECOND, published())) == [ask(FetchCopies(2, (FIRST,)))]
    assert take(replica, copy(2, FIRST, version=ZERO)) == [
        ask(OfferCopy(FIRST, (published(),), ()))
    ]

    assert replica.datum(FIRST).is_unsure
    assert not replica.datum(SECOND).is_unsure


def test_a_datum_that_the_primary_has_emptied_is_not_offered() -> None:
    """The primary names no datum without publishers, but has the tombstones of this one."""
    replica = make_repairing(published())
    name_datums(replica)

    assert take(replica, copy(2, NAME, (unpublished(P1), 60.0))) == []

    assert replica.held() == []
    assert (replica.datum().version, replica.datum().is_unsure) == (v(9), False)


def test_an_empty_datum_that_the_primary_lacks_is_not_offered() -> None:
    replica = make_replica()
    replica.bury(unpublished(P1))
    replica.repairs.begin(PRIMARY, [BUCKET], 0.0)

    assert name_datums(replica) == []


def test_a_tombstone_that_suppresses_what_the_primary_has_is_offered() -> None:
    replica = make_replica()
    replica.bury(unpublished(P1, 3))
    replica.bury(unpublished(P2, 3))
    replica.repairs.begin(PRIMARY, [BUCKET], 0.0)
    name_datums(replica, line(NAME, published()))
    now, left = 10.0, CONFIG.tombstone_seconds - 10.0

    assert take(replica, copy(2, NAME, published(P1, 2)), now) == [
        ask(OfferCopy(NAME, (), ((unpublished(P1, 3), left),)))
    ]

    assert replica.held() == []


def test_a_tombstone_that_has_expired_is_not_offered() -> None:
    replica = make_replica()
    replica.bury(unpublished(P1, 3), now=-CONFIG.tombstone_seconds)
    replica.repairs.begin(PRIMARY, [BUCKET], 0.0)
    name_datums(replica, line(NAME, published()))

    assert take(replica, copy(2, NAME, published(P1, 2))) == []


def test_the_seconds_of_a_tombstone_stay_within_the_limit_of_a_record() -> None:
    """A sum and a difference of floats can exceed it by the last digit."""
    replica = make_replica()
    now = 50000.2
    replica.store.merge_copy(
        replica.store.buckets.add(NAME), (), [(unpublished(P1, 3), 86400.0)], now
    )
    assert now + 86400.0 - now > 86400.0
    replica.repairs.note_equal(PRIMARY, [BUCKET], now)
    replica.repairs.begin(PRIMARY, [BUCKET], 0.0)
    name_datums(replica, line(NAME, published()))

    assert take(replica, copy(2, NAME, published(P1, 2)), now) == [
        ask(OfferCopy(NAME, (), ((unpublished(P1, 3), 86400.0),)))
    ]


# --- copies that are too old ----------------------------------------------------------------------


def test_a_copy_that_is_too_old_drops_what_the_primary_lacks() -> None:
    replica = make_repairing(published(P1), published(P2))
    replica.hold(published(), name=SECOND)

    assert name_datums(replica, line(NAME, published(P1), published(P3)), now=OLD) == [
        ask(FetchCopies(2, (NAME, SECOND)))
    ]
    assert take(replica, copy(2, NAME, published(P1), published(P3)), OLD) == []
    assert take(replica, copy(2, SECOND, version=ZERO), OLD) == []
    assert replica.held(SECOND) == []

    assert replica.held() == [published(P1), published(P3)]
    assert not replica.datum().is_unsure


def test_the_tombstones_of_a_copy_that_is_too_old_are_dropped_too() -> None:
    replica = make_replica()
    replica.bury(unpublished(P1, 5))
    replica.repairs.begin(PRIMARY, [BUCKET], 0.0)
    name_datums(replica, line(NAME, published()), now=OLD)

    assert take(replica, copy(2, NAME, published(P1, 2)), OLD) == []

    assert replica.held() == [published(P1, 2)]


def test_an_equal_digest_makes_a_copy_new_again() -> None:
    replica = make_replica()
    replica.hold(published(P1), published(P2))
    replica.repairs.note_equal(PRIMARY, [BUCKET], OLD)
    replica.repairs.begin(PRIMARY, [BUCKET], OLD)
    name_datums(replica, line(NAME, published(P1)), now=OLD + 1)

    assert take(replica, copy(2, NAME, published(P1)), OLD + 1) == [
        ask(OfferCopy(NAME, (published(P2),), ()))
    ]


def test_a_new_ring_makes_no_copy_newer_that_the_node_kept_before() -> None:
    replica = make_replica()
    replica.hold(published(P1), published(P2))
    replica.repairs.on_roles(OLD, has_new_ring=True)
    replica.repairs.begin(PRIMARY, [BUCKET], OLD)

    assert name_datums(replica, now=OLD) == [ask(FetchCopies(2, (NAME,)))]
    assert take(replica, copy(2, NAME, version=ZERO), OLD) == []
    assert replica.held() == []


def test_a_copy_that_the_node_did_not_keep_before_is_new() -> None:
    replica = Replica(make_membership(D1, D2, replica_count=1))
    assert replica.placement.follow(make_membership(D1, D2, epoch=9, ring_epoch=9))
    replica.store.buckets.follow(replica.placement.roles(), 9)
    replica.copies.on_node_hello(PRIMARY, D1)
    replica.repairs.on_roles(OLD, has_new_ring=True)
    replica.hold(published())
    replica.repairs.begin(PRIMARY, [BUCKET], OLD)

    name_datums(replica, now=OLD)

    assert take(replica, copy(2, NAME, version=ZERO), OLD) == [
        ask(OfferCopy(NAME, (published(),), ()))
    ]


# --- pages, parts, limits -------------------------------------------------------------------------


def test_the_datums_of_a_bucket_come_in_pages() -> None:
    replica = make_repairing(published(), name=THIRD)
    first = DatumDigests(1, (line(FIRST, published()),), is_complete=False)

    assert replica.repairs.on_datum_digests(PRIMARY, first, 0.0) == [
        ask(FetchBucket(2, BUCKET, FIRST))
    ]
    last = DatumDigests(2, (line(SECOND, published()), line(THIRD, published())))

    assert replica.repairs.on_datum_digests(PRIMARY, last, 0.0) == [
        ask(FetchCopies(3, (FIRST, SECOND)))
    ]


def test_an_empty_page_is_the_last_one() -> None:
    replica = make_repairing()

    assert replica.repairs.on_datum_digests(PRIMARY, DatumDigests(1, (), False), 0.0) == []  # noqa: FBT003


def test_the_parts_of_a_datum_are_merged_together() -> None:
    replica = make_repairing(published(P1))
    name_datums(replica, line(NAME, published(P2), published(P3)), line(SECOND, published()))

    assert take(replica, copy(2, NAME, published(P2), parts_left=2)) == []
    assert take(replica, copy(2, NAME, published(P3), parts_left=1)) == []
    assert replica.held() == [published(P1)]
    last = copy(2, NAME, (unpublished(P1), 60.0), parts_left=0)
    assert take(replica, last) == []

    assert replica.held() == [published(P2), published(P3)]
    assert len(replica.repairs) == 1, "the second datum is still to come"
    assert take(replica, copy(2, SECOND, published())) == []
    assert replica.held(SECOND) == [published()]
    assert len(replica.repairs) == 0


def test_a_change_that_comes_between_parts_stays_and_the_copy_is_unsure() -> None:
    """Only a primary of a newer ring could send one: it sends the parts of a datum at once."""
    replica = make_repairing()
    name_datums(replica, line(NAME, published(P1)))
    take(replica, copy(2, NAME, published(P1), parts_left=1))
    replica.hold(published(P2), counter=12)

    assert take(replica, copy(2, NAME)) == [ask(OfferCopy(NAME, (published(P2),), ()))]

    assert replica.held() == [published(P2), published(P1)]
    assert replica.datum().is_unsure


def test_a_repair_asks_for_a_bounded_number_of_datums_at_once() -> None:
    names = names_in_bucket(NAME, NAMES_MAX + 2)
    replica = make_repairing()

    assert name_datums(replica, *(line(name, published()) for name in names)) == [
        ask(FetchCopies(2, tuple(names[:NAMES_MAX])))
    ]
    for name in names[: NAMES_MAX - 1]:
        assert take(replica, copy(2, name, published())) == []

    assert take(replica, copy(2, names[NAMES_MAX - 1], published())) == [
        ask(FetchCopies(3, tuple(names[NAMES_MAX:])))
    ]


def test_a_repair_asks_for_a_bounded_number_of_publishers_at_once() -> None:
    """The primary sends what one request names in one turn."""
    small, large, last = names_in_bucket(NAME, 3)
    replica = make_repairing()

    lines = ((small, 1, 7), (large, PUBLISHERS_MAX, 7), (last, 1, 7))
    assert name_datums(replica, *lines) == [ask(FetchCopies(2, (small, large)))]
    assert take(replica, copy(2, small, published())) == []
    assert take(replica, copy(2, large, published())) == [ask(FetchCopies(3, (last,)))]


def test_a_bounded_number_of_buckets_is_repaired_at_once() -> None:
    replica = make_replica(make_membership(D1, D2))
    buckets = [bucket_of(name) for name in names_on("d1", count=ACTIVE_MAX + 2)]

    begun = replica.repairs.begin(PRIMARY, buckets, 0.0)

    assert begun == [
        ask(FetchBucket(number + 1, bucket)) for number, bucket in enumerate(buckets[:ACTIVE_MAX])
    ]
    assert replica.repairs.begin(PRIMARY, buckets, 0.0) == []
    assert len(replica.repairs) == ACTIVE_MAX + 2
    assert name_datums(replica) == [ask(FetchBucket(ACTIVE_MAX + 1, buckets[ACTIVE_MAX]))]
    assert len(replica.repairs) == ACTIVE_MAX + 1


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_refused_repair_makes_room_for_the_next_one() -> None:
    replica = make_replica(make_membership(D1, D2))
    buckets = [bucket_of(name) for name in names_on("d1", count=ACTIVE_MAX + 1)]
    replica.repairs.begin(PRIMARY, buckets, 0.0)

    assert replica.repairs.on_refused(PRIMARY, 2, 0.0) == [
        ask(FetchBucket(ACTIVE_MAX + 1, buckets[-1]))
    ]

    assert replica.repairs.on_refused(PRIMARY, 2, 0.0) == []
    assert replica.repairs.on_refused(PRIMARY, 0, 0.0) == []


def test_a_repair_without_an_answer_is_given_up_and_begun_again() -> None:
    replica = make_repairing()
    assert replica.repairs.next_tick_at() == ANSWER_SECONDS
    assert replica.repairs.tick(ANSWER_SECONDS - 0.1) == []
    assert replica.repairs.begin(PRIMARY, [BUCKET], 1.0) == [], "it is under way"

    assert replica.repairs.tick(ANSWER_SECONDS) == []
    assert len(replica.repairs) == 0
    assert name_datums(replica, line(NAME, published())) == [], "too late"

    assert replica.repairs.begin(PRIMARY, [BUCKET], 6.0) == [ask(FetchBucket(2, BUCKET))]


def test_each_part_of_a_large_datum_gives_the_answer_more_time() -> None:
    replica = make_repairing()
    name_datums(replica, line(NAME, published(P1), published(P2)))

    take(replica, copy(2, NAME, published(P1), parts_left=1), ANSWER_SECONDS - 1)
    assert replica.repairs.next_tick_at() == 2 * ANSWER_SECONDS - 1
    assert replica.repairs.tick(ANSWER_SECONDS) == []
    take(replica, copy(2, NAME, published(P2)), ANSWER_SECONDS + 1)

    assert replica.held() == [published(P1), published(P2)]


def test_answers_of_another_connection_are_ignored() -> None:
    replica = make_repairing()

    answer = DatumDigests(1, (line(NAME, published()),))
    assert replica.repairs.on_datum_digests(LATER, answer, 0.0) == []
    assert replica.repairs.on_datum_copy(LATER, copy(1, NAME, published()), 0.0) == []

    assert replica.held() == []
    assert len(replica.repairs) == 1


def test_a_datum_of_another_bucket_is_neither_fetched_nor_merged() -> None:
    """This node may be its primary: what is merged there has to be a change."""
    replica = make_repairing()

    assert name_datums(replica, line(NAME, published()), line(FOREIGN, published())) == [
        ask(FetchCopies(2, (NAME,)))
    ]
    assert take(replica, copy(2, FOREIGN, published())) == []

    assert replica.store.find(FOREIGN) is None


def test_a_lost_connection_ends_its_repairs_alone() -> None:
    replica = make_replica(make_membership(D1, D2))
    buckets = [bucket_of(name) for name in names_on("d1", count=6)]
    replica.repairs.begin(PRIMARY, buckets[:2], 0.0)
    replica.repairs.begin(LATER, buckets[2:4], 0.0)
    replica.repairs.begin(PRIMARY, buckets[4:5], 0.0)
    replica.repairs.begin(LATER, buckets[5:], 0.0)

    replica.repairs.forget(PRIMARY)

    assert len(replica.repairs) == 3
    assert name_datums(replica) == []
    assert replica.repairs.tick(1.0) == [to_peer(LATER, FetchBucket(5, buckets[5]))]


@pytest.mark.parametrize("has_named", [False, True])
def test_a_new_ring_ends_all_repairs(has_named: bool) -> None:  # noqa: FBT001 -- parametrized
    replica = make_replica(make_membership(D1, D2))
    buckets = [bucket_of(name) for name in (NAME, *names_on("d1", count=9)[3:])]
    replica.repairs.begin(PRIMARY, buckets[:3], 0.0)
    replica.repairs.begin(LATER, buckets[3:], 0.0)
    if has_named:
        assert name_datums(replica, line(NAME, published()))

    replica.repairs.on_roles(1.0, has_new_ring=True)

    assert len(replica.repairs) == 0
    assert replica.repairs.next_tick_at() is None
    assert name_datums(replica, line(NAME, published())) == []
    late = [copy(number, NAME, published()) for number in range(1, 8)]
    assert [take(replica, answer) for answer in late] == [[]] * 7
    assert replica.held() == [], "the node may not even keep that bucket any more"


def test_a_copy_that_need_not_be_kept_any_more_is_not_repaired() -> None:
    """A guest may lose a bucket because another guest comes or goes: the ring is the same."""
    replica = make_repairing()
    name_datums(replica, line(NAME, published()))
    replica.repairs.begin(PRIMARY, [OTHER_BUCKET, *range(20)], 0.0)
    roles = [BucketRole.NONE] * len(replica.placement.roles())
    replica.store.buckets.follow(roles, EPOCH)
    replica.repairs.on_roles(0.0, has_new_ring=False)

    assert take(replica, copy(2, NAME, published())) == []

    assert replica.store.find(NAME) is None
    assert len(replica.repairs) == 0
    assert replica.repairs.next_tick_at() is None


def test_a_bucket_that_still_differs_is_repaired_again_after_a_pause() -> None:
    """Two nodes that cannot agree must not repair at the speed of the network."""
    replica = make_repairing(published(version=2))
    name_datums(replica, line(NAME, published(version=1)))
    take(replica, copy(2, NAME, published(version=1)))

    assert replica.repairs.begin(PRIMARY, [BUCKET], PAUSE_SECONDS - 0.1) == []
    assert replica.repairs.begin(PRIMARY, [BUCKET], PAUSE_SECONDS) == [ask(FetchBucket(3, BUCKET))]
