"""Leases: a holder expires after a whole lease of silence in which the process was running."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.primitives.timing.lease import LeaseTable

LEASE = 4.0
CHECK_SECONDS = LEASE / 16


def check_until(table: LeaseTable[str], start: float, end: float) -> list[tuple[float, list[str]]]:
    """Check as often as asked for; return when holders expired, and which. They are dropped."""
    found = []
    now = start
    while now <= end:
        if out := table.expired(now):
            found.append((now, out))
        for holder in out:
            table.drop(holder)
        now += CHECK_SECONDS
    return found


def test_a_holder_expires_after_a_lease_of_silence() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    table.renew("a", 0.0)

    assert check_until(table, 0.0, LEASE + CHECK_SECONDS) == [(LEASE, ["a"])]
    assert "a" not in table
    assert len(table) == 0


def test_a_holder_that_renews_stays() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    for second in range(20):
        table.renew("a", float(second))
        assert check_until(table, float(second), second + 1 - CHECK_SECONDS) == []

    assert "a" in table


def test_the_longest_silent_expire_first() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    for holder, now in (("a", 0.0), ("b", 0.25), ("c", 0.5), ("a", 0.75)):
        table.renew(holder, now)

    check_until(table, 0.0, LEASE - CHECK_SECONDS)

    assert table.expired(LEASE + 0.25) == ["b"]
    assert table.expired(LEASE + 0.75) == ["b", "c", "a"]


def test_all_leases_start_again_after_a_stall() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    table.renew("a", 0.0)
    assert table.expired(1.0) == []

    woke = 100.0
    table.renew("b", woke)
    assert table.expired(woke) == []

    assert table.stall_count == 1
    assert check_until(table, woke, woke + LEASE) == [(woke + LEASE, ["a", "b"])]


def test_a_check_that_is_just_in_time_is_no_stall() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    table.renew("a", 0.0)

    assert [table.expired(float(second)) for second in range(1, 5)] == [[], [], [], ["a"]]
    assert table.stall_count == 0


def test_restarted_leases_count_from_now() -> None:
    table = LeaseTable[str](LEASE, now=0.0)
    table.renew("a", 0.0)
    check_until(table, 0.0, 3.0)

    table.restart_all(3.0)

    assert check_until(table, 3.0, 3.0 + LEASE) == [(3.0 + LEASE, ["a"])]


def test_dropping_an_unknown_holder_does_nothing() -> None:
    table = LeaseTable[str](LEASE, now=0.0)

    table.drop("unknown")

    assert len(table) == 0


def test_the_next_check_is_due_so_soon_that_a_late_one_shows_a_stall() -> None:
    table = LeaseTable[str](LEASE, now=2.0)
    assert 2.0 < table.next_look_at() < 2.0 + LEASE / 4

    table.expired(table.next_look_at())

    assert table.next_look_at() == pytest.approx(2.0 + 2 * CHECK_SECONDS)


def test_a_lease_of_0_seconds_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        LeaseTable[str](0.0, now=0.0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 24).map(lambda eighths: eighths / 8)),
        max_size=30,
    )
)
def test_a_holder_expires_only_after_a_whole_lease_in_which_the_process_ran(
    events: list[tuple[str, float]],
) -> None:
    """Renewals after pauses of any length, with a check after each."""
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
