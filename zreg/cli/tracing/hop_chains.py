"""Joins the hops that nodes have noted of one id to its changes.

A data node says which publishes became which version of the datum; sessions know publishes by
publisher and its version, and what they pushed by the version of the datum. A session that had room
for one push only sends several changes as one: then its hops have a later version.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from zreg.model import Role, Version
from zreg.wire.records.common_messages import Hop, HopKind

_CHANGES: Final = (HopKind.HINTED, HopKind.COMMITTED)
_WRITES: Final = (
    HopKind.PUBLISHED,
    HopKind.WITHDRAWN,
    HopKind.FORWARDED,
    HopKind.REFUSED,
    HopKind.ANSWERED,
)
_NEWS: Final = (HopKind.HEARD, HopKind.BEHIND, HopKind.MISSED)
_PUSHES: Final = (HopKind.PUSHED, HopKind.PUSHED_LAST, HopKind.CONFIRMED)


class NodeHops(msgspec.Struct, frozen=True):
    """What one node has noted of an id.

    `answered_at` is when it answered, on the clock of this machine, as well as that is known:
    within half of the round trip.
    """

    node_id: str
    role: Role
    hops: tuple[Hop, ...]
    answered_at: float
    round_trip_seconds: float


class Step(msgspec.Struct, frozen=True):
    """A hop of a change, the node at which it was, and when, by the clock of this machine."""

    node: NodeHops
    hop: Hop
    at: float


class HopChain(msgspec.Struct):
    """One change, and its steps in no order. `version` is None as long as it is in no version."""

    version: Version | None
    is_visible: bool
    steps: list[Step]
    # By publisher: which of its versions is in this change.
    published: dict[bytes, int] = msgspec.field(default_factory=dict)


def chains_of(nodes: Sequence[NodeHops], *, is_data_missing: bool = False) -> list[HopChain]:
    """Return the changes that these nodes have noted, in the order in which they began.

    `is_data_missing`: a data node did not answer. It may have what was accepted and is in no
    version; else that is forgotten there, or was nothing new.
    """
    chains: list[HopChain] = []
    for node in nodes:
        if node.role is Role.DATA:
            chains += _committed(node)
    chains.sort(key=lambda chain: chain.version or Version(0, 0))
    sessions = [node for node in nodes if node.role is Role.SESSION]
    for session in sessions:
        under_way = _add_writes(session, chains)
        chains += [chain for chain in under_way if is_data_missing or not _is_answered(chain)]
        for chain in chains:
            if chain.version is not None and chain.is_visible:
                chain.steps += _followed(session, chain.version)
    return sorted(chains, key=lambda chain: min(step.at for step in chain.steps))


def _steps(node: NodeHops) -> list[Step]:
    return [
        Step(node, hop, node.answered_at - hop.microseconds_ago / 1_000_000) for hop in node.hops
    ]


def _committed(node: NodeHops) -> Iterator[HopChain]:
    """Yield the changes that a data node made, with what it noted of them."""
    found: dict[Version, HopChain] = {}
    merged: list[Step] = []
    for step in _steps(node):
        hop = step.hop
        if hop.kind == HopKind.MERGED:
            merged.append(step)
        elif hop.kind in _CHANGES:
            published = {each.hop.publisher_id: each.hop.publisher_version for each in merged}
            is_visible = hop.kind == HopKind.HINTED
            steps = [*merged, step]
            found[hop.version] = HopChain(hop.version, is_visible, steps, published)
            merged = []
        elif (chain := found.get(hop.version)) is not None and not _has(chain, node, hop):
            chain.steps.append(step)
    yield from found.values()


def _has(chain: HopChain, node: NodeHops, hop: Hop) -> bool:
    """Return whether a chain has this kind of hop of a node: each write is accepted by itself."""
    return hop.kind == HopKind.ACCEPTED and any(
        step.node is node and step.hop.kind == hop.kind for step in chain.steps
    )


def _add_writes(session: NodeHops, chains: Sequence[HopChain]) -> list[HopChain]:
    """Add the publishes of a session to the changes that have them; return those under way."""
    under_way: dict[bytes, HopChain] = {}
    answered: set[tuple[bytes, int]] = set()
    for step in _steps(session):
        hop = step.hop
        key = hop.publisher_id, hop.publisher_version
        # What comes after the answer was sent again, to a data node that lacked it.
        if hop.kind not in _WRITES or key in answered:
            continue
        if hop.kind == HopKind.ANSWERED:
            answered.add(key)
        chain = _chain_with(chains, *key)
        if chain is not None:
            chain.steps.append(step)
        else:
            of_publisher = under_way.setdefault(
                hop.publisher_id, HopChain(None, is_visible=True, steps=[])
            )
            if of_publisher.steps and _is_answered(of_publisher):
                of_publisher.steps.clear()
            of_publisher.steps.append(step)
    return list(under_way.values())


def _is_answered(chain: HopChain) -> bool:
    return chain.steps[-1].hop.kind == HopKind.ANSWERED


def _chain_with(
    chains: Iterable[HopChain], publisher_id: bytes, publisher_version: int
) -> HopChain | None:
    """Return the first change with this version of a publisher, or with a later one."""
    return next(
        (chain for chain in chains if chain.published.get(publisher_id, -1) >= publisher_version),
        None,
    )


def _followed(session: NodeHops, version: Version) -> list[Step]:
    """Return how a change came to a session and from there to its subscribers.

    Nothing if the session did not follow the id at that time: it has taken the change with a first
    copy later, or what it noted is forgotten.
    """
    found: list[Step] = []
    is_following = False
    for step in _steps(session):
        hop = step.hop
        if not found:
            if hop.kind in _NEWS and hop.version >= version:
                if hop.version != version and not is_following:
                    return []
                found.append(step)
            elif hop.kind == HopKind.FETCHED:
                if is_following and hop.count and hop.version >= version:
                    found.append(step)
                is_following = bool(hop.count) or hop.version < version
            elif hop.kind in _NEWS:
                is_following = True
        elif _continues(found, hop, version):
            found.append(step)
    return found


def _continues(found: Sequence[Step], hop: Hop, version: Version) -> bool:
    """Return whether a hop is the next one of a change that a session knows of already."""
    if hop.version < version:
        return False
    kinds = {step.hop.kind for step in found}
    if hop.kind == HopKind.FETCHED:
        return not kinds & {HopKind.HEARD, HopKind.FETCHED, *_PUSHES}
    pushed = next((step.hop.version for step in found if step.hop.kind in _PUSHES), None)
    if hop.kind == HopKind.PUSHED:
        return pushed is None
    return hop.kind in _PUSHES and hop.version == pushed
