"""What nodes of all roles share: open the doors, learn the real addresses, run core and reactor.

The order matters: a port that the kernel chose is known after binding, and a core is built with
the address that others will be told.
"""

import contextlib
import ipaddress
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from zreg.config import Config, Limits
from zreg.effects import Core, Link, MembershipTaken
from zreg.errors import UsageError
from zreg.health import Harm, Health, Problem, bug_problems, stuck_problems
from zreg.model import Member, Role, Status, checked_node_id
from zreg.reactor import Disk, EventCallback
from zreg.reactor.link_table import LinkTable, check_address
from zreg.reactor.loop import Reactor
from zreg.reactor.sockets.socket_set import SocketSet
from zreg.storage.directory_lock import DirectoryLock
from zreg.storage.membership_cache import MembershipCache, MembershipFile

_ADDRESS: Final = re.compile(r"tcp://(\[[^\]]+\]|[^:]+):(\d+|\*)\Z")
_ANY_HOSTS: Final = ("*", "0.0.0.0", "[::]")  # noqa: S104 -- recognised here, never bound to
# A documentation address: asking for the route to it sends nothing, and tells the usual way out.
_ELSEWHERE: Final = ("192.0.2.1", 9)


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a node of any role is made of, besides where it binds."""

    config: Config
    # Empty: made of role, host name and port.
    node_id: str = ""
    # What others are told in place of the host that was bound to; empty: found out.
    advertise_host: str = ""
    # Links are not encrypted yet: without this a node binds to loopback only.
    insecure: bool = False


class NodeCore(Core, Protocol):
    """A core that can say how it is."""

    def health(self, now: float) -> Health:
        """Return what is the matter, as far as this core knows."""
        ...


class Node:
    """One core on one reactor, and what there is to know of it from outside."""

    def __init__(  # noqa: PLR0913 -- each is a part of what it is
        self,
        core: NodeCore,
        doors: SocketSet,
        member: Member,
        settings: NodeSettings,
        on_event: EventCallback | None,
        disk: Disk | None = None,
        *,
        keeper: MembershipCache | None = None,
    ) -> None:
        self.member = member
        self.cluster = settings.config.cluster
        self._core = core
        self._started_at = clock()
        self._is_stopping = False
        self._keeper = keeper
        self._on_event = on_event
        if keeper is not None:
            on_event = self._take_event
        self._reactor = Reactor(core, settings.config.cluster, doors, on_event=on_event, disk=disk)

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
        """Where others connect."""
        return self.member.address

    @property
    def addresses(self) -> Mapping[str, str]:
        """What is bound, by the name of its link."""
        return {link.name.lower(): at for link, at in self._reactor.addresses.items()}

    @property
    def bound_host(self) -> str:
        """The host that all its links are bound to."""
        found = _ADDRESS.match(next(iter(self._reactor.addresses.values())))
        assert found is not None
        return found[1].strip("[]")

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
        """Whether meta has let it in; meta itself always is."""
        return self._core.statistics().get("incarnation", "") != "-"

    @property
    def is_serving(self) -> bool:
        """Whether it does for others what it is there for, as far as that is up to it."""
        return self.is_joined

    async def run(self) -> None:
        """Serve until `stop`."""
        try:
            await self._reactor.run()
        finally:
            if self._keeper is not None:
                await self._keeper.close()

    def stop(self) -> None:
        """Say goodbye to clients and meta; `run` then returns."""
        self._is_stopping = True
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._reactor.stop()

    def close(self) -> None:
        """Close the sockets of a node that is never run."""
        self._reactor.close()
        if self._keeper is not None:
            self._keeper.release()

    def statistics(self) -> dict[str, int | float | str]:
        """Return the counters of the core and of the reactor."""
        return {**self._reactor.statistics(), **self._core.statistics()}

    def health(self, counts: Mapping[str, int] | None = None) -> Health:
        """Return what is the matter with it; `counts` are those of who asks, bugs among them."""
        now = clock()
        found = [*stuck_problems(self._core.next_tick_at(), now)]
        if self._is_stopping:
            found.append(Problem("stopping", "this node was told to end", Harm.STOPS_WORK))
        found += self._core.health(now).problems
        if self._keeper is not None and (trouble := self._keeper.trouble):
            found.append(Problem("membership-not-kept", trouble))
        found += bug_problems({**self._reactor.statistics(), **(counts or {})})
        return Health(tuple(found))

    def _take_event(self, event: msgspec.Struct) -> None:
        """Keep what is to be kept, and pass everything else on."""
        if isinstance(event, MembershipTaken):
            assert self._keeper is not None
            self._keeper.keep(event.membership)
        elif self._on_event is not None:
            self._on_event(event)

    def __repr__(self) -> str:
        """Show the core."""
        return f"<Node {self.node_id} at {self.address}: {self._core!r}>"


@contextlib.contextmanager
def opened_doors(table: LinkTable, settings: NodeSettings) -> Iterator[SocketSet]:
    """Bind what the table says, unless that would show an open node to other machines.

    The doors stay open, unless the node around them cannot be built.
    """
    if not settings.insecure:
        _check_loopback([*table.routers.values(), *table.pubs.values(), *table.answers.values()])
    doors = SocketSet(table)
    try:
        yield doors
    except BaseException:
        doors.close()
        doors.terminate(lambda: None)
        raise


def new_member(
    role: Role,
    doors: SocketSet,
    settings: NodeSettings,
    link: Link,
    changes_link: Link | None = None,
) -> Member:
    """Return this node as others will see it; meta is a member from its first epoch on."""
    address = _advertised(doors.addresses[link], settings.advertise_host)
    changes_address = ""
    if changes_link is not None:
        changes_address = _advertised(doors.addresses[changes_link], settings.advertise_host)
    is_meta = role is Role.META
    return Member(
        checked_node_id(settings.node_id or _default_node_id(role, address)),
        role,
        1 if is_meta else 0,
        Status.WORKING if is_meta else Status.INITIAL,
        address,
        changes_address,
        zone=settings.config.zone,
        data_center=settings.config.data_center,
        process_id=os.urandom(16),
    )


def opened_keeper(
    directory: Path | None, settings: NodeSettings, member: Member
) -> MembershipCache | None:
    """Return what keeps this node's membership; None without a directory."""
    if directory is None:
        return None
    cluster = settings.config.cluster
    held = DirectoryLock(directory)
    return MembershipCache(
        MembershipFile(directory, cluster=cluster, node_id=member.node_id), held=held
    )


