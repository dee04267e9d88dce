"""What is the same of a client on threads and on an event loop: all that does not wait."""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from zreg.client.balancing.policy import Balancing
from zreg.client.client_status import Status
from zreg.client.core.commands import ClientState
from zreg.client.locating.registry_url import (
    DEFAULT_URL,
    configured_url,
    may_discover,
    parse_url,
)
from zreg.client.locating.transports import addresses_without_zmq
from zreg.config import LABEL, Config
from zreg.errors import UsageError
from zreg.forks_and_signals import loading
from zreg.hosts import checked_host
from zreg.model import DataInfoId, data_info_id

if TYPE_CHECKING:
    from zreg.client.balancing.policy import BalancingOptions
    from zreg.client.runtime.runtime import Runtime, Settings

# A program that publishes one id many times has it checked once.
_name: Final = functools.lru_cache(maxsize=4096)(data_info_id)


class ClientHandle:
    """A program's connection to the registry."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime

    @property
    def client_id(self) -> bytes:
        """The random identity of this client, the same on every connection."""
        return self._runtime.client_id

    @property
    def state(self) -> ClientState:
        """The state of the connection; each state says what you have to do."""
        return self._runtime.state

    @property
    def status(self) -> Status:
        """How the connection is now: session, round trip, counts, and why there is none."""
        self._enter_process()
        return self._runtime.status()

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people."""
        self._enter_process()
        return self._runtime.statistics()

    def _enter_process(self) -> None:
        """Begin afresh in a forked child, if this client can; otherwise do nothing."""
        if self._runtime.lifecycle.is_usable:
            self._runtime.lifecycle.enter_process()

    def __repr__(self) -> str:
        """Show state and session, or what ended it."""
        return f"<{type(self).__name__} {self.state.value}: {self._runtime.why_waiting()}>"


def balancing_of(client: ClientHandle, options: "BalancingOptions") -> Balancing:
    """Return how a service of this client spreads calls; `UsageError` if it cannot do so."""
    balancing = Balancing(**options)
    own_zone = client._runtime.settings.config.zone  # noqa: SLF001 -- of this module
    if balancing.zone_first and not own_zone:
        raise UsageError(
            "zone_first=True prefers the zone of this client, which was told none: give the client "
            "zone=, or set ZREG_ZONE. It does not know the zone that its session gives it"
        )
    return balancing


def settings_of(  # noqa: PLR0913 -- one argument for each of a client
    url: str | None,
    *,
    cluster: str | None,
    zone: str | None,
    data_center: str | None,
    app: str | None,
    config: Config | None,
    cache_dir: "str | os.PathLike[str] | None" = None,
) -> "Settings":
    """Return the settings of a client; `UsageError` for one that cannot be used."""
    with loading():
        # It loads asyncio and the reactor, which a program without a client does not need.
        from zreg.client.runtime.runtime import Settings  # noqa: PLC0415

    url = configured_url(os.environ) if url is None else url
    # An empty url is a mistake of the program, and not the wish to use the default.
    used = DEFAULT_URL if url is None else url
    addresses = addresses_without_zmq(used) or parse_url(used)
    advertise_host = os.environ.get("ZREG_ADVERTISE_HOST") or None
    if advertise_host is not None:
        checked_host(advertise_host, "ZREG_ADVERTISE_HOST")
    if config is not None and not isinstance(config, Config):
        raise UsageError(f"config {config!r:.80} cannot be used: give a zreg.Config")
    config = config or Config.for_lan()
    settings = Settings(
        config=msgspec.structs.replace(
            config,
            cluster=_setting(cluster, "ZREG_CLUSTER", config.cluster),
            zone=_setting(zone, "ZREG_ZONE", config.zone),
            data_center=_setting(data_center, "ZREG_DATA_CENTER", config.data_center),
        ),
        addresses=addresses,
        discovers=url is None and may_discover(os.environ),
        app=_setting(app, "ZREG_APP", ""),
        advertise_host=advertise_host,
        cache_dir=None if cache_dir is None else _directory(cache_dir),
    )
    LABEL.check("app", settings.app)
    return settings


def checked_name(data_id: str, instance_id: str, group: str) -> DataInfoId:
    """Return the id of a datum; `UsageError` for one that cannot be used."""
    try:
        return _name(data_id, instance_id=instance_id, group=group)
    except TypeError:
        raise UsageError(
            f"data id {data_id!r:.80}, instance id {instance_id!r:.80} and group {group!r:.80} "
            "must all be text"
        ) from None


def _directory(given: object) -> Path:
    """Return the directory with its full path: the program may change its working directory."""
    path = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if isinstance(path, str) and path and "\0" not in path:
        return Path(path).absolute()
    raise UsageError(f"cache_dir {given!r:.80} cannot be used: give the path of a directory")


def _setting(given: str | None, variable: str, default: str) -> str:
    if given is None:
        return os.environ.get(variable, default)
    if not isinstance(given, str):
        raise UsageError(f"{given!r:.80}, in place of {variable}, cannot be used: give text")
    return given
