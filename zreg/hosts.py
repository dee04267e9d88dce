"""What a host is: the one check for each place where a host is given, and how it is written.

A host is a name or an address that programs connect to: without scheme, port, path or brackets. In
an address or a url an IPv6 host is in brackets, since its colons would be taken for a port's.
"""

import functools
import ipaddress
import re
from typing import Final

from zreg.errors import UsageError

# With scheme and port it then fits into an address of a record (`Limits.address_characters_max`).
HOST_CHARACTERS_MAX: Final = 244
_LABEL: Final = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?\Z", re.ASCII)
# Resolvers take a name with such an end for an IPv4 address: "10.1" for 10.0.0.1.
_NUMBER_AT_END: Final = re.compile(r"(?:.*\.)?(?:\d+|0[xX][0-9A-Fa-f]*)\.?\Z", re.ASCII)
# The zone of a link-local address is the name or number of an interface.
_IPV6: Final = re.compile(
    r"[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]{1,15})?\Z", re.ASCII
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WITH_PORT: Final = re.compile(r"(?:\[.*\]|[^:]+):\d+\Z")
_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")
_THIS_NETWORK: Final = ipaddress.IPv4Network("0.0.0.0/8")
_ALL_ADDRESSES: Final = "it stands for all addresses of a machine: give one of them, or a name"


def checked_host(host: object, what: str = "host") -> str:
    """Return the host; raise `UsageError` if no program could connect to it as it is written.

    `what` names the host in the error, for example "ZREG_ADVERTISE_HOST".
    """
    why = why_no_host(host)
    if why is not None:
        shown = without_user(host) if isinstance(host, str) else host
        raise UsageError(f"{what} {shown!r:.80} cannot be used: {why}")
    assert isinstance(host, str)
    return host


def why_no_host(host: object) -> str | None:
    """Return why no program could connect to a host, and what to give instead; None for a host."""
    return _why_refused(host) if isinstance(host, str) else "give text"


def why_not_told(host: str) -> str | None:
    """Return why this machine's own, valid address is not told to others; None if it is.

    A link-local IPv6 address is valid on one link, and each machine has to add its own name of the
    interface to that link. Who is told of an address through the registry cannot know the link.
    """
    if not _IPV6.match(host) or not ipaddress.ip_address(host).is_link_local:
        return None
    return (
        f"{host} is a link-local address, which another machine cannot use without the name of its "
        "own interface: give this machine an IPv4 address or a global or unique local IPv6 one"
    )


def is_loopback_host(host: str) -> bool:
    """Return whether a host is reached from its own machine only."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def is_ip_address(host: str) -> bool:
    """Return whether a valid host is an address, which needs no look-up."""
    return ":" in host or _NUMBER_AT_END.match(host) is not None


def without_user(text: str) -> str:
    """Return a host or url for an error or a log, without a user and password in it."""
    before, at, host = text.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return f"{scheme + slashes if slashes else ''}...@{host}" if at else text


def bracketed(host: str) -> str:
    """Return the host as it is written before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


# Views are full of endpoints, and few hosts have many of them.
@functools.lru_cache(maxsize=4096)
def _why_refused(host: str) -> str | None:
    """Return why a text is no host, and what to write instead; None for a host."""
    if _IPV6.match(host):
        return _why_refused_address(host)
    if _NUMBER_AT_END.match(host) and _NAME.match(host):
        return _why_refused_address(host)
    if len(host) > HOST_CHARACTERS_MAX:
        return f"it is longer than {HOST_CHARACTERS_MAX} characters"
    if _NAME.match(host):
        return None
    return _advice(host)


def _why_refused_address(host: str) -> str | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "it is not an IP address: give a whole one, such as 10.0.0.7 or fd00::7, or a name"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified:
        return _ALL_ADDRESSES
    if address in _THIS_NETWORK:
        return "the network 0.0.0.0/8 has no machines: give another address, or a name"
    if address.is_multicast or address == _BROADCAST:
        return "no program can connect to a group of machines: give the address of one, or a name"
    return None


def _advice(host: str) -> str:
    """Return what to write instead of a text that is neither a name nor an address."""
    if host == "*":
        return _ALL_ADDRESSES
    if _SCHEME.match(host):
        return "leave out the scheme and all that follows the host"
    if _WITH_PORT.match(host):
        return "leave out the port"
    if host.startswith("[") and host.endswith("]"):
        return f"leave out the brackets: {host[1:-1]:.60}"
    if "@" in host:
        return "leave out the user: zreg takes none"
    if "," in host:
        return "give one host"
    if host.isprintable() and not host.isascii():
        return "write a name with other letters than a to z in its ASCII form, xn--..."
    return "give a name or an IP address, such as pay.example.org, 10.0.0.7 or fd00::7"
