"""Whether what a client published is on a host."""

from zreg.errors import PeerError
from zreg.hosts import bracketed
from zreg.wire.body import unpack_body


class HostMatch:
    """Looks at bodies for one host. Most need not be unpacked: they lack the text of the host."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._needle = host.encode()
        self._beginning = f"{bracketed(host)}:"

    def is_in(self, body: bytes) -> bool:
        """Return whether a value names the host: as an endpoint, as `host:port`, or alone."""
        if self._needle not in body:
            return False
        try:
            values = unpack_body(body).values
        except PeerError:
            return False
        return any(map(self._is_on, values))

    def _is_on(self, value: object) -> bool:
        if isinstance(value, dict):
            return value.get("host") == self._host
        return isinstance(value, str) and (value == self._host or value.startswith(self._beginning))
