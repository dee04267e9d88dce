"""Which nodes a command asks: the sessions of a URL, or meta itself."""

import os

import msgspec

from zreg.cli.options.address_options import tcp_addresses
from zreg.cli.options.settings_sources import load_settings
from zreg.client.locating.registry_url import find_url, parse_url
from zreg.effects import Link
from zreg.errors import UsageError


class Target(msgspec.Struct, frozen=True):
    """The nodes that a command asks, the link that leads to them, and the name of their cluster."""

    link: Link
    addresses: tuple[str, ...]
    cluster: str


def find_target(url: str | None, meta: str | None, cluster: str | None) -> Target:
    """Return the nodes that these options name: meta where it is named, else sessions.

    Without a URL the environment, the configuration file and the default are looked at.
    """
    name = load_settings({"cluster": cluster}, os.environ).config.cluster
    if meta is None:
        return Target(Link.SESSION, parse_url(url_of(url)), name)
    if url is not None:
        raise UsageError("--url and --meta name two places to ask: give only one of them")
    return Target(Link.META, tcp_addresses(meta, "--meta"), name)


def url_of(url: str | None) -> str:
    """Return this url, or the one that environment, configuration file and default give.

    The settings are read before, and `load_settings` warns of files that may not be read.
    """
    return find_url(os.environ, warn=lambda _sentence: None) if url is None else url
