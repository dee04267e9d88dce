"""Bounds and times of the cores that a seed makes unkind: each makes a rare path a common one.

FoundationDB calls such points "buggify". A slice of one, a window of two or an answer that is given
up after a moment must never break a promise, only cost time. A bound that each node may choose for
itself can be a point; what the cluster agrees on cannot.
"""

from collections import Counter
from random import Random
from types import ModuleType, TracebackType
from typing import Final, NamedTuple, Self

from zreg.client.core import session_move
from zreg.config import Limits
from zreg.data import core as data_core
from zreg.data import placement
from zreg.data.copies import copy_answers, handover, repairs
from zreg.data.followers import hints
from zreg.data.replication import replica_stream
from zreg.data.store import op_logs, session_index
from zreg.membership.leader_link import leader_connection
from zreg.meta.state import membership_history
from zreg.primitives.timing import deadlines
from zreg.reactor import link_table
from zreg.session import data_handler, membership_fetch
from zreg.session.clients import rebalancing
from zreg.session.upstream.followed import buckets, fetches, followed_logs
from zreg.session.upstream.registered import node_queues, reconciliation, unsent
from zreg.testing.sim import simulation

# Each point is on in this share of all seeds.
_SHARE: Final = 0.25


class Point(NamedTuple):
    """An attribute of a module or class, and the value that it has while the point is on."""

    owner: ModuleType | type
    name: str
    value: object

    def __str__(self) -> str:
        """Return the name of the point, for counts."""
        return f"buggify {self.owner.__name__.removeprefix('zreg.')}.{self.name.lstrip('_')}"


POINTS: Final = (
    Point(Limits, "publishers_per_record_max", 1),
    Point(Limits, "removals_per_record_max", 1),
    Point(Limits, "pushes_in_flight_max", 1),
    Point(Limits, "pushes_gathered_max", 2),
    Point(Limits, "client_window", 1),
    Point(simulation, "MESSAGES_MAX", 1),
    Point(data_core, "_SLICE", 1),
    Point(data_core, "_SWEEP_SECONDS", 0.2),
    Point(placement, "_PASSED_RINGS_MAX", 1),
    Point(repairs, "ACTIVE_MAX", 1),
    Point(repairs, "NAMES_MAX", 1),
    Point(repairs, "PUBLISHERS_MAX", 2),
    Point(repairs, "ANSWER_SECONDS", 0.3),
    Point(repairs, "PAUSE_SECONDS", 0.0),
    Point(copy_answers, "_DATUMS_MAX", 1),
    Point(handover, "_AGAIN_SECONDS", 0.1),
    Point(hints, "fits_inline", lambda _change: False),
    Point(replica_stream, "_LAG_SECONDS", 0.1),
    Point(op_logs, "_CHANGE_BYTES", 1 << 40),
    Point(session_index, "_ONE_DICT_MAX", 1),
    Point(leader_connection, "_REDIRECTS_MAX", 0),
    Point(membership_history, "STEPS_MAX", 1),
    Point(deadlines, "_STALE_MAX", 0),
    Point(rebalancing, "_AGE_SECONDS_MIN", 0.5),
    Point(rebalancing, "_EXCESS_SHARE", 0.5),
    Point(rebalancing, "_DIFFERENCE_MIN", 0),
    Point(session_move, "_PAUSE_SECONDS", 0.5),
    Point(session_move, "_PROGRESS_SECONDS", 0.3),
    Point(data_handler, "_SLICE", 1),
    Point(membership_fetch, "_PAUSE_SECONDS", 0.05),
    Point(buckets, "_SLICE", 1),
    Point(fetches, "_RETRY_SECONDS", 0.01),
    Point(followed_logs, "_SLICE", 1),
    Point(node_queues, "_WINDOW", 2),
    Point(node_queues, "UNEQUAL_MAX", 1),
    Point(unsent, "_SHARE", 1),
    Point(link_table, "SHARE_RECORDS_MAX", 1),
    Point(reconciliation, "_SLICE", 1),
    Point(reconciliation, "_RECORD_IDS", 1),
)


def _is_chosen(seed: int, point: Point) -> bool:
    # A source for each point: lives draw the same without points, and a new point changes no other.
    return Random(f"{seed} {point}").random() < _SHARE  # noqa: S311 -- a simulation wants a seed


class Buggify:
    """Turns on, for a life, the points that its seed chooses; `counts` names them."""

    def __init__(self, seed: int) -> None:
        self._chosen = [point for point in POINTS if _is_chosen(seed, point)]
        self.counts = Counter(map(str, self._chosen))
        self._former: list[tuple[Point, object]] = []

    def __enter__(self) -> Self:
        """Turn the points on."""
        for point in self._chosen:
            self._former.append((point, getattr(point.owner, point.name)))
            setattr(point.owner, point.name, point.value)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Turn them off."""
        while self._former:
            point, value = self._former.pop()
            setattr(point.owner, point.name, value)
