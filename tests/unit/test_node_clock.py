"""Clocks of machines: how far times may be off, and how messages narrow that down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.cli.tracing.node_clock import Interval, Sent, aligned, clock_error


def test_the_error_is_half_of_the_round_trip_and_grows_with_the_age() -> None:
    assert clock_error(0.004, 0.0) == 0.002
    assert clock_error(0.004, 100.0) == pytest.approx(0.012)


def test_without_messages_the_errors_of_both_nodes_count() -> None:
    assert aligned({"s1": 0.5, "d1": 1.0}, "s1", []) == {
        "s1": Interval(0.0, 0.0),
        "d1": Interval(-1.5, 1.5),
    }


def test_a_message_there_and_back_fixes_a_clock_within_its_own_round_trip() -> None:
    there, back = Sent("s1", 10.0, "d1", 13.0), Sent("d1", 13.0, "s1", 10.5)

    found = aligned({"s1": 5.0, "d1": 5.0}, "s1", [there, back])

    assert found == {"s1": Interval(0.0, 0.0), "d1": Interval(-3.0, -2.5)}
    assert (found["d1"].middle, found["d1"].error) == (-2.75, 0.25)


def test_a_bound_goes_on_over_several_nodes() -> None:
    messages = [Sent("d1", 1.0, "s2", 0.0), Sent("s1", 5.0, "d1", 1.0)]

    found = aligned({"s1": 10.0, "d1": 10.0, "s2": 10.0}, "s1", messages)

    assert found["d1"].low == 4.0
    assert found["s2"].low == 5.0


def test_messages_that_contradict_each_other_narrow_nothing() -> None:
    there, back = Sent("s1", 10.0, "d1", 13.0), Sent("d1", 14.0, "s1", 10.5)

    assert aligned({"s1": 5.0, "d1": 5.0}, "s1", [there, back])["d1"] == Interval(-10.0, 10.0)


OFFSETS = st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=5)
TRAVELS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.floats(0, 10), st.floats(0, 1)), max_size=12
)


@given(OFFSETS, TRAVELS)
def test_the_true_clocks_are_always_within_the_intervals(
    offsets: list[float], travels: list[tuple[int, int, float, float]]
) -> None:
    """Each node's clock is off by its offset; messages take their time between true moments."""
    names = [f"n{number}" for number in range(len(offsets))]
    messages = [
        Sent(names[a], at - offsets[a], names[b], at + took - offsets[b])
        for a, b, at, took in travels
        if a != b and max(a, b) < len(names)
    ]

    found = aligned(dict.fromkeys(names, 1.0), "n0", messages)

    for name, offset in zip(names, offsets, strict=True):
        interval = found[name]
        assert interval.low - 1e-9 <= offset - offsets[0] <= interval.high + 1e-9
