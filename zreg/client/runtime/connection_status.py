"""The state of a client's connection, and the host to publish for its machine."""

import re
import socket
from collections.abc import Sequence
from typing import Final

from zreg.client.core.commands import ClientState, ConnectionChanged, SessionReached
from zreg.client.registry_url import advice_on

_TCP: Final = re.compile(r"tcp://(?:\[(.+)\]|(.+)):(\d+)\Z")


class ConnectionStatus:
    """What the core has reported of its connections; the runtime's lock guards it.

    `address` is the session that was tried last, also if it was not reached. The local host is the
    end of the route to the session that was reached last.
    """

    def __init__(self, addresses: Sequence[str], *, advertise_host: str | None) -> None:
        self.state = ClientState.CONNECTING
        self.address = ""
        self._detail = ""
        self._addresses = addresses
        self._reached_address = ""
        self._advertise_host = advertise_host
        self._local_host: str | None = None

    def on_session_reached(self, event: SessionReached) -> None:
        """Note the session; another route may lead there, so forget the local host."""
        self.address = self._reached_address = event.address
        self._local_host = None

    def on_connection_changed(self, event: ConnectionChanged) -> None:
        """Note the state and its reason."""
        self.state, self.address, self._detail = event.state, event.address, event.detail

    def local_host(self) -> str | None:
        """Return the host to publish for this machine; None before a session was reached.

        A host that the user advertises goes before the one that the route shows.
        """
        if self._advertise_host is not None:
            return self._advertise_host
        if self._local_host is None and self._reached_address:
            self._local_host = find_local_host(self._reached_address)
        return self._local_host

    def why_waiting(self) -> str:
        """Return a sentence that says whether a session is connected, and what to check if not."""
        if self.state is ClientState.CONNECTED:
            return f"connected to the session at {self.address}"
        addresses = ", ".join(map(_without_scheme, self._addresses))
        last = f" (last: {_without_scheme(self.address)}: {self._detail})" if self._detail else ""
        return f"no session reached at {addresses}{last}: {advice_on(self._addresses)}"


def _without_scheme(address: str) -> str:
    return address.removeprefix("tcp://")


def find_local_host(session_address: str) -> str | None:
    """Return the local address of the route to a session; None if there is no route.

    Connecting a UDP socket sends no packet: it only asks the kernel for the route.
    """
    found = _TCP.match(session_address)
    if found is None:
        return None
    host, port = found[1] or found[2], int(found[3])
    try:
        targets = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, target = targets[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except (OSError, UnicodeError):
        return None
