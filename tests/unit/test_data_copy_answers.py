"""What a primary answers the replicas that repair their copies, and what it takes of theirs."""

from msgspec.structs import replace
from replica_fakes import (
    BUCKET,
    CONFIG,
    EPOCH,
    FOREIGN,
    NAME,
    OTHER,
    P1,
    P2,
    RING_EPOCH,
    A,
    Primary,
    change_of,
    digest_of,
    evicted,
    make_membership,
    make_synced,
    names_in_bucket,
    names_on,
    published,
    to_replica,
    unpublished,
    v,
)

from zreg.config import Limits
from zreg.effects import Broadcast, Effect, Link, Send
from zreg.errors import NotPrimaryError
from zreg.model import ZERO, DataInfoId, Incarnation, Publisher, Removal
from zreg.primitives.ring import bucket_of, bucket_topic
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import Changed
from zreg.wire.records.replication_messages import (
    BucketDigests,
    DatumCopy,
    DatumDigests,
    FetchBucket,
    FetchCopies,
    OfferCopy,
    Replicate,
)

GONE = Incarnation(2, "s9")


def refused(peer: str, request_id: int) -> Effect:
    detail = "this data node is not the primary of a bucket of which you keep a copy"
    return to_replica(peer, Refused(request_id, NotPrimaryError.code, detail, EPOCH))


def digest(*publishers: Publisher, bucket: int = BUCKET) -> Effect:
    """Return the digest that follows an answer."""
    record = BucketDigests(RING_EPOCH, ((bucket, *digest_of(*publishers)),))
    return to_replica(A, record)


def replicated(number: int, *changes: object) -> list[Effect]:
    record = Replicate(RING_EPOCH, number, changes)  # type: ignore[arg-type]
    return [to_replica(peer, record) for peer in (A, "d3@3")]


def make_primary(*content: Publisher, name: DataInfoId = NAME) -> Primary:
    """Return a primary with one datum, whose replicas are in sync."""
    primary = make_synced()
    for publisher in content:
        primary.store.put(name, publisher)
    primary.end_turn()
    return primary


def hint(
    name: DataInfoId, counter: int, *what: Publisher | Removal, sequence: int = 1, source: int = 0
) -> Effect:
    change = change_of(counter, *what, source=v(source) if source else ZERO)
    changed = Changed(
        name, change.source_version, change.version, sequence, change.publishers, change.removals
    )
    return Broadcast(Link.CHANGES, bucket_topic(bucket_of(name)), changed)


# --- the datums of a bucket -----------------------------------------------------------------------


def test_the_datums_of_a_bucket_are_named_in_order_and_a_digest_follows() -> None:
    first, second, third = names_in_bucket(NAME, 3)
    primary = make_synced()
    for name in (third, first, second):
        primary.store.put(name, published())
    primary.store.put(OTHER, published())
    primary.store.remove(second, unpublished(P1), 0.0)
    primary.end_turn()

    answer = DatumDigests(4, ((first, *digest_of(published())), (third, *digest_of(published()))))
    assert primary.answers.on_fetch_bucket(A, FetchBucket(4, BUCKET), EPOCH) == [
        to_replica(A, answer)
    ]

    count, value = digest_of(published())
    both = BucketDigests(RING_EPOCH, ((BUCKET, 2 * count, 2 * value & (2**63 - 1)),))
    assert primary.end_turn() == [to_replica(A, both)]


def test_a_large_bucket_is_named_in_pages_of_500_datums() -> None:
    names = names_in_bucket(NAME, 501)
    primary = make_synced()
    for name in names:
        primary.store.put(name, published())
    primary.end_turn()
    ask = primary.answers.on_fetch_bucket

    lines = [(name, *digest_of(published())) for name in names]
    assert ask(A, FetchBucket(4, BUCKET), EPOCH) == [
        to_replica(A, DatumDigests(4, tuple(lines[:500]), is_complete=False))
    ]
    assert primary.end_turn() == [], "the digest follows the last page"

    last = FetchBucket(5, BUCKET, names[499])
    assert ask(A, last, EPOCH) == [to_replica(A, DatumDigests(5, tuple(lines[500:])))]
    (effect,) = primary.end_turn()
    assert isinstance(effect.message, BucketDigests)  # type: ignore[attr-defined]


