"""Whom a command asks: one place, over the link that leads there."""

import pytest

from zreg.cli.targets import place
from zreg.effects import Link
from zreg.errors import UsageError


def test_a_url_names_sessions_and_nothing_else_is_asked() -> None:
    """Whoever reaches a session need not reach meta."""
    found = place("zreg://one:9600,two:9600", None)

    assert found == (Link.SESSION, ("tcp://one:9600", "tcp://two:9600"))


def test_without_either_the_session_of_the_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZREG_URL", "zreg://there:9600")

    assert place(None, None) == (Link.SESSION, ("tcp://there:9600",))


def test_meta_is_asked_itself_where_it_is_named() -> None:
    assert place(None, "one:9610,two:9610") == (Link.META, ("tcp://one:9610", "tcp://two:9610"))


def test_two_places_are_one_too_many() -> None:
    with pytest.raises(UsageError, match="two places to ask"):
        place("zreg://one:9600", "one:9610")
