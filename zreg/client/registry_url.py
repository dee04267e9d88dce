"""Where the registry is: the url, and where it comes from if nobody gives one.

And where this process is, seen from there: the address that others can reach it under.
"""

import re
import socket
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from zreg.config import Limits
from zreg.errors import UsageError

DEFAULT_PORT: Final = 9600
DEFAULT_URL: Final = f"zreg://127.0.0.1:{DEFAULT_PORT}"
CONFIG_PATHS: Final = (Path("zreg.toml"), Path("/etc/zreg/zreg.toml"))

# What may stand in `[client]`.
_CLIENT_KEYS: Final = ("url",)
_SCHEME: Final = "zreg://"
_PORT_MAX: Final = 65535
_ADDRESSES_MAX: Final = 64
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?\Z")
_TCP: Final = re.compile(r"tcp://(?:\[(.+)\]|(.+)):(\d+)\Z")
_HOW: Final = "write zreg://HOST[:PORT][,HOST[:PORT]...], for example " + DEFAULT_URL


def parse_url(url: str) -> tuple[str, ...]:
    """Return the addresses that a url names; `UsageError` says what is wrong with it."""
    if not url.startswith(_SCHEME):
        raise UsageError(f"url {url!r:.200} does not start with {_SCHEME}: {_HOW}")
    hosts = url.removeprefix(_SCHEME).removesuffix("/").split(",")
    if len(hosts) > _ADDRESSES_MAX:
        raise UsageError(f"url with {len(hosts)} hosts: name at most {_ADDRESSES_MAX}")
    return tuple(dict.fromkeys(_address(host.strip(), url) for host in hosts))


def find_url(environment: Mapping[str, str], paths: Sequence[Path] = CONFIG_PATHS) -> str:
    """Return `ZREG_URL`, else `[client] url` of the first zreg.toml that has it, else loopback."""
    if url := environment.get("ZREG_URL"):
        return url
    for path in paths:
        if path.is_file() and (url := _url_in(path)) is not None:
            return url
    return DEFAULT_URL


def advice_on(addresses: Sequence[str]) -> str:
    """Return what to look at when no session answers at these addresses."""
    if DEFAULT_URL.replace(_SCHEME, "tcp://") in addresses:
        return "start a registry with `zreg dev`, or say where one is (--url, ZREG_URL)"
    return (
        f"check host and port ({DEFAULT_PORT} by habit), that a session runs there (systemctl "
        "status 'zreg-session@*'), and that no firewall is in between"
    )


def route_host(address: str) -> str | None:
    """Return the local address of the route to a session; None if there is no route.

    Connecting a UDP socket sends no packet: it only asks the kernel which way it would go.
    """
    found = _TCP.match(address)
    if found is None:
        return None
    host, port = found[1] or found[2], int(found[3])
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            local = str(probe.getsockname()[0])
    except (OSError, UnicodeError):
        return None
    return local


def _address(host: str, url: str) -> str:
    found = _HOST.match(host)
    if found is None:
        raise UsageError(f"{host!r:.80} in url {url!r:.200} is no HOST[:PORT]: {_HOW}")
    port = int(found[2] or DEFAULT_PORT)
    if not 1 <= port <= _PORT_MAX:
        raise UsageError(f"port {port} in url {url!r:.200} is not from 1 to {_PORT_MAX}")
    address = f"tcp://{found[1]}:{port}"
    if len(address) > Limits.address_characters_max:
        raise UsageError(f"{host!r:.80} is longer than {Limits.address_characters_max} characters")
    return address


def line_of(name: str, text: str, *, section: str = "") -> int:
    """Return the line of a TOML text that sets a name; 1 if it is written in an unusual way."""
    lines, first = text.splitlines(), 0
    if section:
        first = line_of(section, text)
    pattern = re.compile(rf"""\s*\[?["']?{re.escape(name)}["']?\s*[\]=.]""")
    found = (n for n, line in enumerate(lines, 1) if n > first and pattern.match(line))
    return next(found, max(first, 1))


def check_client_table(client: object, where: Path, text: str) -> None:
    """Raise `UsageError` for what stands in `[client]` and says nothing to a client."""
    if not isinstance(client, dict):
        raise UsageError(
            f"{where}, line {line_of('client', text)}: client must be a section, [client], with "
            f"url in it: {_HOW}"
        )
    for name in client:
        if name not in _CLIENT_KEYS:
            line = line_of(name, text, section="client")
            raise UsageError(
                f"{where}, line {line}: there is no setting {name!r} in [client], only url; those "
                "of nodes stand above all sections"
            )


def _url_in(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
        settings = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}; mend or remove it") from error
    for name, value in settings.items():
        # Settings of nodes may stand in the same file; sections but this one there are none.
        if isinstance(value, dict) and name != "client":
            line = line_of(name, text)
            raise UsageError(f"{path}, line {line}: there is no section [{name}], only [client]")
    client = settings.get("client", {})
    check_client_table(client, path, text)
    url = client.get("url")
    if url is not None and not isinstance(url, str):
        raise UsageError(f"{path}: url in [client] must be text, not {url!r:.80}: {_HOW}")
    return url