def test_a_node_that_keeps_no_copy_is_refused() -> None:
    primary = make_primary(published())
    foreign = bucket_of(FOREIGN)

    for peer, bucket in ((A, foreign), ("d9@9", BUCKET)):
        fetch = FetchBucket(4, bucket)
        assert primary.answers.on_fetch_bucket(peer, fetch, EPOCH) == [refused(peer, 4)]

    assert primary.end_turn() == []


# --- copies of datums -----------------------------------------------------------------------------


def test_a_copy_has_the_version_the_revision_and_the_tombstones_of_the_datum() -> None:
    primary = make_primary(published(P1, 2), published(P2))
    primary.store.put(NAME, published(P1, 3))
    primary.end_turn()
    primary.store.remove(NAME, unpublished(P2), 10.0)
    primary.store.put(NAME, published(P1, 4))
    primary.end_turn()
    primary.store.put(NAME, published(P1, 5))
    primary.end_turn()

    left = CONFIG.tombstone_seconds - 5.0
    effects = primary.answers.on_fetch_copies(A, FetchCopies(4, (NAME,)), EPOCH, 15.0)
    first = DatumCopy(4, NAME, v(3), v(4), (published(P1, 5),), (), 1)
    last = DatumCopy(4, NAME, v(3), v(4), (), ((unpublished(P2), left),), 0)

    assert effects == [to_replica(A, first), to_replica(A, last)]
    assert primary.end_turn() == [digest(published(P1, 5))]


def test_a_tombstone_that_has_expired_does_not_travel() -> None:
    primary = make_primary(published(P1), published(P2))
    primary.store.remove(NAME, unpublished(P2), 0.0)
    primary.end_turn()

    now = CONFIG.tombstone_seconds
    assert primary.answers.on_fetch_copies(A, FetchCopies(4, (NAME,)), EPOCH, now) == [
        to_replica(A, DatumCopy(4, NAME, v(2), v(2), (published(P1),), (), 0))
    ]


def test_a_datum_that_does_not_exist_has_no_version() -> None:
    primary = make_synced()

    assert primary.answers.on_fetch_copies(A, FetchCopies(4, (NAME,)), EPOCH, 0.0) == [
        to_replica(A, DatumCopy(4, NAME, ZERO, ZERO, (), (), 0))
    ]
    assert primary.end_turn() == [digest()]


def test_a_datum_that_waits_for_a_commit_is_committed_first() -> None:
    """Its version would stand for another content otherwise."""
    primary = make_primary(published(P1))
    primary.store.put(NAME, published(P2))

    assert primary.answers.on_fetch_copies(A, FetchCopies(4, (NAME,)), EPOCH, 0.0) == [
        hint(NAME, 2, published(P2), sequence=2, source=1),
        to_replica(A, DatumCopy(4, NAME, v(2), v(2), (published(P1), published(P2)), (), 0)),
    ]

    change = (NAME, change_of(2, published(P2), source=v(1)))
    to_a, to_b = replicated(2, change)
    assert primary.end_turn() == [to_a, digest(published(P1), published(P2)), to_b]


def test_a_large_datum_is_sent_in_parts() -> None:
    bodies = [
        replace(published(bytes([number]) * 16), body=bytes(Limits.body_bytes_max))
        for number in range(7)
    ]
    primary = make_primary(*bodies)

    effects = primary.answers.on_fetch_copies(A, FetchCopies(4, (NAME,)), EPOCH, 0.0)

    assert effects == [
        to_replica(A, DatumCopy(4, NAME, v(1), v(1), tuple(part), (), left))
        for left, part in ((2, bodies[:3]), (1, bodies[3:6]), (0, bodies[6:]))
    ]


def test_datums_are_answered_up_to_the_first_that_is_not_served() -> None:
    primary = make_primary(published())

    fetch = FetchCopies(4, (NAME, FOREIGN, OTHER))
    assert primary.answers.on_fetch_copies(A, fetch, EPOCH, 0.0) == [
        to_replica(A, DatumCopy(4, NAME, v(1), v(1), (published(),), (), 0)),
        refused(A, 4),
    ]


# --- offers ---------------------------------------------------------------------------------------


