"""A node of any role: one core on one reactor, and what the process around it can ask."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from zreg.config import Config
from zreg.discovery.announcement import Announcement
from zreg.discovery.interfaces.reach import Reach
from zreg.discovery.lan_settings import LanSettings
from zreg.discovery.sightings import Browse
from zreg.effects import Core, HostChanged, Local, Log, MembershipTaken
from zreg.health import Harm, Health, Problem, bug_problems, stuck_problems
from zreg.hosts import is_ip_address
from zreg.model import Member, Role
from zreg.nodes.addresses.address_choice import ANY_HOSTS
from zreg.nodes.addresses.own_address import OwnAddress, is_own_address
from zreg.nodes.node_lan import NodeLan
from zreg.primitives.reports.event_ring import EventRing
from zreg.reactor import Disk, EventCallback, Reactor, SocketSet
from zreg.reactor.link_table import bare_host, split_address
from zreg.storage.failures import NodeEndError
from zreg.storage.membership_cache import MembershipCache
from zreg.wire.records.common_messages import EventsReply, FetchEvents

# How often a node looks whether its directory and its address are still there.
WATCH_SECONDS: Final = 2.0

logger = logging.getLogger("zreg.node")

if TYPE_CHECKING:
    # aiohttp takes a quarter of a second to load: only a node that serves HTTP loads it.
    from zreg.http.server import HttpServer


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a node of any role, besides the addresses that it binds."""

    config: Config
    # Empty: made of role, host name and port.
    node_id: str = ""
    # The host that other nodes and clients are told. Empty: the bound one or, for a node that is
    # bound to all addresses, the one on the way to the other nodes.
    advertise_host: str = ""
    # Links are not encrypted yet: without this a node binds to loopback only.
    insecure: bool = False
    lan: LanSettings = LanSettings()


class NodeCore(Core, Protocol):
    """A core that reports its health, and keeps its last events."""

    events: EventRing

    def health(self, now: float) -> Health:
        """Return the problems that this core knows of."""
        ...


