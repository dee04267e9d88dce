"""Whom a command asks: the sessions of a URL, or meta."""

import os
from typing import Annotated

import typer

from zreg.cli.process.node_options import tcp_addresses
from zreg.client.registry_url import find_url, parse_url
from zreg.effects import Link
from zreg.errors import UsageError

Meta = Annotated[
    str | None,
    typer.Option(help="Ask meta itself, also when no session lives: HOST:PORT[,HOST:PORT...]"),
]


def session_addresses(url: str | None) -> tuple[str, ...]:
    """Return where sessions are: the option, the environment, the file, the default."""
    return parse_url(find_url(os.environ) if url is None else url)


def place(url: str | None, meta: str | None) -> tuple[Link, tuple[str, ...]]:
    """Return whom to ask over which link: meta where it is named, a session otherwise."""
    if meta is None:
        return Link.SESSION, session_addresses(url)
    if url is not None:
        raise UsageError("--url and --meta name two places to ask: give one of them")
    return Link.META, tcp_addresses(meta, "--meta")
