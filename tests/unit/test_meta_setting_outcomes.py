"""The outcomes of the last changes: found by id, bounded, and part of a snapshot."""

from zreg.config import Limits
from zreg.meta.state.setting_outcomes import SettingOutcomes
from zreg.wire.log_commands import Outcome


def outcome(number: int) -> Outcome:
    return Outcome(number.to_bytes(16), number)


def test_an_outcome_is_found_by_its_id() -> None:
    outcomes = SettingOutcomes()
    outcomes.note(outcome(1))

    assert outcomes.find(outcome(1).change_id) == outcome(1)
    assert outcomes.find(outcome(2).change_id) is None


def test_an_outcome_without_an_id_is_not_remembered() -> None:
    outcomes = SettingOutcomes()
    outcomes.note(Outcome(b"", 1))

    assert outcomes.find(b"") is None
    assert len(outcomes) == 0


def test_the_oldest_is_forgotten_for_the_newest() -> None:
    outcomes = SettingOutcomes()
    for number in range(Limits.changes_remembered_max + 1):
        outcomes.note(outcome(number))

    assert len(outcomes) == Limits.changes_remembered_max
    assert outcomes.find(outcome(0).change_id) is None
    assert outcomes.find(outcome(1).change_id) == outcome(1)


def test_a_copy_has_the_same_outcomes_in_the_same_order() -> None:
    outcomes = SettingOutcomes()
    for number in (2, 3, 1):
        outcomes.note(outcome(number))

    copy = SettingOutcomes(outcomes.all())

    assert copy.all() == outcomes.all() == (outcome(2), outcome(3), outcome(1))
