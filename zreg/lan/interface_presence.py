"""One interface in mDNS: what this process announces there, and what others announce.

Each interface has a zeroconf of its own, so that it is announced with its own addresses, and so
that it is known over which interface an announcement came.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import sys
import weakref
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Protocol, cast

from zeroconf import ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from zreg.discovery.announcement import Announcement
from zreg.discovery.interfaces.reach import MachineInterface
from zreg.discovery.sightings import ANNOUNCED_SECONDS, Sighted, Withdrawn
from zreg.discovery.txt_record import Unreadable, read_txt, written_txt
from zreg.effects import Local
from zreg.forks_and_signals import call_in_children, without_forks
from zreg.model import Role

SERVICE_TYPES: Final = {
    Role.META: "_zreg-meta._tcp.local.",
    Role.SESSION: "_zreg-session._tcp.local.",
}
_ROLES: Final = {service_type: role for role, service_type in SERVICE_TYPES.items()}
_TXT: Final = 16
_INTERNET: Final = 1
# A flood of names costs bounded memory, and bounded questions for their TXT records.
_NAMES_MAX: Final = 256
_QUESTIONS_MAX: Final = 8
_QUESTION_MILLISECONDS: Final = 3000
_START_SECONDS: Final = 3.0
# The goodbye is sent three times, an eighth of a second apart.
_CLOSE_SECONDS: Final = 1.0
# Linux gives a socket that is bound to all addresses the packets of every group that any socket of
# the machine has joined, on whichever interface. Off: those of its own interface only.
_IP_MULTICAST_ALL: Final = 49
_IPV6_MULTICAST_ALL: Final = 29

ExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None
)
OnEvent = Callable[[Local], None]
# Called with the name, the role and the reason of an announcement that cannot be read.
OnUnreadable = Callable[[str, Role, str], None]


class WriteLine(Protocol):
    """Writes a log line of a level of `logging`, with an exception's traceback if there is one."""

    def __call__(self, level: int, line: str, exc_info: ExcInfo = None) -> None:
        """Write the line."""
        ...


class _TxtRecord(Protocol):
    """What zeroconf keeps of a TXT record: when it came, in milliseconds, and its data."""

    created: float
    text: bytes


