"""Command groups that load the module of a command when it is called, or when its help is shown."""

import functools
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from zreg.cli.parsing.plain_values import with_plain_values


class LazyGroup(TyperGroup):
    """A group whose commands are named by a table, and loaded when they are needed.

    A home is the function of a command, or the `typer.Typer` of a group.
    """

    # The home of each command, as "module:name", in the order of the help.
    homes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 -- what typer gives a group
        # typer suggests these names for an unknown one.
        names = {name: TyperCommand(name) for name in self.homes}
        super().__init__(**{**attributes, "commands": names})

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 -- typer's types are internal to it
        """Return the options of the group."""
        return with_plain_values(super().get_params(ctx))

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:  # noqa: ARG002 -- typer's signature
        """Return a command of this group, loaded; None if there is none of this name."""
        home = self.homes.get(cmd_name)
        return None if home is None else load_command(cmd_name, home)


class _PlainCommand(TyperCommand):
    """A command that converts plain values itself."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 -- typer's types are internal to it
        """Return the options and arguments of the command."""
        return with_plain_values(super().get_params(ctx))


@functools.cache
def load_command(name: str, home: str) -> TyperCommand | TyperGroup:
    """Return the command or group at a home."""
    module, _, attribute = home.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name, cls=_PlainCommand)(found)
        found = single
    command = get_command(found)
    assert isinstance(command, TyperCommand | TyperGroup)
    command.name = name
    return command
