"""Leases: silence is judged by somebody who was awake, and from the longest on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.primitives.lease import LeaseTable

LEASE = 4.0
LOOK = LEASE / 16


def look_until(table: LeaseTable[str], start: float, end: float) -> list[tuple[float, list[str]]]:
    """Look as often as asked for; return when somebody expired, and who. Those are dropped."""
    seen = []
    now = start
    while now <= end:
        if out := table.expired(now):
            seen.append((now, out))
        for holder in out:
            table.drop(holder)
        now += LOOK
    return seen


def test_silence_for_a_lease_ends_it() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    table.renew("a", 0.0)

    assert look_until(table, 0.0, LEASE + LOOK) == [(LEASE, ["a"])]
    assert "a" not in table
    assert len(table) == 0


def test_who_renews_stays() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    for second in range(20):
        table.renew("a", float(second))
        assert look_until(table, float(second), second + 1 - LOOK) == []

    assert "a" in table


def test_the_longest_silent_expire_first() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    for holder, now in (("a", 0.0), ("b", 0.25), ("c", 0.5), ("a", 0.75)):
        table.renew(holder, now)

    look_until(table, 0.0, LEASE - LOOK)

    assert table.expired(LEASE + 0.25) == ["b"]
    assert table.expired(LEASE + 0.75) == ["b", "c", "a"]


def test_a_stall_gives_everybody_a_whole_lease() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    table.renew("a", 0.0)
    assert table.expired(1.0) == []

    woke = 100.0
    table.renew("b", woke)
    assert table.expired(woke) == []

    assert table.stall_count == 1
    assert look_until(table, woke, woke + LEASE) == [(woke + LEASE, ["a", "b"])]


def test_a_look_that_is_just_in_time_is_no_stall() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    table.renew("a", 0.0)

    assert [table.expired(float(second)) for second in range(1, 5)] == [[], [], [], ["a"]]
    assert table.stall_count == 0


def test_a_restart_counts_from_now() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    table.renew("a", 0.0)
    look_until(table, 0.0, 3.0)

    table.restart_all(3.0)

    assert look_until(table, 3.0, 3.0 + LEASE) == [(3.0 + LEASE, ["a"])]


def test_dropping_a_stranger_is_fine() -> None:
    table = LeaseTable[str](LEASE, now=0.0)

    table.drop("nobody")

    assert len(table) == 0


def test_looks_are_asked_for_often_enough_that_lateness_means_a_stall() -> None:
    table = LeaseTable[str](LEASE, now=2.0)
    assert 2.0 < table.next_look_at() < 2.0 + LEASE / 4

    table.expired(table.next_look_at())

    assert table.next_look_at() == pytest.approx(2.0 + 2 * LOOK)


def test_a_lease_of_nothing_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        LeaseTable[str](0.0, now=0.0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 24).map(lambda eighths: eighths / 8)),
        max_size=30,
    )
)
def test_nobody_expires_before_a_whole_lease_in_which_the_judge_was_awake(
    events: list[tuple[str, float]],
) -> None:
    """Renewals after pauses of any length, a look after each: whoever is out was silent for it."""
    table = LeaseTable[str](LEASE, now=0.0)
    now, woke = 0.0, 0.0
    renewed: dict[str, float] = {}
    for holder, pause in events:
        now += pause
        woke = now if pause > LEASE / 4 else woke
        table.renew(holder, now)
        renewed[holder] = now
        out = table.expired(now)
        assert out == sorted(
            (h for h, at in renewed.items() if now - max(at, woke) >= LEASE),
            key=lambda h: renewed[h],
        )
