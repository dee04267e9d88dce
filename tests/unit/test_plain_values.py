"""Plain values of a command line are converted without pydantic, and all others by typer."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.main import get_command

from zreg.cli.flags import Format
from zreg.cli.parsing.plain_values import plain_value, with_plain_values


@pytest.mark.parametrize(
    ("kind", "value", "converted"),
    [
        (str, "text", "text"),
        (int, "007", 7),
        (int, 5, 5),
        (float, "0.25", 0.25),
        (float, "3", 3.0),
        (float, 1.5, 1.5),
        (Format, "json", Format.JSON),
        (Format, Format.WIDE, Format.WIDE),
        (Path, "/nowhere/at/all", Path("/nowhere/at/all")),
        (Path, "/", Path("/")),
        (list[str], ("a", "b"), ["a", "b"]),
    ],
)
def test_a_plain_value_is_converted(kind: object, value: object, converted: object) -> None:
    found = plain_value(kind, value)

    assert (found, type(found)) == (converted, type(converted))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, b"bytes"),
        (int, "5_0"),
        (int, "-1"),
        (int, "1.0"),
        (int, "\u0665"),
        (int, "1" * 10),
        (int, True),
        (float, "nan"),
        (float, "1e3"),
        (float, ".5"),
        (Format, "JSON"),
        (list[str], ()),
        (bool, True),
        (bytes, "b"),
    ],
)
def test_a_value_that_is_not_plain_is_left_to_typer(kind: object, value: object) -> None:
    assert plain_value(kind, value) is None


def parsed(*arguments: str) -> dict[str, object]:
    """Return what a command gets that has an option of each sort."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def command(
        name: str,
        *,
        port: Annotated[int, typer.Option(min=0, max=9)] = 3,
        peer: list[str] | None = None,
        hold: bool | None = None,
    ) -> None:
        """Do nothing."""

    click_command = get_command(app)
    with_plain_values(click_command.params)
    return dict(click_command.make_context("zreg", list(arguments)).params)


def test_values_that_are_not_given_keep_their_defaults() -> None:
    assert parsed("n") == {"name": "n", "port": 3, "peer": (), "hold": None}


def test_given_values_are_converted() -> None:
    given = parsed("n", "--port", "9", "--peer", "a", "--peer", "b", "--hold")

    assert given == {"name": "n", "port": 9, "peer": ["a", "b"], "hold": True}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["n", "--port", "10"], "Input should be less than or equal to 9"),
        (["n", "--port", "-1"], "Input should be greater than or equal to 0"),
        (["n", "--port", "x"], "Input should be a valid integer, unable to parse"),
        ([], "Missing parameter: name"),
    ],
)
def test_typer_words_the_error_of_a_wrong_value(arguments: list[str], sentence: str) -> None:
    with pytest.raises(typer.BadParameter.__mro__[1], match=sentence):
        parsed(*arguments)
