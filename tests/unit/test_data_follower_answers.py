"""Answers to followers: the smallest that lead them to the present, in records that fit."""

import fnmatch

import pytest
from data_fakes import NAME, OTHER, P1, P2, P3, S1, S2, commit, datum_of, drop_all
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import make_publisher

from zreg.config import Config, Limits
from zreg.data.followers import follower_answers
from zreg.data.store.datum_store import DatumStore
from zreg.model import (
    ZERO,
    Cause,
    Change,
    DataInfoId,
    Publisher,
    Removal,
    Version,
    data_info_id,
)
from zreg.wire.codec import encode_frames
from zreg.wire.records.data_messages import (
    Changes,
    ComparePublishers,
    CompareVersions,
    DatumsListed,
    DatumSummary,
    FetchChanges,
    ListDatums,
    PublishersCompared,
    Snapshot,
    Versions,
)

CONFIG = Config(tombstone_seconds=100.0, sweep_seconds=50.0)
V1, V2 = Version(1, 1), Version(1, 2)


def make_store(*steps: Publisher | Removal, name: DataInfoId = NAME) -> DatumStore:
    """Return a store in which each step was a commit of its own."""
    store = DatumStore(CONFIG)
    for step in steps:
        put(store, step, name)
    return store


def put(store: DatumStore, step: Publisher | Removal, name: DataInfoId = NAME) -> None:
    if isinstance(step, Publisher):
        store.put(name, step)
    else:
        store.remove(name, step, 0.0)
    commit(store)


def fetch(version: Version) -> FetchChanges:
    return FetchChanges(3, NAME, version)


# --- changes and snapshots ------------------------------------------------------------------------


def test_a_follower_gets_the_changes_since_its_version() -> None:
    one, two = make_publisher(P1), make_publisher(P2)
    store = make_store(one, two)

    changes = follower_answers.logged_changes(store, datum_of(store), fetch(V1), 9)

    assert changes == Changes(3, NAME, (Change(V1, V2, (two,), ()),), 9)


def test_a_follower_that_is_up_to_date_gets_no_changes() -> None:
    store = make_store(make_publisher(P1))

    assert follower_answers.logged_changes(store, datum_of(store), fetch(V1), 9) == Changes(
        3, NAME, (), 9
    )


@pytest.mark.parametrize("version", [ZERO, Version(1, 7), Version(0, 1)])
def test_a_follower_without_a_copy_or_of_another_history_needs_a_snapshot(version: Version) -> None:
    store = make_store(make_publisher(P1), make_publisher(P2))

    assert follower_answers.logged_changes(store, datum_of(store), fetch(version), 9) is None


def test_changes_larger_than_a_part_are_not_sent() -> None:
    bodies = [bytes([number]) * Limits.body_bytes_max for number in range(6)]
    store = make_store(*(make_publisher(P1, version=n, body=b) for n, b in enumerate(bodies, 1)))

    datum = datum_of(store)
    assert follower_answers.logged_changes(store, datum, fetch(Version(1, 2)), 9) is None
    some = follower_answers.logged_changes(store, datum, fetch(Version(1, 4)), 9)
    assert some is not None
    assert len(some.changes) == 2


def test_a_snapshot_holds_all_publishers_at_its_version() -> None:
    one, two = make_publisher(P1), make_publisher(P2)
    store = make_store(one, two)

    parts = follower_answers.snapshot_parts(datum_of(store), fetch(ZERO), 9, is_unreconciled=True)

    assert parts == [Snapshot(3, NAME, V2, (one, two), 0, 9, is_known=True, is_unreconciled=True)]


def test_a_large_snapshot_comes_in_parts_that_count_down() -> None:
    many = [make_publisher(bytes([n]) * 16, body=bytes(Limits.body_bytes_max)) for n in range(8)]
    store = make_store(*many)

    parts = follower_answers.snapshot_parts(datum_of(store), fetch(ZERO), 9, is_unreconciled=False)

    assert [part.parts_left for part in parts] == [2, 1, 0]
    assert [publisher for part in parts for publisher in part.publishers] == many
    assert {(part.version, part.request_id, part.sequence) for part in parts} == {
        (Version(1, 8), 3, 9)
    }


