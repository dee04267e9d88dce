"""Faults of real nodes and of the links between them, alone and several at once, each for a while.

No fault stops a client, and each client can reach a session again before the time ends after which
its publishers may be removed. So no fault may remove a publisher from a view.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

import msgspec

from zreg.testing.processes.proxied_cluster import ProxiedCluster

_LENGTHS: Final = (0.2, 1.0, 2.5, 5.0, 12.0, 25.0)
# A client that can only reach a session which is cut off from a data node is registered there by
# its former session, which the data node may forget after the grace: 20 s.
_CUT_LENGTHS: Final = (0.2, 1.0, 2.5, 5.0, 12.0)
# How long the clients of a session may take to reach another one.
_MOVE_SECONDS: Final = 2.0
_STOP_SHARE: Final = 0.5
_ONE_WAY_SHARE: Final = 0.3
_LATER_SHARE: Final = 0.3
_LATER_SECONDS_MAX: Final = 2.0


class _Undo(msgspec.Struct):
    """What ends a fault, when, and the nodes that must not get another one until then."""

    due_at: float
    nodes: tuple[str, ...]
    run: Callable[[], object]


class RandomFaults:
    """What is wrong now, and when it ends; `counts` has how often each kind began.

    Kinds are drawn like cards: each comes once before any comes again, as soon as it can begin.
    """

    def __init__(self, cluster: ProxiedCluster, rng: Random) -> None:
        self._begins: dict[str, Callable[[], bool]] = {
            "one": partial(self._fail_some_of, ("session", "data"), 1),
            "pair": partial(self._fail_some_of, ("session", "data", "meta"), 2),
            "all sessions": partial(self._fail_all, "session"),
            "all data nodes": partial(self._fail_all, "data"),
            "meta": partial(self._fail_some_of, ("meta",), 1),
            "all meta": partial(self._fail_all, "meta"),
            "cut session-meta": partial(self._cut, "session", "meta"),
            "cut data-meta": partial(self._cut, "data", "meta"),
            "cut session-data": partial(self._cut, "session", "data"),
            "cut meta-meta": partial(self._cut, "meta", "meta"),
            "clients reset": self._reset_clients,
            "black hole": self._make_black_hole,
        }
        # These need a second node of the role.
        for kind, role in (("cut meta-meta", "meta"), ("black hole", "session")):
            if len(cluster.of(role)) == 1:
                del self._begins[kind]
        self.counts: Counter[str] = Counter(dict.fromkeys(self._begins, 0))
        # What began and ended, each with the time in seconds since the faults began.
        self.history: list[tuple[float, str]] = []
        self._cluster = cluster
        self._rng = rng
        self._nodes = {
            role: [node.node_id for node in cluster.of(role)]
            for role in ("session", "data", "meta")
        }
        self._kinds: list[str] = []
        self._undos: list[_Undo] = []
        self._cut_pairs: set[frozenset[str]] = set()
        self.began_at = time.monotonic()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of faults; `counts` has more: how the nodes failed and links were cut."""
        return tuple(self._begins)

    @property
    def seconds(self) -> float:
        """The time since the faults began."""
        return time.monotonic() - self.began_at

    # --- beginning and ending -----------------------------------------------------------------

    def step(self) -> None:
        """Begin the next fault that can begin now."""
        if len(self._kinds) < len(self._begins):
            self._kinds += self._rng.sample(sorted(self._begins), len(self._begins))
        for kind in self._kinds:
            if self._begins[kind]():
                self.counts[kind] += 1
                self._kinds.remove(kind)
                return

    def end_due(self) -> None:
        """End the faults whose time is over."""
        due = [undo for undo in self._undos if undo.due_at <= self.seconds]
        self._undos = [undo for undo in self._undos if undo not in due]
        for undo in due:
            undo.run()

    def end_all(self) -> None:
        """End all faults: every node runs, and every link works."""
        # Of a fault that concerns several nodes, some may only begin now.
        while self._undos:
            undos, self._undos = self._undos, []
            for undo in undos:
                undo.run()

    def _free(self, role: str) -> list[str]:
        busy = {node for undo in self._undos for node in undo.nodes}
        return [node for node in self._nodes[role] if node not in busy]

    def _note(self, text: str) -> None:
        self.history.append((self.seconds, text))

    def _end_later(self, seconds: float, nodes: Sequence[str], run: Callable[[], object]) -> None:
        self._undos.append(_Undo(self.seconds + seconds, tuple(nodes), run))

    # --- nodes --------------------------------------------------------------------------------

    def _fail_some_of(self, roles: Sequence[str], count: int) -> bool:
        """Kill or stop some nodes: at most one of them is a meta node."""
        free = [node for role in roles for node in self._free(role)]
        metas = [node for node in free if node in self._nodes["meta"]]
        free = [node for node in free if node not in metas[1:]]
        if len(free) < count:
            return False
        for node in self._rng.sample(free, count):
            self._fail(node, self._rng.choice(_LENGTHS))
        return True

    def _fail_all(self, role: str) -> bool:
        """Kill or stop all nodes of a role, at once or some of them later."""
        if self._free(role) != self._nodes[role]:
            return False
        length = self._rng.choice(_LENGTHS)
        for node in self._nodes[role]:
            if self._rng.random() < _LATER_SHARE:
                begin = partial(self._fail, node, length)
                self._end_later(self._rng.random() * _LATER_SECONDS_MAX, [node], begin)
            else:
                self._fail(node, length)
        return True

    def _fail(self, node: str, length: float) -> None:
        if self._rng.random() < _STOP_SHARE:
            self._note(f"stop {node} for {length:g} s")
            self.counts["stopped"] += 1
            self._cluster.stop(node)
            self._end_later(length, [node], partial(self._continue, node))
        else:
            self._note(f"kill {node} for {length:g} s")
            self.counts["killed"] += 1
            self._cluster.kill(node)
            self._end_later(length, [node], partial(self._restart, node))

    def _continue(self, node: str) -> None:
        self._cluster.cont(node)
        self._note(f"{node} runs again")

    def _restart(self, node: str) -> None:
        self._cluster.restart_nowait(node)
        self._note(f"{node} is restarted")

    # --- links --------------------------------------------------------------------------------

    def _cut(self, left_role: str, right_role: str) -> bool:
        """Cut a node off from all meta nodes, or from one node of another role."""
        left = self._rng.choice(self._nodes[left_role])
        rights = [node for node in self._nodes[right_role] if node != left]
        if right_role != "meta" or left_role == "meta":
            rights = [self._rng.choice(rights)]
        is_one_way = self._rng.random() < _ONE_WAY_SHARE
        is_reply = self._rng.random() < _STOP_SHARE
        if any(frozenset((left, right)) in self._cut_pairs for right in rights):
            return False
        pairs = [(right, left) if is_one_way and is_reply else (left, right) for right in rights]
        if not sum(self._cluster.cut(*pair, is_one_way=is_one_way) for pair in pairs):
            self._mend(pairs)
            return False
        length = self._rng.choice(_CUT_LENGTHS)
        arrow = "->" if is_one_way else "<->"
        text = f"cut {pairs[0][0]} {arrow} {pairs[0][1]}{' and other meta' * (len(pairs) > 1)}"
        self._note(f"{text} for {length:g} s")
        self.counts["cut one way"] += is_one_way
        self._cut_pairs |= {frozenset(pair) for pair in pairs}
        self._end_later(length, [], partial(self._mend, pairs, text))
        return True

    def _mend(self, pairs: Sequence[tuple[str, str]], text: str = "") -> None:
        for pair in pairs:
            self._cluster.mend(*pair)
            self._cut_pairs.discard(frozenset(pair))
        if text:
            self._note(f"mend {text}")

    def _reset_clients(self) -> bool:
        """Reset the connections of all clients to a session, which goes on to accept new ones."""
        for node in self._rng.sample(self._nodes["session"], len(self._nodes["session"])):
            if count := self._cluster.reset_clients(node):
                self._note(f"reset {count} clients of {node}")
                return True
        return False

    def _make_black_hole(self) -> bool:
        """Let one session be out of reach for new connections, and reset those of its clients.

        A session keeps a client whose connection was closed for the disconnect grace only. So all
        other sessions must be whole until its clients had time to reach one of them.
        """
        if self._free("session") != self._nodes["session"]:
            return False
        node, *others = self._rng.sample(self._nodes["session"], len(self._nodes["session"]))
        length = self._rng.choice(_LENGTHS)
        self._note(f"{node} is a black hole for {length:g} s")
        self._cluster.swallow(node)
        self._cluster.reset_clients(node)
        self._end_later(length, [node], partial(self._cluster.accept, node))
        self._end_later(_MOVE_SECONDS, others, lambda: None)
        return True
