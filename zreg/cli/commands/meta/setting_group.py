"""`zreg settings`: its commands are loaded when they are called."""

from collections.abc import Mapping
from typing import ClassVar

import typer

from zreg.cli.parsing.lazy_group import LazyGroup


class SettingGroup(LazyGroup):
    """The commands of `zreg settings`."""

    homes: ClassVar[Mapping[str, str]] = {
        "get": "zreg.cli.commands.meta.setting_commands:get",
        "set": "zreg.cli.commands.meta.setting_commands:set_",
        "rm": "zreg.cli.commands.meta.setting_commands:remove",
        "ls": "zreg.cli.commands.meta.setting_commands:ls",
    }


app = typer.Typer(
    cls=SettingGroup,
    help="Read and change small values that meta keeps for your programs.",
    add_completion=False,
)


@app.callback()
def settings() -> None:
    """Do nothing: typer makes a group of an app that has a callback."""
