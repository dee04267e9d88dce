"""Registries that a client reaches without ZeroMQ, by their url.

The client knows none of them. A registry in the memory of this process, as
`zreg.testing.FakeRegistry`, adds itself here; so the client imports no test tool.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from zreg.errors import UsageError

if TYPE_CHECKING:
    from zreg.client.core.core import ClientCore
    from zreg.config import Config
    from zreg.effects import Local
    from zreg.reactor.log_lines import LogLines
    from zreg.reactor.sockets.link_socket import ZmqContext

FAKE_SCHEME: Final = "fake://"


class CoreNode(Protocol):
    """One client's core, and what carries its records. Only the thread of its loop calls it."""

    @property
    def core(self) -> "ClientCore":
        """The core; other threads may read its numbers."""
        ...

    async def run(self) -> None:
        """Serve until `stop` is called and the goodbye has left."""
        ...

    def hand_over(self, commands: "Iterable[Local]") -> None:
        """Hand commands to the core in a turn that runs now."""
        ...

    def stop(self) -> None:
        """Say goodbye and end `run`."""
        ...

    def leave_to_parent(self) -> None:
        """Do nothing any more in this forked child: what carries the records is the parent's."""
        ...

    def statistics(self) -> dict[str, int | float | str]:
        """Return the counters of the core, and of what carries its records."""
        ...


class NewNode(Protocol):
    """Makes the node of one client."""

    def __call__(  # noqa: PLR0913 -- one argument for each thing that a node joins
        self,
        config: "Config",
        context: "ZmqContext",
        *,
        client_id: bytes,
        addresses: Sequence[str],
        app: str,
        on_event: Callable[[msgspec.Struct], None],
        log_lines: "LogLines",
    ) -> CoreNode:
        """Return a node that does not run yet."""
        ...


_new_nodes: dict[str, NewNode] = {}


def add_registry(url: str, new_node: NewNode) -> None:
    """Have clients with this url use this kind of node; `UsageError` if the url is in use."""
    if url in _new_nodes:
        raise UsageError(f"this process has a registry at {url} already: give another name")
    _new_nodes[url] = new_node


def remove_registry(url: str) -> None:
    """End the use of a url; clients that have it keep their nodes."""
    _new_nodes.pop(url, None)


def addresses_without_zmq(url: object) -> tuple[str, ...] | None:
    """Return the address of a registry that was added; None for a url of another kind."""
    if not isinstance(url, str) or not url.startswith(FAKE_SCHEME):
        return None
    if url not in _new_nodes:
        raise UsageError(
            f"url {url!r:.200} is of a zreg.testing.FakeRegistry, which lives in the memory of one "
            "process, and this process has none of this name now: use its url inside its with "
            "block, or the url of a registry, zreg://HOST[:PORT]"
        )
    return (url,)


def new_node_without_zmq(addresses: Sequence[str]) -> NewNode | None:
    """Return what makes nodes for these addresses; None if ZeroMQ reaches them."""
    return _new_nodes.get(addresses[0])
