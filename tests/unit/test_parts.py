"""Parts of a datum: none is too large for a frame, and together they are the whole datum."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import encoded_size, make_publisher, messages_of

from zreg.config import Limits
from zreg.model import Cause, Change, Incarnation, Publisher, Removal, Version
from zreg.wire.codec import encode_frames
from zreg.wire.data_messages import Changes, Snapshot
from zreg.wire.parts import change_size, fits_inline, in_parts

NAME = "a#@#b#@#c"
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
        snapshot = Snapshot(1, NAME, Version(1, 1), part, 0, 0)  # type: ignore[arg-type]
        assert len(encode_frames([snapshot])) == 1


def test_a_change_within_the_size_of_a_part_fits_into_a_frame() -> None:
    count = Limits.part_bytes_max // 300
    change = Change(Version(0, 0), Version(0, 1), (), (LARGEST_REMOVAL,) * count)
    assert change_size(change) > Limits.part_bytes_max * 0.9

    changes = Changes(1, NAME, (change,), 0)  # type: ignore[arg-type]

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
