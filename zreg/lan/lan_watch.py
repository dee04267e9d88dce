"""All interfaces of this machine in mDNS, on the loop of its caller.

Interfaces come and go, and get other addresses: they are looked at every two seconds. What zeroconf
raises is logged once, counted and tried again; it never reaches the caller.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.interfaces.reach import MachineInterface, Reach, chosen_interfaces
from zreg.effects import Local
from zreg.lan.interface_presence import ExcInfo, InterfacePresence, WriteLine
from zreg.lan.interfaces import machine_interfaces
from zreg.model import Role

LOOK_SECONDS: Final = 2.0
# The caller gets at most so many events of a second; the rest of a flood is dropped.
_EVENTS_PER_SECOND_MAX: Final = 200

logger = logging.getLogger("zreg.lan")


def _write_at_once(level: int, line: str, exc_info: ExcInfo = None) -> None:
    logger.log(level, line, exc_info=exc_info)


def announce_nothing() -> None:
    """Return what a client announces."""


class LanWatch:
    """Announces one node and tells of others; without work it holds no socket.

    `reach`: where the announced node is bound, which limits the interfaces; None for a client.
    `announced` returns what to announce, without addresses; it is asked every two seconds.
    """

    def __init__(
        self,
        on_event: Callable[[Local], None],
        *,
        announced: Callable[[], Announcement | None] = announce_nothing,
        reach: Reach | None = None,
        names: Sequence[str] = (),
        on_unreadable: Callable[[str, Interface, Role, str], None] | None = None,
        write_line: WriteLine = _write_at_once,
    ) -> None:
        self._on_event = on_event
        self._announced = announced
        self._reach = reach
        self._names = tuple(names)
        self._on_unreadable = on_unreadable
        self._write_line = write_line
        # No part of the name of a machine or node: what is announced is in the TXT record.
        self._name = f"zreg-{secrets.token_hex(8)}"
        self._wanted: frozenset[Role] = frozenset()
        self._presences: dict[str, InterfacePresence] = {}
        # By interface: why it could not be used when it was last tried.
        self._failures: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._closing: list[asyncio.Future[list[None]]] = []
        self._second = self._events_of_second = 0
        self._dropped_count = self._unreadable_count = self._error_count = 0

    def __repr__(self) -> str:
        """Show the interfaces."""
        return f"<LanWatch {', '.join(self._presences)}>"

    @property
    def problem(self) -> str | None:
        """Why some interface is not used, for people; None if there is no problem."""
        if not self._failures:
            return None
        return "; ".join(f"{name}: {reason}" for name, reason in self._failures.items())

    @property
    def interface_names(self) -> tuple[str, ...]:
        """The interfaces in use."""
        return tuple(self._presences)

    def statistics(self) -> Mapping[str, int]:
        """Return the counters."""
        dropped = sum(each.dropped_count for each in self._presences.values())
        return {
            "lan_errors": self._error_count,
            "announcements_dropped": self._dropped_count + dropped,
            "announcements_unreadable": self._unreadable_count,
        }

    def browse(self, *roles: Role) -> None:
        """Tell of announcements of these roles from now on; none: of none."""
        self._wanted = frozenset(roles)
        self._wake.set()

    async def run(self) -> None:
        """Watch until this is cancelled; then take back what was announced."""
        try:
            while True:
                self._wake.clear()
                await self._reconcile()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
        finally:
            await self._close(list(self._presences))
            # One that was begun before may have been left by the cancellation.
            await asyncio.gather(*self._closing)

    async def _reconcile(self) -> None:
        """Use the interfaces that there are now for what is wanted now."""
        try:
            announcement = self._announced()
            is_needed = announcement is not None or self._wanted
            found = machine_interfaces() if is_needed else []
            chosen = chosen_interfaces(found, names=self._names, reach=self._reach)
        except Exception as error:  # noqa: BLE001 -- of the system or a library; the node goes on
            self._note_failure("all interfaces", error)
            return
        self._failures.pop("all interfaces", None)
        wanted = {each.interface.name: each for each in chosen}
        for name in self._failures.keys() - wanted.keys():
            del self._failures[name]
        gone = [name for name, each in self._presences.items() if not _is_same(each, wanted)]
        await self._close(gone)
        for name, machine_interface in wanted.items():
            await self._use(name, machine_interface, announcement)

    async def _use(
        self, name: str, machine_interface: MachineInterface, announcement: Announcement | None
    ) -> None:
        """Announce and browse on one interface; a failure closes it until the next look."""
        try:
            presence = self._presences.get(name)
            if presence is None:
                presence = self._presences[name] = self._new_presence(machine_interface)
                await presence.open()
                addresses = ", ".join(machine_interface.hosts)
                line = f"lan.interface.used interface={name} addresses={addresses!r}"
                self._write_line(logging.DEBUG, line)
            await presence.announce(self._name, self._on_interface(announcement, machine_interface))
            await presence.browse(self._wanted)
            presence.look_again()
        except Exception as error:  # noqa: BLE001 -- zeroconf raises errors of many kinds
            self._note_failure(name, error)
            await self._close([name])
        else:
            if self._failures.pop(name, None) is not None:
                self._write_line(logging.INFO, f"lan.interface.restored interface={name}")

    def _new_presence(self, machine_interface: MachineInterface) -> InterfacePresence:
        name = machine_interface.interface.name

        def on_unreadable(instance: str, role: Role, reason: str) -> None:
            self._unreadable_count += 1
            line = f"lan.announcement.unreadable interface={name} reason={reason!r}"
            self._write_line(logging.DEBUG, line)
            if self._on_unreadable is not None:
                self._on_unreadable(instance, machine_interface.interface, role, reason)

        return InterfacePresence(machine_interface, self._tell, on_unreadable, self._write_line)

    def _on_interface(
        self, announcement: Announcement | None, machine_interface: MachineInterface
    ) -> Announcement | None:
        if announcement is None or self._reach is None:
            return None
        addresses = self._reach.addresses_on(machine_interface)
        return replace(announcement, addresses=addresses) if addresses else None

    def _tell(self, event: Local) -> None:
        """Hand an event to the caller, unless this second has brought too many."""
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._events_of_second = second, 0
        self._events_of_second += 1
        if self._events_of_second > _EVENTS_PER_SECOND_MAX:
            self._dropped_count += 1
            return
        self._on_event(event)

    def _note_failure(self, name: str, error: Exception) -> None:
        self._error_count += 1
        reason = str(error) or type(error).__name__
        if self._failures.get(name) != reason:
            self._failures[name] = reason
            line = f"lan.interface.failed interface={name} reason={reason!r}"
            self._write_line(logging.WARNING, line)

    async def _close(self, names: Sequence[str]) -> None:
        closed = [self._presences.pop(name) for name in names if name in self._presences]
        closing = asyncio.gather(*(each.close() for each in closed))
        self._closing = [each for each in self._closing if not each.done()]
        self._closing.append(closing)
        await asyncio.shield(closing)


def _is_same(presence: InterfacePresence, wanted: Mapping[str, MachineInterface]) -> bool:
    return wanted.get(presence.machine_interface.interface.name) == presence.machine_interface
