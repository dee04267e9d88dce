"""`zreg discover`: what the LAN announces, and what this machine would choose of it."""

import asyncio
import contextlib
import os
import time
from typing import Annotated, Final

import typer

from zreg.cli.flags import Cluster, ConfigFile, Format, Output
from zreg.cli.options.settings_sources import Settings, load_settings
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.cli.process.stop_signals import stop_signals, unblock_stop_signals
from zreg.client.locating.registry_url import DEFAULT_URL, configured_url
from zreg.discovery.announcement import Interface, Wanted, short_id
from zreg.discovery.announcement_listing import AnnouncementListing, ListedAnnouncement
from zreg.discovery.announcement_table import AnnouncementTable
from zreg.discovery.choice import Place, addresses_in_order, reason_for
from zreg.discovery.sightings import Sighted, Withdrawn
from zreg.effects import Local
from zreg.errors import UsageError
from zreg.membership.leader_link.meta_addresses import LOCAL_META_ADDRESS
from zreg.model import Role

# Nodes answer within a fifth of a second, unless a packet is lost.
_SECONDS: Final = 2.0
_ROLES: Final = (Role.META, Role.SESSION)
_COLUMNS: Final = ("role", "node id", "cluster", "id", "zone", "addresses", "on", "age", "usable")

Seconds = Annotated[
    float,
    typer.Option(min=0.1, max=3600.0, help="How long to listen.", metavar="SECONDS"),
]


def discover(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show what is announced and taken back until Ctrl-C.")
    ] = False,
    seconds: Seconds = _SECONDS,
    cluster: Cluster = None,
    lan_interfaces: Annotated[
        str | None,
        typer.Option(help="Network interfaces, NAME[,NAME...]; default: all.", metavar="NAMES"),
    ] = None,
    config: ConfigFile = None,
    output: Output = Format.TABLE,
) -> None:
    """List the meta and session nodes that the LAN announces, and which would be chosen."""
    flags = {"cluster": cluster, "lan_interfaces": lan_interfaces}
    loaded = load_settings(flags, os.environ, file=config)
    lan = _Lan(loaded, is_json=output is Format.JSON, is_watching=watch)
    asyncio.run(lan.listen(None if watch else seconds))
    if not watch:
        lan.report()


