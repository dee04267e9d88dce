"""Faults of every kind, alone and several at once, each for a while.

No client is stopped or cut off from every session, so none of these faults may remove a publisher
from a view.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from zreg.session.membership_loss import UNREACHED_SECONDS_MAX
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.network.link_faults import HEARTBEAT_SECONDS
from zreg.testing.workloads.faults.data_node_changes import CHANGE_KINDS, DataNodeChanges
from zreg.testing.workloads.faults.fault_schedule import FaultSchedule

K = TypeVar("K")

_CUTS: Final = (("session", "meta"), ("data", "meta"), ("session", "data"), ("meta", "meta"))
# What a campaign has to fire: the faults that begin, and what they do to the network.
FAULT_KINDS: Final = (
    "stopped",
    "killed",
    "all of a role",
    "all of meta",
    *(f"cut {left}-{right}" for left, right in _CUTS),
    *(f"cut {left}-{right} one way" for left, right in _CUTS),
    "hints lost",
    "slow",
    "late",
    "deaf",
    "black hole",
    "isolated",
    "frame cut",
    "broadcast lost",
    "served slowly",
    "dial timed out",
    "heartbeats missed",
    "peer slow",
    "forgotten by a ROUTER",
    "epoch seen",
    # No fault, but what happens in the midst of faults must have been tried.
    "asked to move",
    *CHANGE_KINDS,
)

_DATA_NODES_MAX: Final = 6
_LOSSES: Final = (0.1, 0.5, 1.0)
# A node that serves at a tenth of its pace, and one that has hardly any.
_PACES: Final = (0.002, 0.05)
# How long the clients of a session may take to reach another one.
_MOVE_SECONDS: Final = 1.5
# A process that does not read hears no sign of life. It must read before a lease ends that was
# renewed a ping ago; and faults end up to half a second late.
_DEAF_SECONDS_MAX: Final = 1.2
# What is sent now arrives sooner, unless the sender is late.
_SOON_SECONDS: Final = 0.1
# Other sessions may die meanwhile: their clients must reach one within the grace of a session.
_BLACK_HOLE_SECONDS_MAX: Final = 12.0
# After which both ends of a cut have noticed it.
_NOTICE_SECONDS: Final = HEARTBEAT_SECONDS + 0.5
# More than a request waits for its answer, and less than a lease.
_LATENESSES: Final = (0.3, 1.2, 2.0)


class ChaosFaults:
    """Begins faults, and ends each when its time is over; `counts` has how often each kind began.

    With `has_ring_changes` data nodes also join, and leave in order. With `has_isolation` sessions
    are cut off from all nodes.
    """

    def __init__(
        self,
        cluster: SimCluster,
        *,
        sessions: int,
        data_nodes: int,
        has_ring_changes: bool,
        has_isolation: bool = True,
    ) -> None:
        self.cluster = cluster
        self.sim = cluster.sim
        self.rng = cluster.sim.rng
        self.nodes = {
            "session": [f"session-{number}" for number in range(1, sessions + 1)],
            "data": [f"data-{number}" for number in range(1, data_nodes + 1)],
            "meta": list(cluster.meta_names),
        }
        self._schedule = FaultSchedule(self.rng)
        self.counts = self._schedule.counts
        self.has_ring_changes = has_ring_changes
        self.has_isolation = has_isolation
        self._changes = DataNodeChanges(
            cluster,
            self.rng,
            self.counts,
            data_nodes=data_nodes,
            data_nodes_max=_DATA_NODES_MAX,
        )

    # --- beginning and ending -----------------------------------------------------------------

    def step(self) -> None:
        """End what is over, and begin one more fault."""
        self.end_due()
        kinds: list[Callable[[], None]] = [
            self._fail_one,
            self._fail_pair,
            self._fail_role,
            self._fail_meta,
            self._cut_a_link,
            self._lose_hints,
            self._be_slow,
            self._be_late,
            self._be_deaf,
            self._be_a_black_hole,
        ]
        if self.has_isolation:
            kinds.append(self._be_isolated)
        if self.has_ring_changes:
            kinds += [
                self._add_data_node,
                self._changes.leave,
                self._changes.change_replica_count,
            ]
        self.rng.choice(kinds)()

    def end_due(self) -> None:
        """End the faults whose time is over."""
        self._schedule.end_due(self.sim.now)
        for name in self._changes.end_left():
            self._schedule.undo_later((name,), partial(self._start, name), self.sim.now)

    def end_all(self) -> None:
        """End all faults: every node runs, and every link works."""
        left = self._changes.end()
        self._schedule.end_all()
        self.sim.heal()
        for name in left:
            self._start(name)

    def _add_data_node(self) -> None:
        self._changes.add()
        self.nodes["data"] = self._changes.names

    def _begin(self, kind: str, nodes: tuple[str, ...], undo: Callable[[], None]) -> float:
        return self._schedule.begin(kind, nodes, undo, self.sim.now)

    def _clients(self) -> list[str]:
        return sorted(name for name in self.sim.processes if "er-" in name)

    def _free(self, role: str) -> list[str]:
        busy = self._schedule.busy()
        return [n for n in self.nodes[role] if n not in busy and n in self.sim.processes]

    # --- nodes that die or stop ---------------------------------------------------------------

    def _fail(self, name: str) -> None:
        if self.rng.random() < 0.5:  # noqa: PLR2004 -- half of them
            self.sim.freeze(name, self._begin("stopped", (name,), lambda: self._resume(name)))
        else:
            self._begin("killed", (name,), lambda: self._start(name))
            self.sim.kill(name)

    def _resume(self, name: str) -> None:
        """Let a stopped process run, if its time is not over yet."""
        process = self.sim.processes.get(name)
        if process is not None and process.frozen_until > self.sim.now:
            self.sim.resume(name)

    def _start(self, name: str) -> None:
        process = self.sim.processes.get(name)
        if process is not None and not process.is_stopping:
            return
        role, _, number = name.partition("-")
        if role == "meta":
            self.cluster.meta(name)
        else:
            (self.cluster.data if role == "data" else self.cluster.session)(int(number))

    def _fail_one(self) -> None:
        if free := self._free("session") + self._free("data"):
            self._fail(self.rng.choice(free))

    def _fail_pair(self) -> None:
        free = self._free("session") + self._free("data")
        if len(free) > 1:
            for name in self.rng.sample(free, 2):
                self._fail(name)

    def _fail_role(self) -> None:
        """Kill or stop all nodes of a role, at once or one after the other."""
        self.counts["all of a role"] += 1
        for name in self._free(self.rng.choice(("session", "data"))):
            if name not in self.sim.processes:
                # It was leaving, and has left while others were killed.
                continue
            self._fail(name)
            if self.rng.random() < 0.3:  # noqa: PLR2004 -- some of them later
                self._wait(self.rng.choice((0.1, 1.0)))

    def _wait(self, seconds: float) -> None:
        """Let time pass; faults that are over end meanwhile."""
        end = self.sim.now + seconds
        while self.sim.now < end:
            self.cluster.run(min(0.5, end - self.sim.now))
            self.end_due()

    def _fail_meta(self) -> None:
        """Kill or stop one meta node, or all of them."""
        free = self._free("meta")
        if free and self.rng.random() < 0.3:  # noqa: PLR2004 -- all of them now and then
            self.counts["all of meta"] += 1
            for name in free:
                self._fail(name)
        elif free:
            self._fail(self.rng.choice(free))

    # --- links --------------------------------------------------------------------------------

    def _cut_a_link(self) -> None:
        """Cut two nodes off from each other, in one direction or both; other links stand."""
        left_role, right_role = self.rng.choice(_CUTS)
        left = self.rng.choice(self.nodes[left_role])
        if right_role == "data" and not self._may_lose_data_node(left):
            return
        rights = [name for name in self.nodes[right_role] if name != left]
        if not rights:
            return
        # A node is cut off from all of meta, or from one node of another role.
        cut = rights if right_role == "meta" else [self.rng.choice(rights)]
        is_one_way = self.rng.random() < 0.3  # noqa: PLR2004 -- some of them
        pairs = [(left, right) for right in cut]
        if self.rng.random() < 0.5:  # noqa: PLR2004 -- either direction
            pairs = [pair[::-1] for pair in pairs]
        kind = f"cut {left_role}-{right_role}{' one way' if is_one_way else ''}"
        self._begin(kind, (), partial(self._mend, pairs))
        for sender, receiver in pairs:
            self.sim.cut_one_way(sender, receiver)
            if not is_one_way:
                self.sim.cut_one_way(receiver, sender)

    def _mend(self, pairs: list[tuple[str, str]]) -> None:
        """Mend a cut. A session for which a data node waits no more is heard a moment later."""
        unheard = tuple(n for n in self.nodes["session"] if self._is_long_cut_off(n))
        self.sim.mend(pairs)
        heard_at = self.sim.now + self.cluster.config.reconnect_seconds_max + _MOVE_SECONDS
        self._schedule.keep_whole(unheard, heard_at)

    def _may_lose_data_node(self, session: str) -> bool:
        """Return whether a session may be cut off from a data node; keep it whole otherwise.

        Until heartbeats have ended its connection, a data node believes that it hears the session.
        A client that moves there in this time, from a session that sees it vanish, is removed.
        """
        if session not in self._free("session"):
            return False
        self._schedule.keep_whole((session,), self.sim.now + _NOTICE_SECONDS)
        return True

    def _lose_hints(self) -> None:
        pair = (self.rng.choice(self.nodes["data"]), self.rng.choice(self.nodes["session"]))
        lossy = self.sim.faults.lossy
        lossy[pair] = self.rng.choice(_LOSSES)
        self._begin("hints lost", (), partial(_forget, lossy, pair))

    def _be_slow(self) -> None:
        name, slow = self._any_node(), self.sim.faults.slow
        slow[name] = self.rng.choice(_PACES)
        self._begin("slow", (), partial(_forget, slow, name))

    def _be_late(self) -> None:
        name, late = self._any_node(), self.sim.faults.late
        late[name] = self.rng.choice(_LATENESSES)
        self._begin("late", (), partial(_forget, late, name))

    def _be_deaf(self) -> None:
        """Let a node or a client not read for less than a lease.

        What is sent to it waits, and is dropped beyond a bound; then its peer is told that it is
        slow. A node that reads again has read everything before it judges a lease.
        """
        busy = self._schedule.busy()
        clients = [name for name in self._clients() if name not in busy]
        name = self.rng.choice([*clients, self._any_node()])
        self.sim.faults.deaf.add(name)
        self._begin("deaf", (), partial(self.sim.read_again, name))
        self._schedule.end_by(self.sim.now + _DEAF_SECONDS_MAX)

    def _be_a_black_hole(self) -> None:
        """Let one session be out of reach for new connections; others take its clients.

        A session keeps a client whose connection closed for the disconnect grace only. So the
        clients and all other sessions must be whole until the clients had time to reach one of
        them. And meta must have admitted them: a session without an incarnation registers nothing.
        """
        faults = self.sim.faults
        free = [name for name in self._free("session") if self._is_whole(name)]
        if free != self.nodes["session"] or faults.deaf.intersection(self._clients()):
            return
        name = self.rng.choice(free)
        faults.black_holes.add(name)
        self._begin("black hole", (name,), lambda: faults.black_holes.discard(name))
        self._schedule.end_by(self.sim.now + _BLACK_HOLE_SECONDS_MAX)
        others = [other for other in free if other != name]
        self._schedule.keep_whole((*others, *self._clients()), self.sim.now + _MOVE_SECONDS)
        for client in [n for n in self.sim.processes if n.startswith("publisher")]:
            self.sim.drop(client, name)

    def _be_isolated(self) -> None:
        """Cut one session off from all nodes; its clients reach it, and all other sessions.

        It learns nothing of what meta thinks of it. The others must be whole until it has sent its
        clients away, and these have moved.
        """
        free = [name for name in self._free("session") if self._is_whole(name)]
        if len(free) < 2 or free != self.nodes["session"]:  # noqa: PLR2004 -- itself and another
            return
        name = self.rng.choice(free)
        pairs = [(name, node) for node in (*self.nodes["meta"], *self.nodes["data"])]
        self._begin("isolated", (name,), partial(self._mend, pairs))
        others = [other for other in free if other != name]
        moved_by = self.sim.now + _NOTICE_SECONDS + UNREACHED_SECONDS_MAX + 2 * _MOVE_SECONDS
        self._schedule.keep_whole((*others, *self._clients()), moved_by)
        for pair in pairs:
            self.sim.cut(*pair)

    def _is_whole(self, name: str) -> bool:
        """Return whether a session is a member, reads at once, and is heard at once."""
        sim, process = self.sim, self.sim.processes[name]
        faults = sim.faults
        is_well = name not in (*faults.late, *faults.slow, *faults.deaf)
        # What a late or slow node had sent or received before it recovered may still be under way.
        connections = (*process.dialled.values(), *process.accepted.values())
        arrives_at = max((max(each.arrives_at.values()) for each in connections), default=0.0)
        has_backlog = max(process.busy_until, arrives_at) > sim.now + _SOON_SECONDS
        is_member = process.core.statistics()["incarnation"] != "-"
        # Cut off from meta it may have departed, or follow an old ring, and not know yet.
        is_led = not any(faults.is_cut(name, meta) for meta in self.nodes["meta"])
        is_heard = not has_backlog and not self._is_long_cut_off(name)
        return is_well and is_member and is_led and is_heard

    def _is_long_cut_off(self, session: str) -> bool:
        """Return whether a data node waits no longer for what a session may register there."""
        grace = self.cluster.config.session_grace_seconds - 2 * _MOVE_SECONDS
        return any(
            session in pair and self.sim.now - cut_at >= grace
            for pair, cut_at in self.sim.faults.cut.items()
            if any(name in pair for name in self.nodes["data"])
        )

    def _any_node(self) -> str:
        """Return a session or data node that no other fault needs whole."""
        role = self.rng.choice(("session", "data"))
        return self.rng.choice(self._free(role) or self.nodes["data"])


def _forget(faults: dict[K, float], key: K) -> None:
    faults.pop(key, None)
