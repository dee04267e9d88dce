"""Every setting has a flag with a help text."""

import inspect

import pytest

from zreg.cli.flags import Flags, with_settings
from zreg.cli.options.node_options import CONFIG_FIELDS, OPTION_FIELDS


@pytest.mark.parametrize("name", [*CONFIG_FIELDS, *OPTION_FIELDS])
def test_a_setting_has_a_help_text(name: str) -> None:
    @with_settings(name)
    def command(*, flags: Flags) -> None:
        """Do nothing."""

    (option,) = inspect.signature(command).parameters[name].annotation.__metadata__
    assert option.help
    default = {**CONFIG_FIELDS, **OPTION_FIELDS}[name].default
    if isinstance(default, int | float) and not isinstance(default, bool):
        assert option.help.endswith(f"; default {default}")


def test_a_command_gets_its_settings_as_texts_in_one_argument() -> None:
    given: dict[str, str | None] = {}

    @with_settings("peer", "join", "zone")
    def command(*, flags: Flags) -> None:
        """Remember the flags."""
        given.update(flags)

    command(peer=["a=h:1", "b=h:2"], join=True, zone=None)

    assert given == {"peer": "a=h:1,b=h:2", "join": "True", "zone": None}
