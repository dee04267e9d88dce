"""The names that settings can have."""

import pytest

from zreg.wire.settings_messages import is_setting_name


@pytest.mark.parametrize("name", ["checkout.limits", "a", "x" * 256, "größe"])
def test_a_printable_word_is_a_name(name: str) -> None:
    assert is_setting_name(name)


@pytest.mark.parametrize("name", ["", "two words", "x" * 257, "all*", "a?", "[a]", "a\n", "\ud800"])
def test_what_is_searched_by_or_cannot_be_seen_is_none(name: str) -> None:
    assert not is_setting_name(name)
