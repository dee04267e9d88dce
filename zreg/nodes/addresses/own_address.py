"""Whether the address that other nodes and clients are told is still one of this machine."""

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence

from zreg.health import Problem
from zreg.nodes.addresses.address_choice import ANY_HOSTS, LOOPBACK, Chosen
from zreg.nodes.addresses.kernel_interfaces import list_hosts
from zreg.nodes.addresses.told_host import find_host

logger = logging.getLogger("zreg.node")


class OwnAddress:
    """The IP address that a node is bound to, or that stands for all that it is bound to.

    It was an address of this machine at the start. An interface may lose it later, and a socket
    that is bound to it does not tell. A node that is bound to all addresses can tell others
    another one then.
    """

    def __init__(self, host: str, *, bound_host: str, peers: Sequence[str] | None) -> None:
        self._host = host
        self._bound_host = bound_host
        # The other nodes to which the way is looked up; None: the address is given, and is kept.
        self._peers = peers
        # Set while the address is none of this machine.
        self.problem: Problem | None = None

    async def check(self) -> str | None:
        """Look whether the address is still there, and log when that changes.

        Return the address that takes its place, if it is gone and another one can be told.
        """
        was_lost, is_lost = self.problem is not None, not is_own_address(self._host)
        # A machine that had only loopback has a network by now, perhaps.
        is_replaceable = is_lost or self._host == LOOPBACK
        if self._peers is not None and is_replaceable:
            found = await asyncio.to_thread(find_host, self._bound_host, self._peers)
            if isinstance(found, Chosen) and found.host not in (self._host, LOOPBACK):
                return self._replace(found)
        if is_lost and not was_lost:
            self._note_lost()
        elif was_lost and not is_lost:
            self.problem = None
            logger.info("node.address.restored host=%s", self._host)
        return None

    def _replace(self, found: Chosen) -> str:
        logger.warning(
            "node.address.changed host=%s former=%s detail=%r",
            found.host,
            self._host,
            f"it is {found.reason}",
        )
        self._host, self.problem = found.host, None
        return found.host

    def _note_lost(self) -> None:
        what = "give the machine its address back, or restart this node with another --host or "
        if self._peers is not None:
            what = "give the machine an address that this node can tell others, or name it with "
        detail = (
            f"{self._host} is no address of this machine any more, so other nodes and clients "
            f"cannot reach this node: {what}--advertise-host"
        )
        self.problem = Problem("address-lost", detail)
        logger.warning("node.address.lost host=%s detail=%r", self._host, detail)


def is_own_address(host: str) -> bool:
    """Return whether this machine has an IP address; only a clear no is a no."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            # A unit of systemd may not bind to any port: look for the address instead.
            return host in ANY_HOSTS or host.partition("%")[0] in list_hosts()
    return True
