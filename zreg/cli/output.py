"""Write results: lines, tables for people, JSON for programs; and errors to stderr."""

import base64
import codecs
import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zreg.cli.exits import CommandFailedError, ReaderGoneError
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Value
from zreg.client.view.view import Publisher

# What a library repeats of a command line may hold one.
_USER: Final = re.compile(r"(?<=://)\S*@")
_ASCII_HEAD: Final = box.Box(str(box.SIMPLE_HEAD).replace("\u2500", "-"), ascii=True)

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def say(line: str) -> None:
    """Write one line and flush it, so that a reader of a pipe gets it at once.

    Raises `ReaderGoneError` if the pipe is closed, `CommandFailedError` if it cannot be written.
    """
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_json(value: Json) -> None:
    """Write one JSON document on one line, in ASCII unless stdout is UTF-8."""
    say(json.dumps(value, ensure_ascii=_encoding() != "utf-8"))


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
    say(table_text(columns, rows))


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; published values appear as plain text, never as markup of the terminal."""
    table = Table(*columns, box=_box(), pad_edge=False)
    for row in rows:
        table.add_row(*(Text(_encodable(printable(cell)), overflow="fold") for cell in row))
    # A pipe has no width, so no cell is cut there.
    width = None if sys.stdout.isatty() else 10_000
    text = io.StringIO()
    Console(width=width, file=text, force_terminal=sys.stdout.isatty()).print(table)
    return text.getvalue().rstrip("\n")


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that it cannot control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _encoding() -> str:
    """Return the encoding of stdout by its standard name."""
    return codecs.lookup(sys.stdout.encoding or "utf-8").name


def _encodable(text: str) -> str:
    """Return the text with each character escaped that stdout cannot encode.

    Stdout would do it by itself, but only after the width of a table was computed.
    """
    return text.encode(_encoding(), "backslashreplace").decode(_encoding())


def _box() -> box.Box:
    """Return a line below the heads, of a character that stdout can encode."""
    line = _encodable("\u2500")
    return box.SIMPLE_HEAD if line == "\u2500" else _ASCII_HEAD


def value_text(value: Value) -> str:
    """Return a published value for people."""
    match value:
        case str():
            return printable(value)
        case bytes():
            return repr(value)
        case Endpoint():
            return str(value) if value.host is None else value.text


def value_json(value: Value) -> Json:
    """Return a published value for programs; bytes become `{"base64": ...}`."""
    match value:
        case str():
            return value
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case Endpoint():
            return {
                "host": value.host,
                "port": value.port,
                "weight": value.weight,
                "version": value.version,
                "tags": sorted(value.tags),
                "metadata": dict(value.metadata),
            }


def publisher_json(publisher: Publisher) -> Json:
    """Return one registration for programs."""
    return {
        "publisher_id": publisher.publisher_id.hex(),
        "client_id": publisher.client_id.hex(),
        "values": [value_json(value) for value in publisher.values],
        "zone": publisher.zone,
        "data_center": publisher.data_center,
        "app": publisher.app,
        "attributes": dict(publisher.attributes),
        "registered_at": publisher.registered_at,
    }