def test_the_snapshot_of_an_empty_datum_is_one_empty_part() -> None:
    store = make_store(make_publisher(P1), Removal(P1, 1, Cause.BYE))

    parts = follower_answers.snapshot_parts(datum_of(store), fetch(ZERO), 9, is_unreconciled=False)

    assert parts == [Snapshot(3, NAME, V2, (), 0, 9)]


# --- comparing versions ---------------------------------------------------------------------------


def compared(store: DatumStore, *versions: tuple[DataInfoId, Version]) -> Versions:
    compare = CompareVersions(4, 17, versions)
    (answer,) = follower_answers.compared_versions(store, compare, Version(5, 40), 9)
    return answer


def test_only_differing_versions_are_answered() -> None:
    store = make_store(make_publisher(P1))
    put(store, make_publisher(P2), OTHER)

    assert compared(store, (NAME, V1), (OTHER, V1)) == Versions(4, 17, ((OTHER, V2),), 9)
    assert compared(store, (NAME, Version(9, 9))) == Versions(4, 17, ((NAME, V1),), 9)
    assert compared(store) == Versions(4, 17, (), 9)


def test_a_datum_that_was_never_stored_does_not_differ() -> None:
    """A follower of a datum without publishers has it empty, at a version of that time."""
    assert compared(make_store(), (NAME, Version(1, 5))) == Versions(4, 17, (), 9)


def test_a_dropped_datum_may_have_been_newer() -> None:
    store = make_store(make_publisher(P1), make_publisher(P2))
    drop_all(store)

    assert compared(store, (NAME, V1)) == Versions(4, 17, ((NAME, Version(5, 40)),), 9)
    assert compared(store, (NAME, V2)) == Versions(4, 17, (), 9)


# --- comparing publishers -------------------------------------------------------------------------


def compare(*named: tuple[bytes, int], low: int = 0, high: int = 255) -> ComparePublishers:
    return ComparePublishers(low, high, named)


def test_missing_and_older_publishers_are_asked_for() -> None:
    store = make_store(make_publisher(P1, version=2), make_publisher(P2, version=2))

    answer = follower_answers.compared_publishers(store, compare((P1, 2), (P2, 3), (P3, 1)), S1)

    assert answer == PublishersCompared((P2, P3), ())


def test_a_stored_publisher_that_was_not_named_is_a_stray_with_its_datum_and_version() -> None:
    store = make_store(make_publisher(P1, version=2))
    put(store, make_publisher(P2, version=3), OTHER)

    answer = follower_answers.compared_publishers(store, compare((P1, 1)), S1)

    assert answer == PublishersCompared((), ((OTHER, P2, 3),))


def test_publishers_of_other_sessions_do_not_count_for_this_session() -> None:
    store = make_store(make_publisher(P1, session=S2), make_publisher(P2, session=S2))

    answer = follower_answers.compared_publishers(store, compare((P1, 1)), S1)

    assert answer == PublishersCompared((P1,), ())


def test_only_ids_of_the_range_are_compared() -> None:
    store = make_store(make_publisher(P1), make_publisher(P2), make_publisher(P3))

    assert follower_answers.compared_publishers(
        store, compare(low=2, high=2), S1
    ) == PublishersCompared((), ((NAME, P2, 1),))


def test_very_many_strays_are_sent_as_far_as_they_fit() -> None:
    count = Limits.ids_per_record_max + 1
    store = DatumStore(CONFIG)
    short = DataInfoId("a")
    for number in range(count):
        store.put(short, make_publisher(number.to_bytes(2) * 8))
    named = tuple((b"\xff\xff" + number.to_bytes(14), 1) for number in range(count))

    answer = follower_answers.compared_publishers(store, ComparePublishers(0, 255, named), S1)

    assert len(answer.missing) == Limits.ids_per_record_max
    assert 8000 < len(answer.strays) <= Limits.ids_per_record_max
    assert len(encode_frames([answer])) == 1


@pytest.mark.parametrize("letter", ["a", "\U0001f98a"])
def test_strays_with_long_names_fit_into_a_record(letter: str) -> None:
    """Clients choose the names; the next comparison finds the strays that are left out."""
    part = letter * Limits.id_part_characters_max
    name = data_info_id(part, instance_id=part, group=part)
    store = DatumStore(CONFIG)
    for number in range(2000):
        store.put(name, make_publisher(number.to_bytes(16)))

    answer = follower_answers.compared_publishers(store, compare(), S1)

    assert 80 < len(answer.strays) < 2000
    assert [number for _, number, _ in answer.strays] == [
        number.to_bytes(16) for number in range(len(answer.strays))
    ]
    assert len(encode_frames([answer])) == 1


