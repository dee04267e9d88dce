"""What a meta or session node announces on its LAN, and which announcements a reader can use.

Any machine of the LAN can send any announcement, also in the name of another one. So an
announcement only suggests an address: whether the node there is of the right cluster is checked on
the connection, as for an address that was configured.
"""

import ipaddress
from typing import Final

import msgspec

from zreg.config import Limits
from zreg.hosts import bracketed, is_ip_address
from zreg.model import Role
from zreg.tcp_address import why_no_address
from zreg.wire.messages import PROTOCOL_VERSION

# A node has few addresses on one interface. More would let one announcement cost many attempts.
ADDRESSES_MAX: Final = 8
CLUSTER_ID_BYTES: Final = 16
JOURNAL_ID_CHARACTERS_MAX: Final = 64
BOOTSTRAP_EXPECT_MAX: Final = 7
PROTOCOL_VERSION_MAX: Final = 1 << 16
_SHORT_ID_CHARACTERS: Final = 8
_SCHEME: Final = "tcp://"


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What one node says of itself on one interface."""

    # META or SESSION: data nodes are found through meta.
    role: Role
    node_id: str
    cluster: str
    # The id that the cluster got when it was founded; empty: the node knows of none yet.
    cluster_id: bytes = b""
    protocol_version: int = PROTOCOL_VERSION
    zone: str = ""
    data_center: str = ""
    # Where nodes reach a meta node, or clients a session: `tcp://IP:PORT`.
    addresses: tuple[str, ...]
    # Of a meta node: where other meta nodes reach its Raft, and the name of its journal.
    raft_address: str = ""
    journal_id: str = ""
    # With how many meta nodes, itself included, it wants to found the cluster; 0: with none.
    bootstrap_expect: int = 0


class Interface(msgspec.Struct, frozen=True):
    """A network interface of this machine."""

    name: str
    is_loopback: bool = False


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which announcements a reader can use."""

    role: Role
    cluster: str
    # Empty: a cluster of this name with any id.
    cluster_id: bytes = b""

    def objection(self, announcement: Announcement) -> str | None:
        """Return why an announcement cannot be used, for people; None if it can."""
        if announcement.role is not self.role:
            return f"it is a {announcement.role.name.lower()} node"
        if announcement.cluster != self.cluster:
            return f"it is of cluster {announcement.cluster!r}, not of {self.cluster!r}"
        ids = (announcement.cluster_id, self.cluster_id)
        if all(ids) and ids[0] != ids[1]:
            return f"it is of another cluster of the name {self.cluster!r}"
        if announcement.protocol_version != PROTOCOL_VERSION:
            return (
                f"it speaks protocol version {announcement.protocol_version}, and this side speaks "
                f"{PROTOCOL_VERSION}"
            )
        return None if announcement.addresses else "no address of it can be reached from here"


def short_id(cluster_id: bytes) -> str:
    """Return the id of a cluster for people; empty if there is none."""
    return cluster_id.hex()[:_SHORT_ID_CHARACTERS]


def usable_addresses(addresses: tuple[str, ...], interface: Interface) -> tuple[str, ...]:
    """Return the addresses as this machine can connect to them, in canonical form.

    The zone of a link-local address is the reader's interface. A loopback address is this machine
    only if the announcement came over loopback.
    """
    found = (_usable(address, interface) for address in addresses)
    return tuple(dict.fromkeys(address for address in found if address is not None))


def why_no_ip_address(address: str) -> str | None:
    """Return why `tcp://HOST:PORT` cannot be announced; None if it can.

    A name is none: a forged announcement would have every reader look it up.
    """
    if len(address) > Limits.address_characters_max:
        return "it is too long"
    if (why := why_no_address(address)) is not None:
        return why
    host = _host(address)
    if "%" in host:
        return "the zone of an address is the reader's"
    return None if is_ip_address(host) else "it is no IP address"


def _usable(address: str, interface: Interface) -> str | None:
    port = address.rpartition(":")[2]
    ip = ipaddress.ip_address(_host(address))
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback and not interface.is_loopback:
        return None
    is_zoned = isinstance(ip, ipaddress.IPv6Address) and ip.is_link_local
    zone = f"%{interface.name}" if is_zoned else ""
    usable = f"{_SCHEME}{bracketed(f'{ip}{zone}')}:{int(port)}"
    # The name of an interface may have characters that no zone may have.
    return usable if why_no_address(usable) is None else None


def _host(address: str) -> str:
    return address.removeprefix(_SCHEME).rpartition(":")[0].strip("[]")
