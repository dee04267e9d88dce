"""What nodes have noted of an id, in ms on the clock of the machine that asks."""

from zreg.cli.tracing.hop_chains import NodeHops
from zreg.model import ZERO, Role, Version
from zreg.wire.records.common_messages import Hop, HopKind

NOW = 1000.0
P1, P2 = b"1" * 16, b"2" * 16
V1, V2, V3, V4 = (Version(3, number) for number in range(1, 5))


def at(
    milliseconds: float,
    kind: HopKind,
    version: Version = ZERO,
    *,
    of: tuple[bytes, int] = (b"", 0),
    peer: str = "",
    count: int = 0,
    total: int = 0,
) -> Hop:
    """Return a hop so many ms after the time 0 of a test, which is 10 s before the answers."""
    ago = round((10_000 - milliseconds) * 1000)
    return Hop(kind, ago, version, *of, peer, count, total)


def session(node_id: str, *hops: Hop, late: float = 0.0, round_trip: float = 0.002) -> NodeHops:
    """Return a session whose clock seems to be some ms ahead."""
    return NodeHops(node_id, Role.SESSION, hops, NOW + late / 1000, round_trip)


def data_node(node_id: str, *hops: Hop, late: float = 0.0, round_trip: float = 0.002) -> NodeHops:
    return NodeHops(node_id, Role.DATA, hops, NOW + late / 1000, round_trip)


def write(start: float, publisher: tuple[bytes, int], *, answer: float) -> tuple[Hop, ...]:
    """Return the hops of a publish at its session."""
    return (
        at(start, HopKind.PUBLISHED, of=publisher),
        at(start, HopKind.FORWARDED, of=publisher, peer="d1@2"),
        at(answer, HopKind.ANSWERED, of=publisher, peer="d1@2", count=3),
    )


def commit(start: float, publisher: tuple[bytes, int], version: Version) -> tuple[Hop, ...]:
    """Return the hops of a change at its primary."""
    return at(start, HopKind.MERGED, of=publisher), at(start, HopKind.HINTED, version)
