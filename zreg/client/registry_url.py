"""Where the registry is: what its url may say, and where a client finds the url."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from zreg.client.view.endpoint import PORT_MAX
from zreg.errors import UsageError
from zreg.hosts import bracketed, why_no_host, without_user

DEFAULT_PORT: Final = 9600
DEFAULT_URL: Final = f"zreg://127.0.0.1:{DEFAULT_PORT}"
CONFIG_PATHS: Final = (Path("zreg.toml"), Path("/etc/zreg/zreg.toml"))

# The settings that `[client]` may hold.
_CLIENT_KEYS: Final = ("url",)
_SCHEME: Final = "zreg://"
_ADDRESSES_MAX: Final = 64
# In brackets a host is IPv6.
_HOST: Final = re.compile(r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^:\[\]]*))(?::(\d{1,5}))?\Z", re.ASCII)
_HINT: Final = "write zreg://HOST[:PORT][,HOST[:PORT]...], for example " + DEFAULT_URL


def parse_url(url: str) -> tuple[str, ...]:
    """Return the addresses that a url names; raise `UsageError` if it cannot be used."""
    if not isinstance(url, str):
        raise UsageError(f"url {url!r:.200} is not text: {_HINT}")
    if not url.startswith(_SCHEME):
        raise UsageError(f"url {without_user(url)!r:.200} does not start with {_SCHEME}: {_HINT}")
    hosts = url.removeprefix(_SCHEME).removesuffix("/").split(",")
    if len(hosts) > _ADDRESSES_MAX:
        raise UsageError(f"url names {len(hosts)} hosts: name at most {_ADDRESSES_MAX}")
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
    """Return what to check when no session answers at these addresses."""
    if DEFAULT_URL.replace(_SCHEME, "tcp://") in addresses:
        return "start a registry with `zreg dev`, or give the url of one (--url, ZREG_URL)"
    return (
        f"check host and port (by default {DEFAULT_PORT}), that a session runs there (systemctl "
        "status 'zreg-session@*'), and that no firewall is in between"
    )


def _address(text: str, url: str) -> str:
    shown = without_user(url)
    found = _HOST.match(text)
    host = (found[1] or found[2]) if found else ""
    why = why_no_host(host)
    if found is None or why is not None:
        why = why if found else "a port is a number, and an IPv6 address is in brackets"
        raise UsageError(
            f"{without_user(text)!r:.80} in url {shown!r:.200} is not HOST[:PORT]: {why}; {_HINT}"
        )
    port = int(found[3] or DEFAULT_PORT)
    if not 1 <= port <= PORT_MAX:
        raise UsageError(
            f"port {port} in url {shown!r:.200} cannot be used: give one from 1 to {PORT_MAX}"
        )
    return f"tcp://{bracketed(host)}:{port}"


def line_of(name: str, text: str, *, section: str = "") -> int:
    """Return the number of the TOML line that sets a name.

    Return the section's line, or 1, if the name is written in an unusual way.
    """
    lines, first = text.splitlines(), 0
    if section:
        first = line_of(section, text)
    pattern = re.compile(rf"""\s*\[?["']?{re.escape(name)}["']?\s*[\]=.]""")
    found = (n for n, line in enumerate(lines, 1) if n > first and pattern.match(line))
    return next(found, max(first, 1))


def check_client_table(client: object, where: Path, text: str) -> None:
    """Raise `UsageError` if `[client]` is not a section, or holds an unknown setting."""
    if not isinstance(client, dict):
        raise UsageError(
            f"{where}, line {line_of('client', text)}: client must be a section, [client], with "
            f"url in it: {_HINT}"
        )
    for name in client:
        if name not in _CLIENT_KEYS:
            line = line_of(name, text, section="client")
            raise UsageError(
                f"{where}, line {line}: there is no setting {name!r} in [client], only url; write "
                "settings of nodes above all sections"
            )


def _url_in(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
        settings = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}; correct or remove it") from error
    for name, value in settings.items():
        # The same file may hold settings of nodes, but no section other than [client].
        if isinstance(value, dict) and name != "client":
            line = line_of(name, text)
            raise UsageError(f"{path}, line {line}: there is no section [{name}], only [client]")
    client = settings.get("client", {})
    check_client_table(client, path, text)
    url = client.get("url")
    if url is not None and not isinstance(url, str):
        raise UsageError(f"{path}: url in [client] must be text, not {url!r:.80}: {_HINT}")
    return url
