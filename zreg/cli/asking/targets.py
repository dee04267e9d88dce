"""Which nodes a command asks: the sessions of a URL, or meta itself."""

import os

import msgspec

from zreg.cli.options.address_options import tcp_addresses
from zreg.cli.options.settings_sources import load_settings
from zreg.client.locating.registry_url import (
    DEFAULT_URL,
    configured_url,
    may_discover,
    parse_url,
)
from zreg.config import Config
from zreg.effects import Link
from zreg.errors import UsageError


class Target(msgspec.Struct, frozen=True):
    """The nodes that a command asks, the link that leads to them, and the name of their cluster."""

    link: Link
    addresses: tuple[str, ...]
    cluster: str


def find_target(url: str | None, meta: str | None, cluster: str | None) -> Target:
    """Return the nodes that these options name: meta where it is named, else sessions.

    Without a URL the environment, the configuration file, this machine and the LAN are looked at.
    """
    config = load_settings({"cluster": cluster}, os.environ).config
    name = config.cluster
    if meta is None:
        return Target(Link.SESSION, _sessions(url, config), name)
    if url is not None:
        raise UsageError("--url and --meta name two places to ask: give only one of them")
    return Target(Link.META, tcp_addresses(meta, "--meta"), name)


def known_sessions(url: str | None) -> tuple[str, ...]:
    """Return the sessions of the URL or the configuration, else those of this machine."""
    # The settings were read before, and `load_settings` warned of files that may not be read.
    known = url or configured_url(os.environ, warn=lambda _sentence: None)
    return parse_url(known or DEFAULT_URL)


def _sessions(url: str | None, config: Config) -> tuple[str, ...]:
    # The settings were read before, and `load_settings` warned of files that may not be read.
    known = url
    if known is None:
        known = configured_url(os.environ, warn=lambda _sentence: None)
    if known is not None:
        return parse_url(known)
    if not may_discover(os.environ):
        return parse_url(DEFAULT_URL)
    from zreg.cli.asking.lan_sessions import (  # noqa: PLC0415 -- a command with a url needs none
        local_or_announced_sessions,
    )

    return local_or_announced_sessions(config)
