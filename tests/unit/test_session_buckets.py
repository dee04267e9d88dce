"""Buckets: listened to while they hold a followed datum; gaps in sequences show lost hints."""

from session_fakes import D1, D2, PAY, V1, sharing_bucket

from zreg.effects import Link, Listen, Unlisten
from zreg.primitives.ring import bucket_of, bucket_topic
from zreg.session.upstream.followed.buckets import Buckets
from zreg.session.upstream.followed.followed_datum import FollowedDatum

BUCKET = bucket_of(PAY)
TOPIC = bucket_topic(BUCKET)


def make_followed(buckets: Buckets, sequence: int | None = 5) -> FollowedDatum:
    """Return a datum in a bucket, whose hints count from a sequence."""
    followed = FollowedDatum(PAY, D1, 0.0)
    buckets.add(followed)
    if sequence is not None:
        buckets.start_counting(followed, sequence)
    return followed


def beat(sequence: int) -> list[int]:
    return [sequence] * (BUCKET + 1)


def test_a_bucket_is_listened_to_while_it_holds_a_datum() -> None:
    buckets = Buckets()
    first = FollowedDatum(PAY, D1, 0.0)
    second = FollowedDatum(sharing_bucket(PAY), D1, 0.0)

    assert buckets.add(first) == [Listen(Link.CHANGES, TOPIC)]
    assert buckets.add(second) == []
    assert list(buckets) == [BUCKET]
    assert buckets.remove(first) == []
    assert buckets.remove(second) == [Unlisten(Link.CHANGES, TOPIC)]
    assert list(buckets) == []


def test_only_known_datums_of_a_primary_have_versions_to_compare() -> None:
    buckets = Buckets()
    followed = make_followed(buckets)
    assert buckets.versions(D1, BUCKET) == []

    followed.mirror.snapshot(V1, ())

    assert buckets.versions(D1, BUCKET) == [(PAY, V1)]
    assert buckets.versions(D2, BUCKET) == []
    assert buckets.versions(D1, BUCKET + 1) == []


def test_a_hint_that_does_not_follow_on_the_last_sequence_shows_a_gap() -> None:
    buckets = Buckets()
    make_followed(buckets)

    assert buckets.note_hint(D1, BUCKET, 6) == ()
    assert buckets.note_hint(D1, BUCKET, 8) == (BUCKET,)
    assert buckets.note_hint(D1, BUCKET, 8) == (), "it came twice"
    assert buckets.note_hint(D1, BUCKET, 9) == ()
    assert buckets.gap_count == 1


def test_a_beat_above_the_last_sequence_shows_a_gap() -> None:
    buckets = Buckets()
    make_followed(buckets)

    assert buckets.note_beat(D1, beat(5)) == []
    assert buckets.note_beat(D1, beat(6)) == [BUCKET], "a hint would have raised it"
    assert buckets.note_beat(D1, beat(6)) == []
    assert buckets.note_beat(D1, []) == [], "a short beat says nothing"
    assert buckets.gap_count == 1


def test_nothing_is_a_gap_before_counting_begins() -> None:
    buckets = Buckets()
    followed = make_followed(buckets, None)

    assert buckets.note_hint(D1, BUCKET, 8) == ()
    assert buckets.note_beat(D1, beat(9)) == []

    buckets.start_counting(followed, 9)
    buckets.start_counting(followed, 4)
    assert buckets.note_hint(D1, BUCKET, 10) == (), "the first answer counts"


def test_the_sequences_of_a_data_node_that_left_are_forgotten() -> None:
    buckets = Buckets()
    make_followed(buckets)

    buckets.keep_only([D2])

    assert buckets.note_hint(D1, BUCKET, 9) == ()