class _Lan:
    """What was heard, and what to write of it."""

    def __init__(self, loaded: Settings, *, is_json: bool, is_watching: bool) -> None:
        config = loaded.config
        self._loaded = loaded
        self._is_json = is_json
        self._is_watching = is_watching
        self._is_listening = True
        self._place = Place(config.zone, config.data_center)
        self._listing = AnnouncementListing(config.cluster)
        self._tables = {
            role: AnnouncementTable(Wanted(role=role, cluster=config.cluster)) for role in _ROLES
        }

    async def listen(self, seconds: float | None) -> None:
        """Listen for so long, or until a signal ends it."""
        try:
            from zreg.lan.lan_watch import LanWatch  # noqa: PLC0415 -- only this command needs it
        except ModuleNotFoundError as error:
            raise UsageError(
                "`zreg discover` needs zeroconf, which is not installed: run "
                "pip install 'zreg[node]'"
            ) from error
        watch = LanWatch(
            self._take,
            names=self._loaded.options.lan_interfaces,
            on_unreadable=self._take_unreadable,
        )
        watch.browse(*_ROLES)
        ended = asyncio.Event()
        if seconds is None:
            unblock_stop_signals()
            for each in stop_signals():
                asyncio.get_running_loop().add_signal_handler(each, ended.set)
        task = asyncio.create_task(watch.run())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), seconds)
        # A watch that ends withdraws all that it has told of.
        self._is_listening = False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if watch.problem is not None:
            complain(f"mDNS does not work on {watch.problem}: see what uses UDP port 5353")

    def report(self) -> None:
        """Write what was heard."""
        if self._is_json:
            listed = [self._json(entry) for entry in self._listing.entries()]
            say_json({"announcements": listed, **self._choices_json()})
            return
        entries = self._listing.entries()
        if entries:
            print_table(_COLUMNS, [self._row(entry) for entry in entries])
        else:
            say("The LAN announces no meta or session node.")
        if self._listing.omitted_count:
            say(f"{self._listing.omitted_count} further announcements are left out.")
        for line in self._choices():
            say(line)

    # --- events --------------------------------------------------------------------------------

    def _take(self, event: Local) -> None:
        if not self._is_listening:
            return
        now = time.monotonic()
        if isinstance(event, Sighted):
            self._tables[event.announcement.role].see(event, now)
            self._tell("+", self._listing.see(event, now))
        elif isinstance(event, Withdrawn):
            for table in self._tables.values():
                table.withdraw(event)
            self._tell("-", self._listing.withdraw(event))

    def _take_unreadable(self, name: str, interface: Interface, role: Role, reason: str) -> None:
        now = time.monotonic()
        self._tell("+", self._listing.see_unreadable(name, interface, role, reason, now))

    def _tell(self, sign: str, entry: ListedAnnouncement | None) -> None:
        if entry is None or not self._is_watching:
            return
        if self._is_json:
            event = "announced" if sign == "+" else "withdrawn"
            say_json({"event": event, **self._json(entry)})
        else:
            say("  ".join(filter(None, (sign, *self._row(entry, has_age=False)))))

    # --- texts ---------------------------------------------------------------------------------

    def _row(self, entry: ListedAnnouncement, *, has_age: bool = True) -> list[str]:
        said = entry.announcement
        age = time.monotonic() - entry.first_seen_at
        return [
            entry.role.name.lower(),
            "" if said is None else said.node_id,
            "" if said is None else said.cluster,
            "" if said is None else short_id(said.cluster_id),
            "" if said is None else said.zone,
            "" if said is None else ", ".join(map(_plain, said.addresses)),
            entry.interface.name,
            f"{age:.0f} s" if has_age else "",
            f"no: {entry.objection}" if entry.objection else "yes",
        ]

    def _json(self, entry: ListedAnnouncement) -> dict[str, Json]:
        said = entry.announcement
        return {
            "role": entry.role.name.lower(),
            "node_id": None if said is None else said.node_id,
            "cluster": None if said is None else said.cluster,
            "cluster_id": None if said is None else said.cluster_id.hex(),
            "zone": None if said is None else said.zone,
            "data_center": None if said is None else said.data_center,
            "addresses": [] if said is None else list(map(_plain, said.addresses)),
            "interface": entry.interface.name,
            "age_seconds": round(time.monotonic() - entry.first_seen_at, 1),
            "is_usable": not entry.objection,
            "reason": entry.objection,
        }

    def _choices(self) -> list[str]:
        """Return what clients and nodes of this machine would connect to, for people."""
        url, metas = self._configured()
        clients = url and f"{url}, as configured"
        nodes = metas and f"{', '.join(map(_plain, metas))}, as configured"
        return [
            f"Clients use {clients or self._by_lan(Role.SESSION, DEFAULT_URL)}.",
            f"Nodes use meta at {nodes or self._by_lan(Role.META, LOCAL_META_ADDRESS)}.",
        ]

    def _by_lan(self, role: Role, local: str) -> str:
        address, reason = self._chosen(role)
        here = local.rpartition("/")[2]
        otherwise = f"{_plain(address)} ({reason})" if address else "none: none is announced"
        return f"{here} on this machine if a node answers there, else {otherwise}"

    def _choices_json(self) -> dict[str, Json]:
        url, metas = self._configured()
        session, meta = self._chosen(Role.SESSION)[0], self._chosen(Role.META)[0]
        return {
            "clients": {"configured": url, "announced": session and _plain(session)},
            "nodes": {
                "configured": list(map(_plain, metas)),
                "announced": meta and _plain(meta),
            },
        }

    def _configured(self) -> tuple[str | None, tuple[str, ...]]:
        url = configured_url(os.environ, warn=lambda _sentence: None)
        return url, self._loaded.config.meta_addresses

    def _chosen(self, role: Role) -> tuple[str | None, str]:
        """Return the address that is tried first of the announced ones, and why."""
        table = self._tables[role]
        address = next(iter(addresses_in_order(table, self._place)), None)
        return address, "" if address is None else reason_for(table, self._place, address)


def _plain(address: str) -> str:
    return address.removeprefix("tcp://")
