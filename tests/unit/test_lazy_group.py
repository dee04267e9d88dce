"""A group loads a command when it is called; each name in its table has a home."""

from typing import ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command

from zreg.cli.app import app
from zreg.cli.parsing.lazy_group import LazyGroup, load_command


class Commands(LazyGroup):
    homes: ClassVar = {
        "version": "zreg.cli.commands.own.version_command:version",
        "lost": "no.such.module:f",
    }


def group_of(typer_app: typer.Typer) -> TyperGroup:
    group = get_command(typer_app)
    assert isinstance(group, TyperGroup)
    return group


def test_a_command_is_loaded_when_it_is_asked_for_and_no_other_one() -> None:
    group = Commands(name="zreg")

    command = group.get_command(None, "version")

    assert command is not None
    assert command is load_command("version", Commands.homes["version"])
    assert (command.name, group.get_command(None, "no-such")) == ("version", None)
    assert list(group.commands) == ["version", "lost"]


def test_each_command_of_zreg_has_a_home_and_a_help_text() -> None:
    found = {}
    groups = {"zreg": group_of(app)}
    while groups:
        path, group = groups.popitem()
        for name in group.commands:
            command = group.get_command(None, name)  # type: ignore[arg-type]
            assert command is not None
            assert command.name == name
            found[f"{path} {name}"] = command.help
            if isinstance(command, TyperGroup):
                groups[f"{path} {name}"] = command

    assert [path for path, text in found.items() if not text] == []
    assert {"zreg dev", "zreg meta recover", "zreg data drain", "zreg settings set"} <= set(found)
