"""Ports that stay free for the nodes of one test, also while a node is down.

A port that the kernel has chosen goes to the next process that asks for one, or to an outgoing
connection, as soon as its node is killed: the node then cannot bind it again.
"""

import secrets
import socket
from contextlib import ExitStack
from typing import Final

from zreg.cli.process.ports import PORTS


class ReservedPorts:
    """Ports of 127.0.0.1 in a row, which only a socket with SO_REUSEADDR can bind until `close`.

    ZeroMQ and asyncio set that option when they listen. As long as none listens, connections are
    refused.
    """

    def __init__(self, count: int) -> None:
        self._reserved = ExitStack()
        firsts = range(PORTS.start, PORTS.stop - count)
        start = secrets.randbelow(len(firsts))
        candidates = (range(first, first + count) for first in (*firsts[start:], *firsts[:start]))
        found = next((ports for ports in candidates if self._reserve(ports)), None)
        assert found is not None, f"127.0.0.1 has no {count} free ports in a row"
        self.ports: Final = found

    def close(self) -> None:
        """Give the ports back."""
        self._reserved.close()

    def _reserve(self, ports: range) -> bool:
        with ExitStack() as stack:
            for port in ports:
                reserved = stack.enter_context(socket.socket())
                try:
                    reserved.bind(("127.0.0.1", port))
                except OSError:
                    return False
                # Only now: before, two tests could reserve one port.
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved = stack.pop_all()
        return True
