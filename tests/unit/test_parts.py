"""Parts of a datum: none is too large for a frame, and together they are the whole datum."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import encoded_size, make_publisher, messages_of, publisher_ids, publishers

from zreg.config import Limits
from zreg.model import Cause, Change, DataInfoId, Incarnation, Publisher, Removal, Version
from zreg.wire.codec import encode_frames
from zreg.wire.parts import (
    change_size,
    copy_parts,
    cut_detail,
    fits_inline,
    in_parts,
    replicate_records,
)
from zreg.wire.records.data_messages import Changes, Snapshot

NAME = DataInfoId("a#@#b#@#c")
WIDEST = "\U0001f98a" * Limits.label_characters_max
# The largest publisher, without its body, and the largest removal.
ID, MOST = b"\xff" * 16, 2**63 - 1
LARGEST = Publisher(ID, MOST, ID, Incarnation(MOST, WIDEST), WIDEST, WIDEST, WIDEST, b"")
LARGEST_WITH_BODY = replace(LARGEST, body=bytes(Limits.body_bytes_max))
LARGEST_REMOVAL = Removal(ID, MOST, Cause.EVICTED, LARGEST.session)


@given(messages_of(Change))
def test_an_estimated_size_is_near_the_size_on_the_wire_and_never_less(change: Change) -> None:
    exact = encoded_size(change)

    assert exact <= change_size(change) <= exact * 4 + 200


@pytest.mark.parametrize("publisher", [LARGEST, LARGEST_WITH_BODY])
def test_the_estimate_holds_for_the_largest_publisher(publisher: Publisher) -> None:
    change = Change(Version(MOST, MOST - 1), Version(MOST, MOST), (publisher,), (LARGEST_REMOVAL,))

    assert encoded_size(change) <= change_size(change)


def test_an_empty_change_has_a_size_too() -> None:
    """Many empty changes do not fit into a frame."""
    change = Change(Version(MOST, MOST - 1), Version(MOST, MOST), (), ())

    assert encoded_size(change) <= change_size(change)


def test_a_usual_registration_fits_into_its_hint() -> None:
    publisher = make_publisher(body=b"x" * 500, zone="zone-1")

    change = Change(Version(0, 0), Version(0, 1), (publisher,) * 6, ())

    assert change_size(change) < Limits.inline_change_bytes_max


@given(st.lists(st.integers(0, Limits.body_bytes_max), max_size=30))
def test_parts_are_bounded_and_together_they_are_the_whole(sizes: list[int]) -> None:
    publishers = [make_publisher(body=bytes(size)) for size in sizes]

    parts = list(in_parts(publishers))

    assert [publisher for part in parts for publisher in part] == publishers
    assert all(len(part) > 0 for part in parts[1:])
    assert all(sum(encoded_size(p) for p in part) <= Limits.part_bytes_max for part in parts)


def test_a_part_is_filled_up_to_its_size_and_no_further() -> None:
    one = make_publisher(body=bytes(Limits.body_bytes_max))
    fit = Limits.part_bytes_max // change_size(Change(Version(0, 0), Version(0, 1), (one,), ()))

    assert [len(part) for part in in_parts([one] * (fit + 1))] == [fit, 1]


def test_no_publishers_make_one_empty_part() -> None:
    assert list(in_parts([])) == [()]


def test_a_part_of_the_largest_publishers_fits_into_a_frame() -> None:
    """Clients choose the labels, and must not be able to make a frame too large to send."""
    parts = list(in_parts([LARGEST] * 3000))

    for part in parts:
        snapshot = Snapshot(1, NAME, Version(1, 1), part, 0, 0)
        assert len(encode_frames([snapshot])) == 1


def test_a_change_within_the_size_of_a_part_fits_into_a_frame() -> None:
    count = Limits.part_bytes_max // 300
    change = Change(Version(0, 0), Version(0, 1), (), (LARGEST_REMOVAL,) * count)
    assert change_size(change) > Limits.part_bytes_max * 0.9

    changes = Changes(1, NAME, (change,), 0)

    assert len(msgspec.msgpack.encode(changes)) < Limits.frame_bytes_max


@given(messages_of(Change))
def test_a_change_fits_into_a_hint_if_it_is_small(change: Change) -> None:
    if fits_inline(change):
        assert encoded_size(change) <= Limits.inline_change_bytes_max
    else:
        assert change_size(change) > Limits.inline_change_bytes_max


@pytest.mark.parametrize("body_bytes", range(2800, 4200, 100))
def test_a_large_publisher_is_measured_before_it_goes_into_a_hint(body_bytes: int) -> None:
    publisher = make_publisher(body=bytes(body_bytes))
    change = Change(Version(1, 1), Version(1, 2), (publisher,), ())

    assert fits_inline(change) == (change_size(change) <= Limits.inline_change_bytes_max)


def test_a_publisher_with_the_longest_labels_never_exceeds_the_size_of_a_hint() -> None:
    for body_bytes in range(0, 4096, 64):
        change = Change(
            Version(1, 1), Version(1, 2), (replace(LARGEST, body=bytes(body_bytes)),), ()
        )
        if fits_inline(change):
            assert encoded_size(change) <= Limits.inline_change_bytes_max


# --- copies ---------------------------------------------------------------------------------------

LONGEST_NAME = DataInfoId("#@#".join(["\U0001f98a" * Limits.id_part_characters_max] * 3))


def pieces_of(change: Change, name: DataInfoId = NAME) -> list[Change]:
    """Return the pieces of a change in the records that carry it, in order."""
    records = replicate_records(1, 1, [(name, change, (1.0,) * change.tombstone_count)])
    return [piece for record in records for _, piece in record.changes]


def merged(changes: list[Change]) -> dict[bytes, Publisher]:
    """Return what a copy holds that was empty before these changes."""
    content: dict[bytes, Publisher] = {}
    for change in changes:
        content.update((each.publisher_id, each) for each in change.publishers)
        for removal in change.removals:
            content.pop(removal.publisher_id, None)
    return content


@given(
    st.lists(st.tuples(publishers, st.integers(0, Limits.body_bytes_max)), max_size=12),
    st.lists(publisher_ids, max_size=5),
    st.booleans(),
)
def test_the_pieces_of_a_change_merged_in_order_give_the_change(
    sized: list[tuple[Publisher, int]],
    removed: list[bytes],
    is_quiet: bool,  # noqa: FBT001 -- drawn
) -> None:
    change = Change(
        Version(1, 1),
        Version(1, 2),
        tuple(replace(publisher, body=bytes(size)) for publisher, size in sized),
        tuple(Removal(key, 9, Cause.UNPUBLISHED) for key in removed),
        is_quiet,
    )

    pieces = pieces_of(change)

    assert merged(pieces) == merged([change])
    assert {(p.source_version, p.version, p.is_quiet) for p in pieces} == {
        (change.source_version, change.version, change.is_quiet)
    }


def test_a_change_that_fits_a_record_stays_in_one_piece() -> None:
    change = Change(Version(1, 1), Version(1, 2), (LARGEST, LARGEST), (LARGEST_REMOVAL,) * 5)

    assert pieces_of(change) == [change]


def test_a_change_of_one_item_of_any_size_is_one_piece() -> None:
    removal = Change(Version(1, 1), Version(1, 2), (), (LARGEST_REMOVAL,))
    publisher = Change(Version(1, 1), Version(1, 2), (LARGEST_WITH_BODY,), ())

    assert pieces_of(removal) == [removal]
    assert pieces_of(publisher) == [publisher]


def test_the_seconds_of_its_removals_are_in_the_record_of_a_piece_in_their_order() -> None:
    """An eviction has none."""
    evicted = replace(LARGEST_REMOVAL, cause=Cause.EVICTED)
    withdrawn = replace(LARGEST_REMOVAL, cause=Cause.UNPUBLISHED)
    removals = (evicted, *(withdrawn,) * 450) * 2
    large = Change(Version(1, 1), Version(1, 2), (LARGEST,), removals)
    small = Change(Version(1, 2), Version(1, 3), (), (evicted, withdrawn))
    seconds = tuple(float(number) for number in range(1, 902))

    records = replicate_records(1, 9, [(NAME, large, seconds[:900]), (NAME, small, seconds[900:])])

    assert len(records) > 1
    assert sum((record.tombstone_seconds for record in records), ()) == seconds
    for record in records:
        count = sum(change.tombstone_count for _, change in record.changes)
        assert count == len(record.tombstone_seconds)


def test_a_change_that_is_too_large_has_its_publishers_first() -> None:
    change = Change(
        Version(1, 1), Version(1, 2), (LARGEST_WITH_BODY,) * 7, (LARGEST_REMOVAL,) * 900
    )

    pieces = pieces_of(change)

    sizes = [(len(piece.publishers), len(piece.removals)) for piece in pieces]
    assert sizes == [(3, 0), (3, 0), (1, 0), (0, 851), (0, 49)]
    assert all(change_size(piece) <= Limits.part_bytes_max for piece in pieces)


def test_a_change_of_many_removals_is_split() -> None:
    change = Change(Version(1, 1), Version(1, 2), (), (LARGEST_REMOVAL,) * 900)

    assert [len(piece.removals) for piece in pieces_of(change)] == [851, 49]


def test_a_change_of_many_publishers_is_split() -> None:
    change = Change(Version(1, 1), Version(1, 2), (LARGEST_WITH_BODY,) * 5, ())

    assert [len(piece.publishers) for piece in pieces_of(change)] == [3, 2]


@pytest.mark.parametrize("name", [NAME, LONGEST_NAME])
def test_an_estimated_size_counts_the_name_of_a_change(name: DataInfoId) -> None:
    """Many small changes do not fit into a frame."""
    change = Change(Version(MOST, MOST - 1), Version(MOST, MOST), (), ())

    records = replicate_records(MOST, MOST, [(name, change, ())] * 5000)

    assert len(records) > 1
    assert all(encoded_size(record) <= Limits.part_bytes_max + 30 for record in records)


@given(st.integers(0, 40), st.integers(0, 1500))
def test_the_parts_of_a_copy_are_bounded_and_together_they_are_the_whole(
    publisher_count: int, tombstone_count: int
) -> None:
    tombstones = [(LARGEST_REMOVAL, float(number + 1)) for number in range(tombstone_count)]

    parts = copy_parts([LARGEST_WITH_BODY] * publisher_count, tombstones)

    assert [each for part in parts for each in part[0]] == [LARGEST_WITH_BODY] * publisher_count
    assert [each for part in parts for each in part[1]] == tombstones
    assert all(len(msgspec.msgpack.encode(part)) <= Limits.part_bytes_max + 30 for part in parts)
    assert all(part[0] or part[1] for part in parts[1:])


def test_a_copy_of_an_empty_datum_has_one_empty_part() -> None:
    assert copy_parts([], []) == [((), ())]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("word " * 99 + "words", "words"),
        ("word " * 99 + "longer", " word ..."),
        ("x" * 501, "xxx ..."),
        ("a " + "x" * 600, "xxx ..."),
    ],
)
def test_a_detail_is_cut_between_two_words_where_it_has_words(text: str, end: str) -> None:
    cut = cut_detail(text)

    assert cut.endswith(end)
    assert text.startswith(cut.removesuffix(" ..."))
    assert len(cut) <= Limits.detail_characters_max
