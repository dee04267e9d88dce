"""The options --url and --meta choose which nodes a command asks, and over which link."""

import pytest

from zreg.cli.asking.targets import Target, find_target
from zreg.effects import Link
from zreg.errors import UsageError


def test_a_url_names_sessions_and_meta_is_not_asked() -> None:
    """A machine that reaches a session need not reach meta."""
    found = find_target("zreg://one:9600,two:9600", None, None)

    assert found == Target(Link.SESSION, ("tcp://one:9600", "tcp://two:9600"), "zreg")


def test_without_options_the_sessions_of_the_environment_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZREG_URL", "zreg://there:9600")

    assert find_target(None, None, None) == Target(Link.SESSION, ("tcp://there:9600",), "zreg")


def test_meta_is_asked_where_it_is_named() -> None:
    found = find_target(None, "one:9610,two:9610", "mine")

    assert found == Target(Link.META, ("tcp://one:9610", "tcp://two:9610"), "mine")


def test_two_places_to_ask_are_refused() -> None:
    with pytest.raises(UsageError, match="two places to ask"):
        find_target("zreg://one:9600", "one:9610", None)
