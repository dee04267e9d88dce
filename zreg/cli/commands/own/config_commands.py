"""`zreg config`: the settings that a command gets here, where each comes from; check a file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from zreg.cli.flags import ConfigFile, Format, Output
from zreg.cli.options.node_options import CONFIG_FIELDS, OPTION_FIELDS
from zreg.cli.options.settings_sources import explained_settings, load_settings
from zreg.cli.output import Json, print_table, say, say_json
from zreg.cli.parsing.lazy_group import LazyGroup


class ConfigGroup(LazyGroup):
    """The commands of `zreg config`."""

    homes: ClassVar[Mapping[str, str]] = {
        "show": "zreg.cli.commands.own.config_commands:show",
        "check": "zreg.cli.commands.own.config_commands:check",
    }


app = typer.Typer(
    cls=ConfigGroup, help="Show settings and their places, or check a file.", add_completion=False
)


@app.callback()
def config_group() -> None:
    """Do nothing: typer makes a group of an app that has a callback."""


def show(*, config: ConfigFile = None, output: Output = Format.TABLE) -> None:
    """Show the settings that differ from the defaults, and where each comes from; -o wide: all."""
    found = explained_settings(os.environ, file=config)
    if output is Format.JSON:
        say_json({name: {"value": _json(value), "from": where} for name, value, where in found})
        return
    rows = [
        [name, _text(value), where or "default"]
        for name, value, where in found
        if where or output is Format.WIDE
    ]
    if rows:
        print_table(("setting", "value", "from"), rows)
    else:
        say("All settings have their defaults: see them with `zreg config show -o wide`.")


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Settings file to check.")],
) -> None:
    """Check that a settings file can be used, by itself and with the variables of this shell."""
    load_settings({}, {}, file=file, paths=(file,))
    load_settings({}, os.environ, file=file, paths=(file,))
    count = sum(bool(where) for _, _, where in explained_settings({}, file=file, paths=(file,)))
    say(
        f"{file} can be used: it sets {count} of {len(CONFIG_FIELDS) + len(OPTION_FIELDS)} settings"
    )


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def _json(value: object) -> Json:
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return value if isinstance(value, str | int | float | bool) else None
