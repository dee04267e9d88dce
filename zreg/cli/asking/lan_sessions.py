"""Find a session for a command that was given no url: on this machine, else on the LAN."""

import asyncio
import contextlib
import socket
import time
from typing import Final

from zreg.cli.output import complain
from zreg.client.locating.registry_url import DEFAULT_URL, parse_url
from zreg.config import Config
from zreg.discovery.announcement import Wanted
from zreg.discovery.announcement_table import AnnouncementTable
from zreg.discovery.choice import Place, addresses_in_order, reason_for
from zreg.discovery.sightings import Sighted
from zreg.effects import Local
from zreg.model import Role
from zreg.reactor.link_table import split_address

# A process of this machine accepts at once.
_LOCAL_SECONDS: Final = 0.2
# Nodes answer within a fifth of a second; a second question follows after one second.
_SEARCH_SECONDS: Final = 1.5
# After the first answer: for those of nearer sessions.
_FURTHER_SECONDS: Final = 0.2


def local_or_announced_sessions(config: Config) -> tuple[str, ...]:
    """Return the addresses to ask; a line on stderr names a session that the LAN announced.

    These are the session of this machine if a process listens there, else what the LAN announces,
    and that of this machine again if the LAN announces no session of the cluster.
    """
    local = parse_url(DEFAULT_URL)
    host, port = split_address(local[0])
    try:
        socket.create_connection((host, int(port)), _LOCAL_SECONDS).close()
    except OSError:
        return asyncio.run(_announced(config)) or local
    return local


async def _announced(config: Config) -> tuple[str, ...]:
    """Return the addresses of the sessions that the LAN announces; say which one comes first."""
    try:
        table, problem = await _heard(config.cluster)
    except ModuleNotFoundError as error:
        if error.name != "zeroconf":
            raise
        complain(
            "no session of this machine accepts, and the LAN was not looked at, since zeroconf is "
            "not installed: run pip install 'zreg[lan]'"
        )
        return ()
    place = Place(config.zone, config.data_center)
    found = addresses_in_order(table, place)
    if found:
        where, why = found[0].removeprefix("tcp://"), reason_for(table, place, found[0])
        complain(f"asking the session at {where}: {why}")
    else:
        others = ", ".join(table.foreign_clusters)
        only = f", only of {others}" if others else ""
        why = f"; mDNS does not work on {problem}" if problem else ""
        complain(f"the LAN announces no session of cluster {config.cluster!r}{only}{why}")
    return found


async def _heard(cluster: str) -> tuple[AnnouncementTable, str | None]:
    """Return what the LAN announces of the sessions of a cluster, and why it may be too little."""
    from zreg.lan.lan_watch import LanWatch  # noqa: PLC0415 -- few commands need it

    table = AnnouncementTable(Wanted(role=Role.SESSION, cluster=cluster))
    is_found = asyncio.Event()

    def take(event: Local) -> None:
        if isinstance(event, Sighted):
            table.see(event, time.monotonic())
        if len(table):
            is_found.set()

    watch = LanWatch(take)
    watch.browse(Role.SESSION)
    running = asyncio.create_task(watch.run())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(is_found.wait(), _SEARCH_SECONDS)
        await asyncio.sleep(_FURTHER_SECONDS)
    problem = watch.problem
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return table, problem
