"""What the HTTP server needs of the node that it serves."""

from collections.abc import Mapping
from typing import Protocol

from zreg.health import Health


class ServedNode(Protocol):
    """A node as its HTTP pages see it. Every member is read when a request comes."""

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        ...

    @property
    def role(self) -> str:
        """The role, in lower case."""
        ...

    @property
    def node_id(self) -> str:
        """The name in the membership."""
        ...

    @property
    def address(self) -> str:
        """The address to which other nodes or clients connect."""
        ...

    @property
    def addresses(self) -> Mapping[str, str]:
        """The bound addresses, by the name of their link."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch of the membership that it follows."""
        ...

    @property
    def uptime_seconds(self) -> float:
        """How long ago it was bound."""
        ...

    def health(self, counts: Mapping[str, int] | None = None) -> Health:
        """Return its problems; `counts` are those of the HTTP server, bugs among them."""
        ...

    def statistics(self) -> dict[str, int | float | str]:
        """Return its counters and sizes."""
        ...
