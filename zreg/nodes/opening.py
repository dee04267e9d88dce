"""Open what a node needs before its core is built: sockets, its own address, the membership cache.

The order matters. The port that the kernel chose is known after binding, and a core is built with
the address that other nodes are told.
"""

import contextlib
import hashlib
import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zreg.config import Limits
from zreg.effects import Link
from zreg.errors import UsageError
from zreg.hosts import checked_host, why_not_told
from zreg.model import NODE_ID, Member, Role, Status, checked_node_id
from zreg.nodes.addresses.address_choice import ANY_HOSTS, Undecided
from zreg.nodes.addresses.told_host import find_host
from zreg.nodes.base import NodeSettings
from zreg.reactor import LinkTable, SocketSet
from zreg.reactor.link_table import check_address, split_address
from zreg.storage.directory_lock import DirectoryLock
from zreg.storage.membership_cache import MembershipCache, MembershipFile
from zreg.tcp_address import bare_host, with_host

if TYPE_CHECKING:
    from zreg.http.server import HttpServer

# Of a host name that is too long for a node id: how much of its end is kept, and of its digest.
_TAIL_CHARACTERS: Final = 12
_DIGEST_CHARACTERS: Final = 8


@contextlib.contextmanager
def open_socket_set(link_table: LinkTable, settings: NodeSettings) -> Iterator[SocketSet]:
    """Bind the links of a table; refuse to bind unencrypted links beyond loopback.

    The sockets stay open after the block. If the block raises they are closed.
    """
    if not settings.insecure:
        _check_loopback(
            [*link_table.routers.values(), *link_table.pubs.values(), *link_table.answers.values()]
        )
    socket_set = SocketSet(link_table)
    try:
        yield socket_set
    except BaseException:
        socket_set.close()
        socket_set.terminate(lambda: None)
        raise


def new_member(
    role: Role,
    socket_set: SocketSet,
    settings: NodeSettings,
    link: Link,
    *,
    changes_link: Link | None = None,
    peers: Sequence[str],
) -> Member:
    """Return this node as a member. A meta node is a member from its first epoch on.

    `peers` are the addresses of other nodes: the address on the way to them is told to others.
    """
    host = _told_host(socket_set.addresses[link], settings.advertise_host, peers)
    address = with_host(socket_set.addresses[link], host)
    check_address(address, port_min=1)
    changes_address = ""
    if changes_link is not None:
        changes_address = with_host(socket_set.addresses[changes_link], host)
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
        weight=settings.config.weight,
        process_id=os.urandom(16),
    )


def open_membership_cache(
    directory: Path | None, settings: NodeSettings, member: Member
) -> MembershipCache | None:
    """Lock the directory of a node and return its membership cache; None without a directory."""
    if directory is None:
        return None
    cluster = settings.config.cluster
    lock = DirectoryLock(directory)
    return MembershipCache(
        MembershipFile(directory, cluster=cluster, node_id=member.node_id), lock=lock
    )


def load_http_server() -> "type[HttpServer]":
    """Return the class that serves HTTP.

    Loading it takes a quarter of a second. Call it before the node is bound: from then on other
    nodes count on it.
    """
    try:
        from zreg.http.server import HttpServer  # noqa: PLC0415 -- see above
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise UsageError(
            "a node's HTTP needs aiohttp, which is not installed: run pip install 'zreg[node]', or "
            "say --http-port off"
        ) from error
    return HttpServer


def _check_loopback(addresses: Iterable[str]) -> None:
    for address in addresses:
        check_address(address, port_min=0)
        host, _ = split_address(address)
        if not _is_loopback(host):
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


def _told_host(address: str, advertise_host: str, peers: Sequence[str]) -> str:
    """Return the host that other nodes and clients are told for a bound address."""
    host = bare_host(address)
    if advertise_host:
        return checked_host(advertise_host, "advertise_host")
    if host in ANY_HOSTS:
        found = find_host(host, peers)
        if isinstance(found, Undecided):
            raise UsageError(found.detail)
        return found.host
    if (why := why_not_told(host)) is not None:
        raise UsageError(f"{why}, or name an address that others reach with --advertise-host")
    return host


def _default_node_id(role: Role, address: str) -> str:
    port = address.rpartition(":")[2]
    prefix, suffix = f"{role.name.lower()}-", f"-{port}"
    room = Limits.label_characters_max - len(prefix) - len(suffix)
    return f"{prefix}{short_host_name(socket.gethostname(), room)}{suffix}"


def short_host_name(name: str, room: int) -> str:
    """Return a host name in at most `room` characters that a node id may have.

    A name that is changed for this gets a digest of the whole name, so that two names stay two: the
    names of pods differ at the end only, and those of hosts at the beginning.
    """
    plain = "".join("-" if NODE_ID.objection(each) is not None else each for each in name)
    if plain == name and len(name) <= room:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:_DIGEST_CHARACTERS]
    tail = plain[-_TAIL_CHARACTERS:].strip("-.")
    head = plain[: max(0, room - len(digest) - len(tail) - 2)].rstrip("-.")
    return f"{head}-{digest}-{tail}"
