"""Configurations: which changes are allowed, their bytes, and their history along the log."""

import pytest
from raft_helpers import (
    FIVE,
    THREE,
    members,
)

from zreg.raft.configuration import (
    Configuration,
    ConfigurationHistory,
    check_change,
    decode_configuration,
    encode_configuration,
)
from zreg.raft.errors import ConfigurationError

OLD = members(THREE, ("n4",))


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (members((), ("n1",)), "last voter"),
        (members([f"n{number}" for number in range(8)]), "at most 7"),
        (Configuration(("n1", "n2", "n3", "n3"), (), {"n1": "", "n2": "", "n3": ""}), "once"),
        (Configuration(THREE, (), {"n1": ""}), "one address"),
        (OLD.with_journal("n9", "x"), "only members have journals"),
        (OLD.with_journal("n1", "x\ty"), "a journal holds a tab"),
        (members(("n1",)), "one at a time"),
        (members(("n1", "n2"), ("n4", "n5")), "one at a time"),
        (members((*THREE, "n5"), ("n4",)), "catch up"),
        (OLD.with_address("n1", "a\tb"), "line break"),
        (OLD.with_address("n1", "a\nb"), "line break"),
    ],
)
def test_changes_that_are_refused(new: Configuration, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check_change(OLD, new)


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        OLD.with_voter("n4"),
        OLD.without("n4"),
        OLD.without("n1"),
        OLD.with_learner("n5", "at n5"),
        OLD.with_learner("n3", "at n3"),
        OLD.with_address("n2", "elsewhere"),
        OLD.with_journal("n4", "a disk"),
    ],
)
def test_changes_of_one_member_are_allowed(new: Configuration) -> None:
    check_change(OLD, new)
    assert decode_configuration(encode_configuration(new)) == new


def test_a_configuration_is_changed_by_value() -> None:
    assert OLD.with_voter("n4") == members((*THREE, "n4"))
    assert OLD.without("n1") == members(("n2", "n3"), ("n4",))
    assert OLD.with_learner("n3", "at n3") == members(("n1", "n2"), ("n3", "n4"))
    assert OLD.with_address("n2", "x").addresses["n2"] == "x"
    assert members(THREE, ("n4",)) == OLD


@pytest.mark.parametrize(
    "data", [b"garbage", b"voter\tn1", b"king\tn1\there\t", b"voter\tn1\there", b"\xff\t\t\t"]
)
def test_bytes_without_a_configuration_are_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match="no configuration"):
        decode_configuration(data)


def test_a_configuration_may_be_empty() -> None:
    assert decode_configuration(encode_configuration(Configuration())) == Configuration()


def test_a_history_is_truncated_and_compacted() -> None:
    one, two, three = members(THREE), members(FIVE), members(("n1",))
    history = ConfigurationHistory(0, Configuration())
    history.append(1, one)
    history.append(5, two)
    history.append(9, three)
    assert [history.at(index) for index in (0, 1, 4, 5, 8, 9)] == [
        Configuration(), one, one, two, two, three
    ]  # fmt: skip

    history.truncate(9)
    assert (history.latest, history.latest_index) == (two, 5)
    history.compact(6)
    assert (history.latest, history.latest_index, history.at(3)) == (two, 6, two)
    history.append(7, three)
    history.compact(6)
    assert (history.latest, history.at(6)) == (three, two)
