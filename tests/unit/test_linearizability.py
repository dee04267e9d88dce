"""The checkers of linearizability pass correct histories, and find what is wrong with others."""

import pytest

from zreg.testing.checkers.linearizability import (
    NEVER,
    Kind,
    Operation,
    Outcome,
    VersionedOperation,
    find_anomaly,
    find_versioned_anomaly,
)


def write(value: int, start: float, end: float = NEVER) -> Operation:
    return Operation(is_write=True, value=value, start=start, end=end)


def read(value: int, start: float, end: float = NEVER) -> Operation:
    return Operation(is_write=False, value=value, start=start, end=end)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [read(0, 0, 1)],
        [write(1, 0, 1), read(1, 2, 3)],
        [write(1, 0, 9), read(0, 1, 2), read(1, 3, 4)],
        [write(1, 0), read(0, 1, 2), read(1, 3, 4)],
        [write(1, 0), read(0, 5, 6)],
        [write(1, 0, 5), write(2, 1, 6), read(2, 7, 8)],
        [write(1, 0, 5), write(2, 1, 6), read(1, 7, 8)],
        [write(1, 0, 1), read(2, 2)],
    ],
)
def test_linearizable_histories_pass(history: list[Operation]) -> None:
    assert find_anomaly(history, initial=0) is None


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([read(1, 0, 1)], "written 0 times"),
        ([write(1, 0, 1), write(1, 2, 3)], "written 2 times"),
        ([write(1, 5, 6), read(1, 0, 1)], "before it was written"),
        ([write(1, 0, 1), read(0, 2, 3)], "1 was the value while 0 was"),
        ([write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)], "2 was the value while 1 was"),
        (
            [write(1, 0, 1), write(2, 0, 1), read(1, 2, 3), read(2, 4, 5), read(1, 6, 7)],
            "were both the value",
        ),
    ],
)
def test_stale_and_impossible_reads_are_found(history: list[Operation], why: str) -> None:
    anomaly = find_anomaly(history, initial=0)

    assert anomaly is not None
    assert why in anomaly


def read_at(value: int, version: int, start: int, end: float) -> VersionedOperation:
    return VersionedOperation(Kind.READ, Outcome.DONE, value, version, None, start, end)


def set_(
    value: int,
    version: int,
    start: int,
    end: float = NEVER,
    outcome: Outcome = Outcome.DONE,
    if_version: int | None = None,
) -> VersionedOperation:
    return VersionedOperation(Kind.SET, outcome, value, version, if_version, start, end)


def remove(
    start: int,
    end: float = NEVER,
    outcome: Outcome = Outcome.DONE,
    if_version: int | None = None,
) -> VersionedOperation:
    return VersionedOperation(Kind.REMOVE, outcome, 0, 0, if_version, start, end)


LOST, REFUSED = Outcome.UNKNOWN, Outcome.REFUSED


@pytest.mark.parametrize(
    "history",
    [
        [],
        [read_at(0, 0, 1, 2)],
        [set_(1, 5, 1, 2), read_at(1, 5, 3, 4), remove(5, 6), read_at(0, 0, 7, 8)],
        [set_(1, 5, 1, 6), read_at(0, 0, 2, 3), read_at(1, 5, 4, 5)],
        [set_(1, 5, 1, 2), set_(2, 6, 3, 4, if_version=5), read_at(2, 6, 5, 6)],
        [set_(1, 5, 1, 2), set_(2, 0, 3, 4, REFUSED, if_version=0), read_at(1, 5, 5, 6)],
        [set_(1, 5, 1, 2), remove(3, 4, REFUSED, if_version=4), read_at(1, 5, 5, 6)],
        # An operation with an unknown outcome may have happened at any later time, or never.
        [set_(1, 0, 1, outcome=LOST), read_at(0, 0, 2, 3), read_at(1, 9, 4, 5)],
        [set_(1, 0, 1, outcome=LOST), read_at(0, 0, 2, 3), read_at(0, 0, 4, 5)],
        [
            set_(1, 5, 1, 2),
            remove(3, outcome=LOST),
            read_at(1, 5, 4, 5),
            read_at(0, 0, 6, 7),
        ],
        # The change with the unknown outcome must have happened before the refusal.
        [set_(1, 5, 1, 2), set_(2, 0, 3, outcome=LOST), remove(4, 5, REFUSED, if_version=5)],
        [
            VersionedOperation(Kind.READ, LOST, 0, 0, None, 1, NEVER),
            set_(1, 5, 2, 3),
            read_at(1, 5, 4, 5),
        ],
    ],
)
def test_linearizable_versioned_histories_pass(history: list[VersionedOperation]) -> None:
    assert find_versioned_anomaly(history) is None
    assert find_versioned_anomaly(reversed(history)) is None


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([read_at(1, 5, 1, 2)], "read 1 at 5"),
        (
            [set_(1, 5, 1, 2), read_at(0, 0, 3, 4)],
            "holds 1 at 5, and none fits of: [3, 4] read",
        ),
        ([set_(1, 5, 1, 2), set_(2, 6, 3, 4), read_at(1, 5, 5, 6)], "holds 2 at 6"),
        ([set_(1, 5, 1, 2), read_at(1, 6, 3, 4)], "seen at versions 5 and 6"),
        ([set_(1, 5, 1, 2), set_(2, 4, 3, 4)], "set 2 at 4"),
        ([set_(1, 5, 1, 2), remove(3, 4), read_at(1, 5, 5, 6)], "holds nothing"),
        ([set_(1, 5, 1, 2), remove(3, 4), set_(2, 5, 5, 6)], "set 2 at 5: done"),
        ([set_(1, 5, 1, 2), set_(2, 6, 3, 4, if_version=0)], "set 2 at 6 if at 0: done"),
        ([set_(1, 5, 1, 2), remove(3, 4, REFUSED, if_version=5)], "remove nothing if at 5"),
        ([set_(1, 0, 5, outcome=LOST), read_at(1, 9, 1, 2)], "read 1 at 9"),
        ([set_(1, 0, 1, outcome=LOST, if_version=7), read_at(1, 9, 2, 3)], "if at 7: unknown"),
        # The change happened once: a removed value does not come back.
        (
            [
                set_(1, 0, 1, outcome=LOST),
                read_at(1, 9, 2, 3),
                remove(4, 5),
                read_at(1, 9, 6, 7),
            ],
            "holds nothing",
        ),
    ],
)
def test_histories_that_no_order_explains_are_found(
    history: list[VersionedOperation], why: str
) -> None:
    anomaly = find_versioned_anomaly(history)

    assert anomaly is not None
    assert why in anomaly


def test_a_history_that_cannot_be_decided_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zreg.testing.checkers.linearizability._STEPS_MAX", 20)
    history = [set_(n, 0, n, outcome=LOST) for n in range(1, 9)]

    with pytest.raises(OverflowError, match="too many orders"):
        find_versioned_anomaly([*history, read_at(99, 1, 10, 11)])
