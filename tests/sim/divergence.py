"""A small cluster whose stores and views are compared with what its clients publish.

`Scene.differences` names each place where a data node, a session or a view holds something else
than the living clients have published. A scenario ends with `Scene.is_repaired`.
"""

from collections.abc import Iterable

from msgspec.structs import replace
from promises import make_cluster, membership_of, promise

from zreg.config import Config
from zreg.data.store.datum_buckets import DatumBuckets
from zreg.model import DataInfoId, Incarnation, Publisher, Role, data_info_id
from zreg.primitives.ring import ring_of
from zreg.session.core import SessionCore
from zreg.testing.checkers.store_checker import StoreChecker
from zreg.wire.body import pack_body

NAMES = [data_info_id(f"service-{number}") for number in range(12)]
META = ("tcp://meta:9610",)
# How long a repair may take once its cause has ended.
REPAIR_SECONDS = 5.0
# Digests are compared once a second: what is equal for so long stays equal.
_REST_SECONDS = 2.5
_STEP_SECONDS = 0.1


class Scene:
    """A cluster, what its clients want to be registered, and views of all ids.

    The client `one` is at session-1 and the client `two` at session-2. Both publish every id. Each
    has the other session as its second address. The client `watcher` is at the last session.
    """

    def __init__(
        self, seed: int, *, sessions: int = 2, data: int = 3, replica_count: int = 3
    ) -> None:
        config = Config(meta_addresses=META, replica_count=replica_count)
        self.cluster = make_cluster(seed=seed, sessions=sessions, data=data, config=config)
        self.sim = self.cluster.sim
        self.cluster.client("one", [1])
        self.cluster.client("two", [2])
        self.cluster.client("watcher", [sessions])
        self.views = {
            name: self.cluster.subscribe("watcher", name, feed_id=number)
            for number, name in enumerate(NAMES, 1)
        }
        # What living clients want to be registered: the value by client and id.
        self.wanted: dict[tuple[str, DataInfoId], str] = {}
        self._ids: dict[tuple[str, DataInfoId], bytes] = {}
        self._checker = StoreChecker()
        # False once a test has tampered with a store: then a version stands for other content.
        self._is_store_checked = True
        for client in ("one", "two"):
            for name in NAMES:
                self.publish(client, name, f"{client} 1")
        self.settle()

    # --- what clients do ----------------------------------------------------------------------

    def publish(self, client: str, name: DataInfoId, value: str) -> None:
        """Publish, or republish."""
        key = client, name
        self.wanted[key] = value
        self._ids[key] = self.cluster.publish(client, name, value, self._ids.get(key))

    def withdraw(self, client: str, name: DataInfoId) -> None:
        """Unpublish."""
        del self.wanted[client, name]
        self.cluster.unpublish(client, self._ids.pop((client, name)))

    def kill_client(self, client: str) -> None:
        """Kill a client: nothing of it may stay."""
        self.sim.kill(client)
        self.wanted = {key: value for key, value in self.wanted.items() if key[0] != client}
        self._ids = {key: value for key, value in self._ids.items() if key[0] != client}

    def publisher_id(self, client: str, name: DataInfoId) -> bytes:
        """Return the id under which a client publishes."""
        return self._ids[client, name]

    # --- where things are ---------------------------------------------------------------------

    def placement(self, name: DataInfoId) -> tuple[str, ...]:
        """Return the data nodes that have to hold an id, the primary first."""
        return ring_of(membership_of(self.cluster)).placement(name)

    def owned_by(self, node: str) -> list[DataInfoId]:
        """Return the ids of which a data node is the primary."""
        return [name for name in NAMES if self.placement(name)[0] == node]

    def buckets(self, node: str) -> DatumBuckets:
        """Return the store of a data node, to look at it or to tamper with it."""
        return self.sim.processes[node].core._store.buckets

    def incarnation(self, node: str) -> Incarnation:
        """Return the present life of a node."""
        member = membership_of(self.cluster).living(node)
        assert member is not None
        return member.incarnation

    def data_nodes(self) -> set[str]:
        """Return the data nodes that work."""
        return {member.node_id for member in membership_of(self.cluster).of(Role.DATA)}

    # --- the check ----------------------------------------------------------------------------

    def differences(self) -> list[str]:
        """Return a line for each place that differs from what living clients have published."""
        self.cluster.read_events()
        registered = self._registered()
        found = []
        for name in NAMES:
            wanted = {
                publisher_id: registered.get(publisher_id)
                for (_, each), publisher_id in self._ids.items()
                if each == name
            }
            found += [f"no session registers {key.hex()}" for key in wanted if not wanted[key]]
            found += self._differences_of_nodes(name, wanted)
            values = sorted(value for (_, each), value in self.wanted.items() if each == name)
            shown = sorted(map(str, self.views[name].values()))
            if shown != values:
                found.append(f"the view of {name} is {shown}, not {values}")
        return [*found, *self._pending()]

    def _differences_of_nodes(
        self, name: DataInfoId, wanted: dict[bytes, Publisher | None]
    ) -> Iterable[str]:
        placement = self.placement(name)
        for node in sorted(self.data_nodes()):
            datum = self.buckets(node).find(name)
            if node not in placement:
                if datum is not None:
                    yield f"{node} holds {name}, which is not placed there"
                continue
            held = {} if datum is None else dict(datum.publishers)
            if held != wanted:
                yield f"{node} holds {_shown(held)} of {name}, not {_shown(wanted)}"

    def _sessions(self) -> Iterable[SessionCore]:
        for process in self.sim.processes.values():
            if isinstance(process.core, SessionCore):
                yield process.core

    def _registered(self) -> dict[bytes, Publisher]:
        """Return the newest state of each publisher that sessions answer for."""
        return {
            each.publisher.publisher_id: each.publisher
            for core in self._sessions()
            for each in core._data.registrations
            if each.removal is None
        }

    def _pending(self) -> Iterable[str]:
        for core in self._sessions():
            count = core._data.queues.pending_count
            if count:
                yield f"{core!r} has {count} registrations that no data node has accepted"

    # --- time ---------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until everything is as it should be."""
        assert self.sim.run_until(lambda: not self.differences(), 10.0), self.differences()
        self.cluster.run(1.0)
        assert not self.differences()

    def run(self, seconds: float) -> None:
        """Let time pass, and check what must hold all the time."""
        end = self.sim.now + seconds
        while self.sim.now < end:
            self.step()

    def step(self) -> None:
        """Let a moment pass. No view may lose a publisher that a living client wants.

        A version may stand for one content only, and never goes back in a view (`ViewLog`).
        """
        self.cluster.run(_STEP_SECONDS)
        found = self._checker.check(self.cluster) if self._is_store_checked else []
        promise(not found, "\n".join(found))
        living = set(self._ids.values())
        lost = {key for view in self.views.values() for key in view.removed} & living
        promise(not lost, "a view lost a publisher whose client lives and has not withdrawn it")

    def is_repaired(self) -> None:
        """Check that everything is equal within five seconds, and stays equal."""
        started_at = self.sim.now
        while self.differences() and self.sim.now - started_at < REPAIR_SECONDS:
            self.step()
        found = self.differences()
        promise(not found, f"not repaired within {REPAIR_SECONDS} s:\n" + "\n".join(found))
        self.run(_REST_SECONDS)
        found = self.differences()
        promise(not found, "repaired, and not for long:\n" + "\n".join(found))

    # --- tampering ----------------------------------------------------------------------------

    def drop(self, node: str, client: str, name: DataInfoId) -> None:
        """Let a data node lose a publisher, without any trace."""
        self._is_store_checked = False
        datum = self.buckets(node).find(name)
        assert datum is not None
        self.buckets(node).take_out(datum, datum.publishers[self.publisher_id(client, name)])

    def put_back(self, node: str, old: Publisher, name: DataInfoId) -> None:
        """Let a data node hold an older state of a publisher."""
        self._is_store_checked = False
        datum = self.buckets(node).find(name)
        assert datum is not None
        present = datum.publishers[old.publisher_id]
        assert old.version < present.version
        self.buckets(node).put(datum, old, present)

    def haunt(self, node: str, name: DataInfoId, session: Incarnation) -> None:
        """Let a data node hold a publisher that no client has."""
        body = pack_body(["ghost"], attributes={}, registered_at=0.0)
        key = self.sim.rng.randbytes(16)
        ghost = Publisher(key, 7, b"g" * 16, session, "", "", "", body)
        self._is_store_checked = False
        datum = self.buckets(node).find(name)
        assert datum is not None
        self.buckets(node).put(datum, ghost, None)

    def held(self, node: str, client: str, name: DataInfoId) -> Publisher:
        """Return what a data node holds of a publication."""
        datum = self.buckets(node).find(name)
        assert datum is not None
        return replace(datum.publishers[self.publisher_id(client, name)])


def _shown(held: dict[bytes, Publisher | None]) -> str:
    versions = (f"{key.hex()[:6]}:{each.version if each else '?'}" for key, each in held.items())
    return "{" + ", ".join(sorted(versions)) + "}"
