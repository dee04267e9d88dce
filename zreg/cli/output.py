"""Write results: lines, tables for people, JSON for programs; and errors to stderr."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from zreg.cli.exits import CommandFailedError, ReaderGoneError
from zreg.cli.showing.printable_text import output_encoding

# What a library repeats of a command line may hold one.
_USER: Final = re.compile(r"(?<=://)\S*@")

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def say(line: str) -> None:
    """Write one line and flush it, so that a reader of a pipe gets it at once.

    Raises `ReaderGoneError` if the pipe is closed, `CommandFailedError` if it cannot be written.
    """
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_json(value: Json) -> None:
    """Write one JSON document on one line, in ASCII unless stdout is UTF-8."""
    say(json.dumps(value, ensure_ascii=output_encoding() != "utf-8"))


def announce(lines: Iterable[str], *, is_for_programs: bool) -> None:
    """Write that nodes run, and where; nodes run on if these lines for people have no reader.

    Raises `CommandFailedError` if lines for programs cannot be written: a program waits for them.
    """
    try:
        for line in lines:
            say(line)
    except ReaderGoneError as error:
        if is_for_programs:
            raise CommandFailedError(
                "the reader of the JSON lines has closed the pipe: start it again with its reader"
            ) from error
    except CommandFailedError as error:
        if is_for_programs:
            raise
        complain(f"{error}; the registry runs without it")


def complain(sentence: str) -> None:
    """Write an error or a warning to stderr, without a user and password of a url in it."""
    sys.stderr.write(f"zreg: {_USER.sub(r'...@', sentence)}\n")
    sys.stderr.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table."""
    from zreg.cli.showing.tables import table_text  # noqa: PLC0415 -- JSON needs no rich

    say(table_text(columns, rows))
