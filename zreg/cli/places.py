"""Whom a command asks: the sessions of a URL, or meta."""

import os
from typing import Annotated

import typer

from zreg.cli.ask import ask_now
from zreg.cli.settings import tcp_addresses
from zreg.client.locate import find_url, parse_url
from zreg.config import Config
from zreg.effects import Link
from zreg.errors import UnavailableError, UsageError
from zreg.model import Role
from zreg.wire.messages import FetchMembership, MembershipReply

Meta = Annotated[
    str | None,
    typer.Option(help="Ask meta itself, also when no session lives: HOST:PORT[,HOST:PORT...]"),
]


def session_addresses(url: str | None) -> tuple[str, ...]:
    """Return where sessions are: the option, the environment, the file, the default."""
    return parse_url(find_url(os.environ) if url is None else url)


def check_one_place(url: str | None, meta: str | None) -> None:
    """Refuse two places."""
    if meta is not None and url is not None:
        raise UsageError("--url and --meta name two places to ask: give one of them")


def meta_addresses(
    url: str | None, meta: str | None, config: Config, timeout_seconds: float
) -> tuple[str, ...]:
    """Return where meta is: as the option says, or as a session knows."""
    check_one_place(url, meta)
    if meta is not None:
        return tcp_addresses(meta, "--meta")
    reply = ask_now(
        Link.SESSION,
        session_addresses(url),
        (FetchMembership, MembershipReply),
        config=config,
        timeout_seconds=timeout_seconds,
    )
    addresses = tuple(member.address for member in reply.membership.of(Role.META))
    if not addresses:
        raise UnavailableError("the session knows no meta node yet: ask again, or give --meta")
    return addresses