class Node:
    """One core on one reactor, with the membership cache and the HTTP server beside it."""

    def __init__(  # noqa: PLR0913 -- one argument for each thing that a node joins
        self,
        core: NodeCore,
        socket_set: SocketSet,
        member: Member,
        settings: NodeSettings,
        on_event: EventCallback | None,
        disk: Disk | None = None,
        *,
        membership_cache: MembershipCache | None = None,
        peers: Sequence[str],
    ) -> None:
        self.member = member
        self.cluster = settings.config.cluster
        self._core = core
        self._started_at = clock()
        self._is_stopping = False
        self._membership_cache = membership_cache
        self._http: HttpServer | None = None
        self._on_event = on_event
        self._reactor = Reactor(
            core,
            self.cluster,
            socket_set,
            on_event=self._act_or_pass_on,
            disk=disk,
            on_log=self._note_event,
        )
        self._own_address = self._watched_address(settings, peers)
        self._lan = NodeLan(
            settings.lan,
            Reach(
                bound_host=self.bound_host,
                port=int(split_address(self.address)[1]),
                advertise_host=settings.advertise_host,
            ),
            depends=self._depends_on_lan(settings.config),
            announced=self.announcement,
            on_event=self._on_lan_event,
        )

    @property
    def node_id(self) -> str:
        """The name in the membership."""
        return self.member.node_id

    @property
    def role(self) -> str:
        """The role, in lower case."""
        return self.member.role.name.lower()

    @property
    def address(self) -> str:
        """The address to which other nodes or clients connect."""
        return self.member.address

    @property
    def addresses(self) -> Mapping[str, str]:
        """The bound addresses, by the name of their link."""
        return {link.name.lower(): at for link, at in self._reactor.addresses.items()}

    @property
    def bound_host(self) -> str:
        """The host that all its links are bound to."""
        host, _ = split_address(next(iter(self._reactor.addresses.values())))
        return host.strip("[]")

    @property
    def http_address(self) -> str | None:
        """`HOST:PORT` of its HTTP server, for other machines; None if it has none."""
        if self._http is None:
            return None
        host, _ = split_address(self.address)
        return f"{host}:{self._http.port}"

    @property
    def epoch(self) -> int:
        """The epoch of the membership that it follows."""
        return self._core.epoch

    @property
    def uptime_seconds(self) -> float:
        """How long ago it was bound."""
        return clock() - self._started_at

    @property
    def is_joined(self) -> bool:
        """Whether meta has admitted it; always true for meta itself."""
        return self._core.statistics().get("incarnation", "") != "-"

    @property
    def is_serving(self) -> bool:
        """Whether it serves its clients or other nodes, as far as that depends on it."""
        return self.is_joined

    def announcement(self) -> Announcement | None:
        """Return what this node announces on its LAN, without addresses; None for nothing."""
        return None

    def _announced_as(self, role: Role, cluster_id: bytes) -> Announcement:
        """Return the announcement of this node, without what only meta nodes say."""
        return Announcement(
            role=role,
            node_id=self.node_id,
            cluster=self.cluster,
            cluster_id=cluster_id,
            zone=self.member.zone,
            data_center=self.member.data_center,
            addresses=(),
        )

    def _depends_on_lan(self, config: Config) -> bool:
        """Return whether this node has to find others, or to be found, by announcements."""
        return not config.meta_addresses

    def _on_lan_event(self, event: Local) -> None:
        """Hand the core what is announced."""
        self._reactor.post(event)

    def _watched_address(self, settings: NodeSettings, peers: Sequence[str]) -> OwnAddress:
        """Return the address to look at: the told one, unless other machines translate it."""
        bound_host, told_host = self.bound_host, bare_host(self.address)
        is_found = bound_host in ANY_HOSTS and not settings.advertise_host
        is_told_here = is_ip_address(told_host) and is_own_address(told_host)
        return OwnAddress(
            told_host if is_told_here else bound_host,
            bound_host=bound_host,
            peers=peers if is_found else None,
        )

    def bind_http(self, server: "type[HttpServer]", port: int) -> None:
        """Bind its HTTP server on the host of its links; `run` serves it."""
        self._http = server(self, self.bound_host, port)

    async def run(self) -> None:
        """Serve until `stop`."""
        beside = [asyncio.create_task(work) for work in (self._watch(), self._lan.run())]
        try:
            if self._http is not None:
                await self._http.start()
            await self._reactor.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            try:
                if self._membership_cache is not None:
                    await self._membership_cache.close()
            finally:
                if self._http is not None:
                    await self._http.stop()

    async def _watch(self) -> None:
        """Look again and again at what was checked when this node started."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._check_surroundings()
            except NodeEndError as error:
                self._reactor.fail(error)
                return
            except Exception:
                logger.exception("node.watch.failed")

    async def _check_surroundings(self) -> None:
        """Look at the directory and the address; raises `NodeEndError` if the node must end."""
        if (host := await self._own_address.check()) is not None:
            self._tell_host(host)
        if self._membership_cache is not None:
            await self._membership_cache.check_directory()

    def _tell_host(self, host: str) -> None:
        """Tell others another host of this machine from now on: join again with it."""
        changed = HostChanged(host, os.urandom(16))
        self.member = self.member.at_host(changed.host, changed.process_id)
        self._reactor.post(changed)

    def stop(self) -> None:
        """Say goodbye to clients and meta; `run` then returns."""
        self._is_stopping = True
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._reactor.stop()

    def close(self) -> None:
        """Close the sockets of a node that is never run."""
        self._reactor.close()
        if self._membership_cache is not None:
            self._membership_cache.release()
        if self._http is not None:
            self._http.close()

    def statistics(self) -> dict[str, int | float | str]:
        """Return the counters of the core and of the reactor."""
        lan = self._lan.statistics()
        return {**self._reactor.statistics(), **lan, **self._core.statistics()}

    def health(self, counts: Mapping[str, int] | None = None) -> Health:
        """Return its problems; `counts` are the caller's own counters, bugs among them."""
        now = clock()
        found = [*stuck_problems(self._core.next_tick_at(), now)]
        if self._is_stopping:
            found.append(Problem("stopping", "this node was told to end", Harm.STOPS_WORK))
        found += self._core.health(now).problems
        if self._membership_cache is not None and self._membership_cache.failure is not None:
            found.append(Problem("membership-not-kept", self._membership_cache.failure))
        if self._own_address.problem is not None:
            found.append(self._own_address.problem)
        if self._lan.problem is not None:
            found.append(self._lan.problem)
        found += bug_problems({**self._reactor.statistics(), **(counts or {})})
        return Health(tuple(found))

    def events(self, request: FetchEvents) -> EventsReply:
        """Return a page of its last events."""
        return self._core.events.answer(request, clock())

    def _note_event(self, log: Log) -> None:
        """Keep what the core logs for those who ask what happened."""
        self._core.events.note(log.level, log.event, log.fields, clock())

    def _act_or_pass_on(self, event: msgspec.Struct) -> None:
        """Act on an event of the core that the node itself takes; pass every other one on."""
        cache = self._membership_cache
        if isinstance(event, MembershipTaken) and cache is not None:
            cache.store(event.membership)
        elif isinstance(event, Browse):
            self._lan.browse(is_wanted=event.is_wanted)
        elif self._on_event is not None:
            self._on_event(event)

    def __repr__(self) -> str:
        """Show the core."""
        return f"<Node {self.node_id} at {self.address}: {self._core!r}>"


def clock() -> float:
    """Return the time of asyncio's loops, also before one of them runs."""
    return time.monotonic()
