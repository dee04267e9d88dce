"""Write results: lines, tables for people, JSON for programs; and errors to stderr."""

import base64
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zreg.cli.exits import CommandFailedError, ReaderGoneError
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Value
from zreg.client.view.view import Publisher

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def say(line: str) -> None:
    """Write one line and flush it, so that a reader of a pipe gets it at once.

    Raises `ReaderGoneError` if the pipe is closed, `CommandFailedError` if it cannot be written.
    """
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        _drop_output()
        raise ReaderGoneError from error
    except OSError as error:
        _drop_output()
        raise CommandFailedError(
            f"the output cannot be written ({error.strerror}): redirect it to another place"
        ) from error


def _drop_output() -> None:
    """Discard buffered output: the interpreter would try to write it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_json(value: Json) -> None:
    """Write one JSON document on one line."""
    say(json.dumps(value, ensure_ascii=False))


def complain(sentence: str) -> None:
    """Write an error or a warning to stderr."""
    sys.stderr.write(f"zreg: {sentence}\n")
    sys.stderr.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table; published values appear as plain text, never as markup of the terminal."""
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in row))
    # A pipe has no width, so no cell is cut there.
    width = None if sys.stdout.isatty() else 10_000
    text = io.StringIO()
    Console(width=width, file=text, force_terminal=sys.stdout.isatty()).print(table)
    say(text.getvalue().rstrip("\n"))


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that it cannot control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def value_text(value: Value) -> str:
    """Return a published value for people."""
    match value:
        case str():
            return printable(value)
        case bytes():
            return repr(value)
        case Endpoint():
            return _endpoint_text(value)


def _endpoint_text(endpoint: Endpoint) -> str:
    details = [f"weight={endpoint.weight}"] if endpoint.weight != 100 else []  # noqa: PLR2004 -- the default
    details += [f"version={endpoint.version}"] if endpoint.version else []
    details += [f"tag={tag}" for tag in sorted(endpoint.tags)]
    return str(endpoint) + (f"?{'&'.join(details)}" if details else "")


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
