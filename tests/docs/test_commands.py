"""Each `zreg` command in a shell block of a page has arguments and options that exist."""

import re
import shlex
from collections.abc import Iterator

import pytest
from tables import PAGES, ROOT
from typer.core import TyperGroup
from typer.main import get_command

from zreg.cli.app import app

_SHELL = re.compile(r"^```sh\b[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each `zreg` command of the shell blocks of a page, after `zreg`."""
    for block in _SHELL.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["zreg"]:
                yield words[1:]


COMMANDS = [
    (page.relative_to(ROOT).as_posix(), shlex.join(words))
    for page in PAGES
    for words in commands_of(page.read_text())
]


def parse(words: list[str]) -> str:
    """Parse a command line as `zreg` does, run nothing, and return the name of the command."""
    command, context = get_command(app), None
    while True:
        context = command.make_context(command.name, words, parent=context)
        if not isinstance(command, TyperGroup) or not (rest := context._protected_args):
            return context.command_path
        _, command, words = command.resolve_command(context, [*rest, *context.args])


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_of_a_page_can_be_parsed(page: str, line: str) -> None:
    words = shlex.split(line)

    assert parse(words).split()[1:] in (words[:1], words[:2])


@pytest.mark.parametrize(
    "line", ["publishes x y", "publish x y --hodl", "meta --idd a", "data drain", "dev --port x"]
)
def test_a_wrong_command_cannot_be_parsed(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing|not a valid|valid integer|setting"):
        parse(shlex.split(line))


def all_commands(group: TyperGroup, path: str = "zreg") -> Iterator[tuple[str, str]]:
    """Yield each command with the first line of its help."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        assert command is not None
        yield f"{path} {name}", (command.help or "").partition("\n")[0]
        if isinstance(command, TyperGroup):
            yield from all_commands(command, f"{path} {name}")


def test_the_page_of_commands_has_each_command_with_an_example() -> None:
    page = (ROOT / "docs/commands.md").read_text()
    sections = dict(
        re.findall(r"^### `(zreg [^`]+)`\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    )
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    # These groups are named by their commands.
    wanted = {path for path, _ in all_commands(group)} - {
        "zreg config",
        "zreg debug",
        "zreg settings",
    }

    assert set(sections) == wanted
    for path, text in sections.items():
        assert f"```sh\n{path}" in text, path