def clock() -> float:
    """Return the time that asyncio's loops count in, before one of them runs."""
    return time.monotonic()


def _check_loopback(addresses: Iterable[str]) -> None:
    for address in addresses:
        check_address(address, port_min=0)
        found = _ADDRESS.match(address)
        assert found is not None
        if not _is_loopback(found[1]):
            raise UsageError(
                f"{address} can be reached from other machines and zreg's links are not encrypted "
                "yet: bind to 127.0.0.1, or set insecure = true (--insecure) in a network you trust"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _advertised(address: str, advertise_host: str) -> str:
    """Return a bound address as others can use it."""
    found = _ADDRESS.match(address)
    assert found is not None
    host, port = found[1], found[2]
    if advertise_host:
        is_bare_ipv6 = ":" in advertise_host and not advertise_host.startswith("[")
        host = f"[{advertise_host}]" if is_bare_ipv6 else advertise_host
    elif host in _ANY_HOSTS:
        host = _own_host()
    advertised = f"tcp://{host}:{port}"
    check_address(advertised, port_min=1)
    return advertised


def _own_host() -> str:
    """Return the address of this machine on its usual way out; loopback if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _default_node_id(role: Role, address: str) -> str:
    port = address.rpartition(":")[2]
    prefix, suffix = f"{role.name.lower()}-", f"-{port}"
    room = Limits.label_characters_max - len(prefix) - len(suffix)
    return f"{prefix}{socket.gethostname()[:room]}{suffix}"