class InterfacePresence:
    """The zeroconf of one interface; errors of zeroconf are raised by `open` and `announce` only.

    Invariant: at most `_NAMES_MAX` names are known, each with the time of the record that was last
    told of.
    """

    def __init__(
        self,
        machine_interface: MachineInterface,
        on_event: OnEvent,
        on_unreadable: OnUnreadable,
        write_line: WriteLine,
    ) -> None:
        self.machine_interface = machine_interface
        self._interface = machine_interface.interface
        self._on_event = on_event
        self._on_unreadable = on_unreadable
        self._write_line = write_line
        self._zeroconf: AsyncZeroconf | None = None
        self._announced: ServiceInfo | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._browsed: frozenset[Role] = frozenset()
        self._known: dict[tuple[str, str], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # How many names were not looked at since too many are known or asked for.
        self.dropped_count = 0

    async def open(self) -> None:
        """Join the multicast groups of the interface; raises what zeroconf raises."""
        hosts = self.machine_interface.hosts
        choice: list[str | int] = [*[host for host in hosts if ":" not in host][:1]]
        if not self._interface.is_loopback and any(":" in host for host in hosts):
            choice.append(self.machine_interface.index)
        with without_forks():
            # Its sockets are bound when this returns, before it has started.
            self._zeroconf = AsyncZeroconf(interfaces=choice)
            _open.add(self)
        await self._zeroconf.zeroconf.async_wait_for_start(_START_SECONDS)
        for reader in self._zeroconf.zeroconf.engine.readers:
            _hear_own_groups_only(reader.transport.get_extra_info("socket"))

    async def close(self) -> None:
        """Take back what was announced, and close all sockets."""
        zeroconf, self._zeroconf = self._zeroconf, None
        for task in self._tasks:
            task.cancel()
        if zeroconf is None:
            return
        try:
            await self._stop_browsing()
            await asyncio.wait_for(zeroconf.async_close(), _CLOSE_SECONDS)
        except Exception:  # noqa: BLE001 -- it is logged, and zeroconf raises many kinds
            self._write_failure("lan.close.failed")
            # It closes its sockets without a goodbye, in the next turn of the loop.
            zeroconf.zeroconf.close()
            await asyncio.sleep(0)

    def leave_to_parent(self) -> None:
        """Let go of the sockets in a forked child, without a goodbye.

        A socket that the child kept would take packets from the parent's. The descriptor stays in
        use, since the parent's transport object would close it again.
        """
        if self._zeroconf is None:
            return
        nothing = os.open(os.devnull, os.O_RDWR)
        for each in _sockets_of(self._zeroconf.zeroconf):
            with contextlib.suppress(OSError, AttributeError):
                os.dup2(nothing, each.fileno())
        os.close(nothing)

    # --- announcing ----------------------------------------------------------------------------

    async def announce(self, name: str, announcement: Announcement | None) -> None:
        """Have this announced, in place of what was; None: nothing. Raises what zeroconf raises."""
        assert self._zeroconf is not None
        former = self._announced
        if announcement is None:
            if former is not None:
                self._announced = None
                self._finish(await self._zeroconf.async_unregister_service(former))
            return
        info = _service_info(name, announcement)
        if former is None:
            # The name is random, so nothing else can have it.
            sent = await self._zeroconf.async_register_service(info, cooperating_responders=True)
        elif (former.text, former.port) != (info.text, info.port):
            sent = await self._zeroconf.async_update_service(info)
        else:
            return
        self._announced = info
        self._finish(sent)

    # --- browsing ------------------------------------------------------------------------------

    async def browse(self, roles: frozenset[Role]) -> None:
        """Tell of announcements of these roles from now on."""
        assert self._zeroconf is not None
        if roles == self._browsed:
            return
        await self._stop_browsing()
        self._browsed = roles
        if roles:
            types = [SERVICE_TYPES[role] for role in sorted(roles)]
            self._browser = AsyncServiceBrowser(
                self._zeroconf.zeroconf, types, handlers=[self._on_change]
            )

    def look_again(self) -> None:
        """Tell again of what was announced again: zeroconf tells of changes only."""
        for service_type, name in list(self._known):
            self._tell(service_type, name)

    async def _stop_browsing(self) -> None:
        browser, self._browser = self._browser, None
        self._browsed = frozenset()
        known, self._known = self._known, {}
        for _, name in known:
            self._on_event(Withdrawn(name, self._interface))
        if browser is not None:
            await browser.async_cancel()

    def _on_change(
        self,
        zeroconf: Zeroconf,  # noqa: ARG002 -- zeroconf passes all by name
        service_type: str,
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        """Take what the browser found; nothing may be raised into zeroconf."""
        try:
            self._take_change(service_type, name, state_change)
        except Exception:  # noqa: BLE001 -- it is logged, and zeroconf raises many kinds
            self._write_failure("lan.browse.failed")

    def _take_change(self, service_type: str, name: str, change: ServiceStateChange) -> None:
        key = (service_type, name)
        if service_type not in _ROLES:
            return
        if change is ServiceStateChange.Removed:
            if self._known.pop(key, None) is not None:
                self._on_event(Withdrawn(name, self._interface))
            return
        if key not in self._known:
            if len(self._known) >= _NAMES_MAX:
                self.dropped_count += 1
                return
            self._known[key] = 0.0
        if not self._tell(service_type, name):
            self._ask(service_type, name)

    def _tell(self, service_type: str, name: str) -> bool:
        """Tell of an announcement if its record is newer; return whether there is a record."""
        record = self._txt_of(name)
        if record is None:
            return False
        key = (service_type, name)
        if record.created <= self._known.get(key, record.created):
            return True
        self._known[key] = record.created
        role = _ROLES[service_type]
        announcement = read_txt(role, record.text, self._interface)
        if isinstance(announcement, Unreadable):
            self._on_unreadable(name, role, announcement.reason)
        else:
            self._on_event(Sighted(name, self._interface, announcement))
        return True

    def _txt_of(self, name: str) -> _TxtRecord | None:
        if self._zeroconf is None:
            return None
        record = self._zeroconf.zeroconf.cache.get_by_details(name, _TXT, _INTERNET)
        return cast("_TxtRecord | None", record)

    def _write_failure(self, event: str) -> None:
        """Write an error of zeroconf with the exception that is being handled."""
        line = f"{event} interface={self._interface.name}"
        self._write_line(logging.ERROR, line, sys.exc_info())

    def _ask(self, service_type: str, name: str) -> None:
        """Ask for the TXT record of a name; most come with the name."""
        if len(self._tasks) >= _QUESTIONS_MAX:
            self.dropped_count += 1
            return
        self._run(self._ask_and_tell, service_type, name)

    async def _ask_and_tell(self, service_type: str, name: str) -> None:
        if self._zeroconf is not None:
            info = AsyncServiceInfo(service_type, name)
            await info.async_request(self._zeroconf.zeroconf, _QUESTION_MILLISECONDS)
            self._tell(service_type, name)

    def _finish(self, sent: Awaitable[object]) -> None:
        """Have zeroconf send a message as often as it wants, while this goes on."""

        async def wait() -> None:
            await sent

        self._run(wait)

    def _run(self, work: Callable[..., Awaitable[None]], *arguments: str) -> None:
        task = asyncio.get_running_loop().create_task(self._logged(work, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _logged(self, work: Callable[..., Awaitable[None]], *arguments: str) -> None:
        try:
            await work(*arguments)
        except Exception:  # noqa: BLE001 -- it is logged, and zeroconf raises many kinds
            self._write_failure("lan.send.failed")


def _service_info(name: str, announcement: Announcement) -> ServiceInfo:
    """Return the records of an announcement; readers other than zreg use SRV, A and AAAA."""
    service_type = SERVICE_TYPES[announcement.role]
    hosts = [
        address.removeprefix("tcp://").rpartition(":")[0] for address in announcement.addresses
    ]
    return ServiceInfo(
        service_type,
        f"{name}.{service_type}",
        port=int(announcement.addresses[0].rpartition(":")[2]),
        addresses=[ipaddress.ip_address(host.strip("[]")).packed for host in hosts],
        properties=written_txt(announcement),
        server=f"{name}.local.",
        host_ttl=int(ANNOUNCED_SECONDS),
        other_ttl=int(ANNOUNCED_SECONDS),
    )


def _sockets_of(zeroconf: Zeroconf) -> list[socket.socket]:
    """Return the sockets, which have no transport before zeroconf has started."""
    engine = zeroconf.engine
    unstarted = [engine._listen_socket, *engine._respond_sockets]  # noqa: SLF001 -- no public name
    started = [
        each.transport.get_extra_info("socket") for each in (*engine.readers, *engine.senders)
    ]
    return [each for each in (*unstarted, *started) if each is not None]


def _hear_own_groups_only(listener: socket.socket) -> None:
    """Have a socket hear the groups that it joined; a system without the option has no need."""
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    if listener.family == socket.AF_INET6:
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)


# The presences of this process, for forked children.
_open: "weakref.WeakSet[InterfacePresence]" = weakref.WeakSet()


def _on_forked() -> None:
    for presence in list(_open):
        presence.leave_to_parent()


call_in_children(_on_forked)
