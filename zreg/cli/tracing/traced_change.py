"""One change as it is shown: its steps in their order, with times since the first of them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from zreg.cli.tracing.hop_chains import HopChain, NodeHops, Step
from zreg.cli.tracing.node_clock import Interval, Sent, aligned, clock_error
from zreg.model import Role, Version
from zreg.wire.records.common_messages import Hop, HopKind

# Which hop at one node is the message that is another hop at another node. Data nodes tell all
# sessions by PUB; what is sent to one node names it.
_TO_PEER: Final[Mapping[int, HopKind]] = {HopKind.FORWARDED: HopKind.MERGED}
_FROM_PEER: Final[Mapping[int, HopKind]] = {HopKind.ANSWERED: HopKind.ACCEPTED}
_TO_ALL: Final[Mapping[int, tuple[HopKind, ...]]] = {
    HopKind.HINTED: (HopKind.HEARD, HopKind.BEHIND, HopKind.MISSED, HopKind.FETCHED)
}


class TracedStep(msgspec.Struct, frozen=True):
    """A step: `at` and `error` in seconds since the first step of the change.

    `since` is the time since the step before at the same node, which its clock tells exactly; None
    for the first one there.
    """

    node_id: str
    role: Role
    hop: Hop
    at: float
    error: float
    since: float | None


class TracedChange(msgspec.Struct, frozen=True):
    """A change, when it began by the clock of this machine, and its steps in their order."""

    version: Version | None
    is_visible: bool
    began_at: float
    steps: tuple[TracedStep, ...]

    @property
    def seconds(self) -> float:
        """How long it took until the last step; acknowledgements wait at clients and do not count.

        A change whose first step is forgotten may have acknowledgements only.
        """
        return max((step.at for step in self._timed()), default=0.0)

    @property
    def slowest(self) -> int | None:
        """The index of the step before which most time passed; None if there is none."""
        timed = self._timed()
        pauses = [after.at - before.at for before, after in pairwise(timed)]
        return self.steps.index(timed[pauses.index(max(pauses)) + 1]) if pauses else None

    def _timed(self) -> list[TracedStep]:
        return [step for step in self.steps if step.hop.kind != HopKind.CONFIRMED]


def traced(chain: HopChain) -> TracedChange:
    """Return a change on one time line: the clock of the node at which it began."""
    first = min(chain.steps, key=_cause_order)
    moved = _moved(chain.steps, first)
    ordered = sorted(
        chain.steps, key=lambda step: (step.at + moved[step.node.node_id].middle, *_tie(step))
    )
    last_at: dict[str, float] = {}
    steps: list[TracedStep] = []
    for step in ordered:
        node_id = step.node.node_id
        by = moved[node_id]
        before = last_at.get(node_id)
        since = None if before is None else step.at - before
        last_at[node_id] = step.at
        at = max(0.0, step.at + by.middle - first.at)
        steps.append(TracedStep(node_id, step.node.role, step.hop, at, by.error, since))
    return TracedChange(chain.version, chain.is_visible, first.at, tuple(steps))


def _cause_order(step: Step) -> tuple[int, float]:
    """Order steps so that the first is the cause of the others, also where clocks differ."""
    return step.hop.kind, step.at


def _tie(step: Step) -> tuple[int, str]:
    """Order the steps of one turn, which have one time."""
    return step.hop.kind, step.hop.peer


def _moved(steps: Sequence[Step], first: Step) -> dict[str, Interval]:
    """Return by how much the times of each node have to be moved, to the clock of the first."""
    errors: dict[str, float] = {}
    for step in steps:
        error = clock_error(step.node.round_trip_seconds, step.node.answered_at - step.at)
        errors[step.node.node_id] = max(error, errors.get(step.node.node_id, 0.0))
    return aligned(errors, first.node.node_id, list(_messages(steps)))


def _messages(steps: Sequence[Step]) -> Iterator[Sent]:
    """Yield the messages between the nodes of a change."""
    for sent in steps:
        for received in steps:
            if sent.node is not received.node and _is_message(sent, received):
                yield Sent(sent.node.node_id, sent.at, received.node.node_id, received.at)


def _is_message(sent: Step, received: Step) -> bool:
    kind, other = sent.hop.kind, received.hop.kind
    if other in _TO_ALL.get(kind, ()):
        return True
    if _TO_PEER.get(kind) == other:
        is_same = sent.hop.publisher_id == received.hop.publisher_id
        return is_same and _is_peer(sent.hop, received.node)
    return _FROM_PEER.get(other) == kind and _is_peer(received.hop, sent.node)


def _is_peer(hop: Hop, node: NodeHops) -> bool:
    """Return whether the peer of a hop is this node; a peer is named `node_id@epoch`."""
    return hop.peer.rpartition("@")[0] == node.node_id
