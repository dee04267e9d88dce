"""Which names are allowed for settings."""

import pytest

from zreg.wire.records.settings_messages import is_setting_name


@pytest.mark.parametrize("name", ["checkout.limits", "a", "x" * 256, "größe"])
def test_a_printable_word_is_allowed(name: str) -> None:
    assert is_setting_name(name)


@pytest.mark.parametrize("name", ["", "two words", "x" * 257, "all*", "a?", "[a]", "a\n", "\ud800"])
def test_pattern_characters_and_unprintable_characters_are_not_allowed(name: str) -> None:
    assert not is_setting_name(name)
