"""Whether the address that other nodes and clients are told is still one of this machine."""

import errno
import logging
import socket

from zreg.health import Problem

logger = logging.getLogger("zreg.node")


class OwnAddress:
    """The IP address that a node is bound to, or that stands for all that it is bound to.

    It was an address of this machine at the start. An interface may lose it later, and a socket
    that is bound to it does not tell.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        # Set while the address is none of this machine.
        self.problem: Problem | None = None

    def check(self) -> None:
        """Look whether the address is still there; log when that changes."""
        was_lost, is_lost = self.problem is not None, not is_own_address(self._host)
        if is_lost == was_lost:
            return
        if not is_lost:
            self.problem = None
            logger.info("node.address.restored host=%s", self._host)
            return
        detail = (
            f"{self._host} is no address of this machine any more, so other nodes and clients "
            "cannot reach this node: give the machine its address back, or restart this node with "
            "--host or --advertise-host"
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
            return error.errno != errno.EADDRNOTAVAIL
    return True