def test_of_an_offer_the_primary_merges_only_what_wins() -> None:
    primary = make_primary(published(P1, 3))

    offer = OfferCopy(NAME, (published(P1, 2), published(P2)), ())
    assert primary.answers.on_offer_copy(A, offer, EPOCH, 0.0) == ()

    change = (NAME, change_of(2, published(P2), source=v(1)))
    to_a, to_b = replicated(2, change)
    assert primary.end_turn() == [to_a, digest(published(P1, 3), published(P2)), to_b]


def test_an_offer_of_what_the_primary_has_changes_nothing() -> None:
    primary = make_primary(published())

    assert primary.answers.on_offer_copy(A, OfferCopy(NAME, (published(),), ()), EPOCH, 0.0) == ()

    assert primary.end_turn() == [digest(published())]


def test_an_offered_tombstone_is_not_prolonged() -> None:
    primary = make_primary(published(P1), published(P2))

    tombstones = ((unpublished(P1), 5.0), (unpublished(P2), 86400.0))
    primary.answers.on_offer_copy(A, OfferCopy(NAME, (), tombstones), EPOCH, 10.0)
    sent = primary.end_turn(10.0)

    records = [each.message for each in sent if isinstance(each, Send)]
    streamed = [each.tombstone_seconds for each in records if isinstance(each, Replicate)]
    assert streamed == [(5.0, CONFIG.tombstone_seconds)] * 2, "nor is it at the replicas"
    datum = primary.store.find(NAME)
    assert datum is not None
    assert not datum.publishers
    assert datum.tombstones == {
        P1: (unpublished(P1), 15.0),
        P2: (unpublished(P2), 10.0 + CONFIG.tombstone_seconds),
    }


def test_an_offer_for_a_bucket_of_another_primary_is_ignored() -> None:
    primary = make_synced()

    for peer, name in ((A, FOREIGN), ("d9@9", NAME)):
        offer = OfferCopy(name, (published(),), ())
        assert primary.answers.on_offer_copy(peer, offer, EPOCH, 0.0) == ()

    assert primary.end_turn() == []


def test_an_offered_publisher_of_an_evicted_session_is_evicted_at_once() -> None:
    """A replica that missed the eviction has it still. No subscriber sees it again."""
    primary = make_primary(published(P1))
    for session in list(primary.placement.unreconciled):
        primary.placement.reconcile(session)
    assert primary.placement.may_evict
    ghost = published(P2, session=GONE)

    assert primary.answers.on_offer_copy(A, OfferCopy(NAME, (ghost,), ()), EPOCH, 0.0) == [
        hint(NAME, 2, evicted(ghost), sequence=2, source=1)
    ]

    to_a, to_b = replicated(2, (NAME, change_of(2, evicted(ghost), source=v(1))))
    assert primary.end_turn() == [to_a, digest(published(P1)), to_b]


def test_an_offered_publisher_of_a_forgotten_session_stays_while_it_may_exist() -> None:
    primary = make_primary(published(P1))
    assert not primary.placement.may_evict
    ghost = published(P2, session=GONE)

    assert primary.answers.on_offer_copy(A, OfferCopy(NAME, (ghost,), ()), EPOCH, 0.0) == ()

    assert primary.store.publisher(NAME, P2) == ghost


def test_an_offered_publisher_of_a_later_session_is_taken() -> None:
    """The session has joined at an epoch that this node has not seen yet."""
    primary = make_primary(published(P1))
    for session in list(primary.placement.unreconciled):
        primary.placement.reconcile(session)
    later = published(P1, 2, session=Incarnation(EPOCH + 1, "s9"))

    assert primary.answers.on_offer_copy(A, OfferCopy(NAME, (later,), ()), EPOCH, 0.0) == ()

    assert primary.store.publisher(NAME, P1) == later


def test_names_of_two_replicas_are_served_apart() -> None:
    primary = make_synced(make_membership(replica_count=2))
    (with_b,) = names_on("d1", "d3", replica_count=2)

    fetch = FetchBucket(4, bucket_of(with_b))
    assert primary.answers.on_fetch_bucket(A, fetch, EPOCH) == [refused(A, 4)]
    assert primary.answers.on_fetch_bucket("d3@3", fetch, EPOCH) == [
        to_replica("d3@3", DatumDigests(4, ()))
    ]
