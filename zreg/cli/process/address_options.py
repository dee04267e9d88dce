"""Options that name addresses: `--meta` and `--peer`."""

from collections.abc import Sequence
from typing import Final

from zreg.errors import UsageError
from zreg.model import checked_node_id
from zreg.reactor.link_table import check_address

# A node can bind to these, but no other node can connect to them.
_ANY_HOSTS: Final = ("*", "0.0.0.0", "[::]")  # noqa: S104 -- refused here


def tcp_addresses(text: str, where: str) -> tuple[str, ...]:
    """Return the addresses of `HOST:PORT[,HOST:PORT...]`, each with or without `tcp://`.

    Raises `UsageError`, which begins with `where`: the option or file that holds the text.
    """
    addresses = []
    for part in text.split(","):
        bare = part.strip().removeprefix("tcp://")
        try:
            check_address(f"tcp://{bare}", port_min=1)
        except UsageError:
            raise UsageError(
                f"{where}: {part.strip()[:80]!r} is not an address: write HOST:PORT, for example "
                "127.0.0.1:9610"
            ) from None
        addresses.append(f"tcp://{bare}")
    return tuple(dict.fromkeys(addresses))


def peers(parts: Sequence[str]) -> dict[str, str]:
    """Return Raft's address of each meta node by its id; raises `UsageError`."""
    found: dict[str, str] = {}
    for part in parts:
        node_id, equals, address = str(part).strip().partition("=")
        if not equals or not node_id or node_id in found:
            raise UsageError(
                f"peer: {part!r:.80} cannot be used: write ID=HOST:PORT once for each meta node, "
                "for example meta-1=127.0.0.1:9611"
            )
        found[checked_node_id(node_id)] = _peer_address(node_id, address)
    return found


def _peer_address(node_id: str, text: str) -> str:
    address, *more = tcp_addresses(text, f"peer {node_id}")
    host = address.removeprefix("tcp://").rpartition(":")[0]
    if more or host in _ANY_HOSTS:
        raise UsageError(
            f"peer {node_id}: {text[:80]!r} cannot be used: write the one HOST:PORT at which the "
            "other meta nodes reach it"
        )
    return address
