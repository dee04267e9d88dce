"""The state of a client's connection, and the host to publish for its machine."""

from collections.abc import Iterable, Sequence

from zreg.client.core.commands import ClientState, ConnectionChanged, SessionReached
from zreg.client.core.connection.outage import advice_on
from zreg.hosts import is_loopback_host, why_not_told


class ConnectionStatus:
    """What the core has reported of its connections; the runtime's lock guards it.

    `address` is the session that was tried last, also if it was not reached. `local_host` is the
    host to publish for this machine: the one that the user advertises, else this machine's end of
    the connection to the session that was reached last or, if that is on this machine, of the way
    to a session; None before one was reached, or if other machines cannot use it.
    """

    def __init__(self, addresses: Sequence[str], *, advertise_host: str | None) -> None:
        self.state = ClientState.CONNECTING
        self.address = ""
        self._detail = ""
        self._addresses = addresses
        self._advertise_host = advertise_host
        self.local_host = advertise_host
        # Why this machine's end of the present connection is not published.
        self._why_no_host: str | None = None
        # This machine's end of the present connection, if it is of no use to other machines.
        self._loopback_host: str | None = None

    def forget(self) -> None:
        """Forget the connection of the parent, in a forked child."""
        self.state, self.address, self._detail = ClientState.CONNECTING, "", ""

    def on_session_reached(self, event: SessionReached) -> None:
        """Note the session, and this machine's end of the connection to it."""
        self.address = event.address
        self._why_no_host = why_not_told(event.local_host)
        found = None if self._why_no_host is not None else event.local_host or None
        self._loopback_host = found if found is not None and is_loopback_host(found) else None
        if self._loopback_host is not None:
            # Whether other machines are there, the Welcome shows.
            found = None
        self.local_host = self._advertise_host or found

    def on_session_welcomed(self, ends: Iterable[str]) -> None:
        """Note what a session on this machine has shown: `ends` of the ways to all sessions.

        The first one that other machines can use is this machine's; with all sessions on loopback
        there are no other machines.
        """
        found = (end for end in ends if end and why_not_told(end) is None)
        told = next((end for end in found if not is_loopback_host(end)), self._loopback_host)
        self.local_host = self._advertise_host or told

    def on_connection_changed(self, event: ConnectionChanged) -> None:
        """Note the state and its reason."""
        self.state, self.address, self._detail = event.state, event.address, event.detail

    def why_waiting(self) -> str:
        """Return a sentence that says whether a session is connected, and what to check if not."""
        if self.state is ClientState.CONNECTED:
            connected = f"connected to the session at {self.address}"
            if self.local_host is None and self._why_no_host is not None:
                return f"{connected}, but {self._why_no_host}, or set ZREG_ADVERTISE_HOST"
            return connected
        addresses = ", ".join(map(_without_scheme, self._addresses))
        last = f" (last: {_without_scheme(self.address)}: {self._detail})" if self._detail else ""
        advice = advice_on(self._addresses, [self._detail] if self._detail else [])
        return f"no session reached at {addresses}{last}: {advice}"


def _without_scheme(address: str) -> str:
    return address.removeprefix("tcp://")