def test_as_many_strays_as_a_record_takes_are_all_sent() -> None:
    store = DatumStore(CONFIG)
    for number in range(5000):
        store.put(DataInfoId("a"), make_publisher(number.to_bytes(16)))

    assert len(follower_answers.compared_publishers(store, compare(), S1).strays) == 5000


# --- listing --------------------------------------------------------------------------------------


def make_listing(*data_ids: str) -> tuple[DatumStore, list[DatumSummary]]:
    """Return a store with a publisher for each id, and the lines of its listing."""
    store = DatumStore(CONFIG)
    for data_id in data_ids:
        put(store, make_publisher(P1), data_info_id(data_id))
    lines = [DatumSummary(datum.name, datum.version, 1) for datum in store.buckets]
    return store, sorted(lines, key=lambda line: line.data_info_id)


def test_a_listing_is_in_the_order_of_the_names() -> None:
    store, lines = make_listing("b", "c", "a")

    listed = follower_answers.listed_datums(store, ListDatums(5, "*"))

    assert listed == DatumsListed(5, tuple(lines))
    assert [line.data_info_id[0] for line in lines] == ["a", "b", "c"]


def test_a_listing_leaves_out_datums_without_publishers() -> None:
    store, lines = make_listing("a", "b")
    put(store, Removal(P1, 1, Cause.BYE), data_info_id("b"))

    assert follower_answers.listed_datums(store, ListDatums(5, "*")) == DatumsListed(5, (lines[0],))


def test_a_listing_goes_on_after_the_last_name_until_it_is_complete() -> None:
    store, lines = make_listing(*"abcde")
    pages = []
    after = ""
    for _ in range(3):
        page = follower_answers.listed_datums(store, ListDatums(5, "*", after, 2))
        pages.append((page.datums, page.is_complete))
        after = page.datums[-1].data_info_id

    assert pages == [
        (tuple(lines[:2]), False),
        (tuple(lines[2:4]), False),
        (tuple(lines[4:]), True),
    ]


def test_a_listing_of_the_longest_names_goes_on_after_what_fits_one_record() -> None:
    store, lines = make_listing(*(f"{number:03}" + "\U0001f98a" * 253 for number in range(600)))
    found: list[DatumSummary] = []
    is_complete = False
    while not is_complete:
        after = found[-1].data_info_id if found else ""
        page = follower_answers.listed_datums(store, ListDatums(5, "*", after))
        assert len(encode_frames([page])) == 1
        assert page.datums
        found += page.datums
        is_complete = page.is_complete

    assert found == lines


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("pay*", ["pay", "payroll"]),
        ("pay#@#*", ["pay"]),
        ("*ship*", ["ship"]),
        ("[ps]*", ["pay", "payroll", "ship"]),
        ("PAY*", []),
        ("pay", []),
        ("", []),
    ],
)
def test_a_pattern_matches_whole_names_as_a_shell_does(pattern: str, found: list[str]) -> None:
    store, _ = make_listing("pay", "payroll", "ship")

    listed = follower_answers.listed_datums(store, ListDatums(5, pattern))

    assert [line.data_info_id.partition("#")[0] for line in listed.datums] == found


@given(st.text(st.sampled_from("ab*?[]!-^\\&~|#@"), max_size=12))
def test_no_pattern_raises(pattern: str) -> None:
    store, lines = make_listing("a", "ab", "b-a")

    listed = follower_answers.listed_datums(store, ListDatums(5, pattern))

    names = [line.data_info_id for line in lines]
    assert [line.data_info_id for line in listed.datums] == [
        name for name in names if fnmatch.fnmatchcase(name, pattern)
    ]


def test_a_listing_shows_the_version_and_the_number_of_publishers() -> None:
    store = make_store(make_publisher(P1), make_publisher(P2))
    request = replace(ListDatums(5, "*"), limit=1)

    assert follower_answers.listed_datums(store, request) == DatumsListed(
        5, (DatumSummary(NAME, V2, 2),)
    )
