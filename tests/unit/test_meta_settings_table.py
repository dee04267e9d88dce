"""Settings: a change happens at the expected version, and at most once."""

import msgspec
import pytest
from meta_state_fakes import FIRST, founded

from zreg.config import Limits
from zreg.errors import LimitError, VersionMismatchError
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.wire.log_commands import ChangeSetting, decode_command, decode_image
from zreg.wire.records.settings_messages import Setting


@pytest.mark.parametrize(
    ("if_version", "is_allowed"), [(None, True), (2, True), (0, False), (1, False), (3, False)]
)
def test_a_setting_is_changed_at_the_expected_version_only(
    if_version: int | None, *, is_allowed: bool
) -> None:
    state = founded(ChangeSetting("a", "1"))

    applied = state.apply(ChangeSetting("a", "2", if_version))

    assert applied.is_changed is is_allowed
    assert applied.code == (0 if is_allowed else VersionMismatchError.code)
    assert state.settings.find("a") == Setting("a", *(("2", 3) if is_allowed else ("1", 2)))
    assert state.epoch == (3 if is_allowed else 2)


def test_version_0_means_that_the_setting_must_not_exist() -> None:
    state = founded(ChangeSetting("a", "1", 0))

    assert state.apply(ChangeSetting("a", "2", 0)).code == VersionMismatchError.code
    assert state.apply(ChangeSetting("a", None, 2)).is_changed
    assert state.settings.find("a") is None
    assert not state.apply(ChangeSetting("a", None)).is_changed


ID, OTHER_ID = b"i" * 16, b"o" * 16


def test_a_repeated_change_happens_once_and_gets_the_first_answer() -> None:
    """Else a retry of an applied change would be refused because of itself."""
    change = ChangeSetting("a", "2", 2, ID)
    state = founded(ChangeSetting("a", "1"))
    first = state.apply(change)

    again = state.apply(change)

    assert (first.is_changed, first.version) == (True, 3)
    assert again == Applied(version=3)
    assert state.epoch == 3


def test_a_late_copy_of_a_change_does_not_undo_later_changes() -> None:
    change, removal = ChangeSetting("a", "1", None, ID), ChangeSetting("a", None, None, OTHER_ID)
    state = founded(change, ChangeSetting("a", "2"))

    assert state.apply(change) == Applied(version=2)
    assert state.settings.find("a") == Setting("a", "2", 3)
    state.apply(removal)
    state.apply(ChangeSetting("a", "3"))
    assert state.apply(removal) == Applied(version=4)
    assert state.settings.find("a") == Setting("a", "3", 5)


def test_a_repeated_removal_that_found_nothing_changes_nothing() -> None:
    removal = ChangeSetting("a", None, None, ID)
    state = founded(removal, ChangeSetting("a", "1"))

    assert state.apply(removal) == Applied(version=1)
    assert state.settings.find("a") == Setting("a", "1", 2)


def test_a_refused_change_is_refused_again_after_other_changes() -> None:
    """After a refusal a late copy must not make the change."""
    change = ChangeSetting("a", "2", 0, ID)
    state = founded(ChangeSetting("a", "1"))
    first = state.apply(change)
    state.apply(ChangeSetting("a", None))

    again = state.apply(change)

    assert first.code == again.code == VersionMismatchError.code
    assert (
        again.detail == "this change was refused before: read the setting, then make a new change"
    )
    assert state.settings.find("a") is None
    assert state.apply(ChangeSetting("a", "2", 0, OTHER_ID)).is_changed


def test_changes_without_an_id_are_never_repeats() -> None:
    state = founded(ChangeSetting("a", "1", 0))

    assert state.apply(ChangeSetting("a", "1", 0)).code == VersionMismatchError.code
    assert state.apply(ChangeSetting("a", "1")).is_changed
    assert decode_image(state.snapshot()).outcomes == ()


def test_a_snapshot_holds_which_changes_were_made() -> None:
    done, refused = ChangeSetting("a", "1", 0, ID), ChangeSetting("a", "2", 0, OTHER_ID)
    state, copy = founded(done), MetaState()
    state.apply(refused)

    copy.restore(state.snapshot())

    assert copy.apply(done) == Applied(version=2)
    assert copy.apply(refused).code == VersionMismatchError.code
    assert copy.epoch == 2


def test_a_bounded_number_of_changes_is_remembered() -> None:
    count = Limits.changes_remembered_max
    changes = [ChangeSetting("a", "1", None, n.to_bytes(16)) for n in range(count + 1)]
    state = founded(*changes)
    state.apply(changes[1])

    assert len(decode_image(state.snapshot()).outcomes) == count
    assert state.apply(changes[1]) == Applied(version=3), "repeated, and not the newest by that"
    assert state.apply(changes[0]).is_changed
    assert state.apply(changes[1]).is_changed
    assert state.apply(changes[3]) == Applied(version=5)


def test_a_snapshot_of_a_version_without_change_ids_is_read() -> None:
    settings = (Setting("a", "1", 2),)
    old = msgspec.msgpack.encode([FIRST, settings])
    state = MetaState()
    state.restore(old)

    assert state.settings.find("a") == settings[0]
    assert state.apply(ChangeSetting("a", "2", 2, ID)).is_changed


def test_a_command_of_a_version_without_change_ids_is_read() -> None:
    assert decode_command(msgspec.msgpack.encode([9, "a", "1", 2])) == ChangeSetting("a", "1", 2)


def test_settings_are_bounded_in_number() -> None:
    state = founded(*(ChangeSetting(f"n{number}", "") for number in range(Limits.settings_max)))

    assert state.apply(ChangeSetting("one more", "")).code == LimitError.code
    assert state.apply(ChangeSetting("n1", "still")).is_changed
    assert len(state.settings) == Limits.settings_max


def test_settings_are_listed_by_name_and_in_pages() -> None:
    state = founded(*(ChangeSetting(name, name) for name in ("b.2", "a.1", "b.1", "b.3")))

    first, is_complete = state.settings.page("b.*", "", 2)
    rest, is_rest_complete = state.settings.page("b.*", "b.2", 2)

    assert [s.name for s in first] == ["b.1", "b.2"]
    assert not is_complete
    assert [s.name for s in rest] == ["b.3"]
    assert is_rest_complete
