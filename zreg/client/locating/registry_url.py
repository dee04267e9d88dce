"""Where the registry is: what its url may say, and where a client finds the url."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from zreg.client.core.connection.outage import DEFAULT_SESSION_PORT
from zreg.client.locating.settings_file import CONFIG_PATHS, SettingsFile, find_settings, line_of
from zreg.client.view.endpoint import PORT_MAX
from zreg.errors import UsageError
from zreg.hosts import bracketed, why_no_host, without_user

DEFAULT_URL: Final = f"zreg://127.0.0.1:{DEFAULT_SESSION_PORT}"

# The settings that `[client]` may hold.
_CLIENT_KEYS: Final = ("url",)
_SCHEME: Final = "zreg://"
_ADDRESSES_MAX: Final = 64
_SHOWN_MAX: Final = 200
# In brackets a host is IPv6.
_HOST: Final = re.compile(r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^:\[\]]*))(?::(\d{1,5}))?\Z", re.ASCII)
_HINT: Final = "write zreg://HOST[:PORT][,HOST[:PORT]...], for example " + DEFAULT_URL

logger = logging.getLogger("zreg.client")


def parse_url(url: str) -> tuple[str, ...]:
    """Return the addresses that a url names; raise `UsageError` if it cannot be used."""
    if not isinstance(url, str):
        raise UsageError(f"url {url!r:.200} is not text: {_HINT}")
    if "@" in url:
        raise UsageError(
            f"a user or password in url {shown_url(url)} is not HOST[:PORT], zreg has none: {_HINT}"
        )
    if not url.startswith(_SCHEME):
        raise UsageError(f"url {shown_url(url)} does not start with {_SCHEME}: {_HINT}")
    hosts = url.removeprefix(_SCHEME).removesuffix("/").split(",")
    if len(hosts) > _ADDRESSES_MAX:
        raise UsageError(f"url names {len(hosts)} hosts: name at most {_ADDRESSES_MAX}")
    return tuple(dict.fromkeys(_address(host.strip(), url) for host in hosts))


def shown_url(url: str) -> str:
    """Return a url for people, without what may be a password: user information, or a query."""
    plain, mark, _ = re.split(r"([?#]|$)", url, maxsplit=1)
    return repr(f"{without_user(plain)}{mark}"[:_SHOWN_MAX])


def configured_url(
    environment: Mapping[str, str],
    paths: Sequence[Path] = CONFIG_PATHS,
    *,
    warn: Callable[[str], None] | None = None,
) -> str | None:
    """Return `ZREG_URL`, else `[client] url` of the first zreg.toml that has it, else None.

    `warn` gets a sentence for each file that may not be read; by default it is logged.
    """
    if url := environment.get("ZREG_URL"):
        return url
    for file in find_settings(paths, warn or _warn):
        if (url := _url_in(file)) is not None:
            return url
    return None


def may_discover(environment: Mapping[str, str]) -> bool:
    """Return whether a client without a url may look for a session on its LAN."""
    return environment.get("ZREG_DISCOVER", "") != "off"


def _address(text: str, url: str) -> str:
    shown = shown_url(url)
    found = _HOST.match(text)
    host = (found[1] or found[2]) if found else ""
    why = why_no_host(host)
    if found is None or why is not None:
        why = why if found else "a port is a number, and an IPv6 address is in brackets"
        raise UsageError(f"{shown_url(text)} in url {shown} is not HOST[:PORT]: {why}; {_HINT}")
    port = int(found[3] or DEFAULT_SESSION_PORT)
    if not 1 <= port <= PORT_MAX:
        raise UsageError(
            f"port {port} in url {shown} cannot be used: give one from 1 to {PORT_MAX}"
        )
    return f"tcp://{bracketed(host)}:{port}"


def check_client_table(client: object, file: SettingsFile) -> None:
    """Raise `UsageError` if `[client]` is not a section, or holds an unknown setting."""
    if not isinstance(client, dict):
        raise UsageError(
            f"{file.path}, line {line_of('client', file.text)}: client must be a section, "
            f"[client], with url in it: {_HINT}"
        )
    for name in client:
        if name not in _CLIENT_KEYS:
            line = line_of(name, file.text, section="client")
            raise UsageError(
                f"{file.path}, line {line}: there is no setting {name!r} in [client], only url; "
                "write settings of nodes above all sections"
            )


def _url_in(file: SettingsFile) -> str | None:
    for name, value in file.values.items():
        # The same file may hold settings of nodes, but no section other than [client].
        if isinstance(value, dict) and name != "client":
            line = line_of(name, file.text)
            raise UsageError(
                f"{file.path}, line {line}: there is no section [{name}], only [client]"
            )
    client = file.values.get("client", {})
    check_client_table(client, file)
    assert isinstance(client, dict)
    url = client.get("url")
    if url is not None and not isinstance(url, str):
        raise UsageError(f"{file.path}: url in [client] must be text, not {url!r:.80}: {_HINT}")
    return url


def _warn(sentence: str) -> None:
    logger.warning("client.settings.forbidden detail=%r", sentence)
