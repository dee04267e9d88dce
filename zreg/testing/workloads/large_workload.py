"""Thousands of clients, ids or publishers, by seed; work is bounded by what changes.

A cluster takes what its clients publish and subscribe. Then it rests, clients change single
publications, connections break, a session and a data node die. In each span of time the checker
compares the work that was done with what changed (`zreg.testing.checkers.work_checker`). No view
loses a publisher whose client lives, and in the end every view is exact.

    python -m zreg.testing.workloads.large_workload --seeds 1-12
    python -m zreg.testing.workloads.large_workload --seeds 1-1 --clients 5000
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from zreg.primitives.ring import Ring, ring_of
from zreg.testing.checkers.work_checker import Touched, WorkChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.clients.large_clients import LargeClients, Size, size_of
from zreg.testing.workloads.pages.page_reader import PageReader

if TYPE_CHECKING:
    from zreg.testing.sim.observations.work_counts import WorkCounts

REST_SECONDS: Final = 3.0
SETTLE_SECONDS_MAX: Final = 30.0
# After which all clients have acknowledged what they were sent: they gather for half a second.
ACK_SECONDS: Final = 0.6


class LargeLife:
    """One life of one large cluster."""

    def __init__(self, seed: int, size: Size | None = None, *, has_pages: bool = False) -> None:
        self.seed = seed
        self.size = size or size_of(seed)
        self.cluster = SimCluster(seed)
        self.rng = self.cluster.sim.rng
        self.session_count = self.rng.randint(2, 3)
        self.data_count = self.rng.randint(2, 3)
        self.checker = WorkChecker(
            self.cluster.config, sessions=self.session_count, data_nodes=self.data_count
        )
        self.clients = LargeClients(self.cluster, self.size, session_count=self.session_count)
        rng = Random(f"{seed} pages")  # noqa: S311 -- a simulation wants a seed
        self.pages = (
            PageReader(self.cluster, self.clients.names[:6], self.clients.lasting, rng)
            if has_pages
            else None
        )
        # By span of time: what was done in it.
        self.work: dict[str, WorkCounts] = {}

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        self.cluster.start(sessions=self.session_count, data=self.data_count)
        self.cluster.run(1.0)
        self._begin()
        # Primaries compare what changed with its copies.
        self.cluster.run(2 * self.cluster.config.digest_seconds)
        self._span("rest", Touched(), lambda: None, REST_SECONDS)
        for _ in range(6):
            self._change_one()
        for _ in range(3):
            self._break_one_connection()
        self._kill_data_node()
        self._kill_session()
        self._span("rest at the end", Touched(), lambda: None, REST_SECONDS)

    # --- the beginning ------------------------------------------------------------------------

    def _begin(self) -> None:
        """Let all clients come, publish and subscribe; each of them is a change."""
        size, clients = self.size, self.clients
        fetched = self.session_count * min(size.ids, size.subscriptions)
        # Each session fetches every publisher once, and each view gets those of its id.
        shown = size.subscriptions * (size.publishers // size.ids)
        parts = (self.session_count * size.publishers + shown) // 500
        published = Touched(publishers=size.publishers, hinted=size.publishers)
        subscribed = Touched(
            subscriptions=size.subscriptions, fetched=fetched, snapshot_parts=parts
        )
        self._span("coming", Touched(connections=size.clients), clients.come)
        self._span("publishing", published, clients.publish_all)
        self._span("subscribing", subscribed, clients.subscribe_all)

    # --- changes ------------------------------------------------------------------------------

    def _change_one(self) -> None:
        """Let one client republish one publication, or withdraw it and publish another one."""
        clients = self.clients
        publisher_id = self.rng.choice(list(clients.published))
        client, name, _ = clients.published[publisher_id]
        watchers = clients.watchers[name]
        if self.rng.random() < 0.5:  # noqa: PLR2004 -- half of them
            touched = Touched(publishers=1, hinted=1, shown=watchers)
            republish = partial(clients.publish, client, name, publisher_id)
            self._span("republishing", touched, republish)
        else:
            # Withdrawal and publication may be two changes of the id.
            touched = Touched(publishers=2, hinted=2, shown=2 * watchers)
            self._span("replacing", touched, partial(clients.replace, publisher_id))

    def _break_one_connection(self) -> None:
        """Break the connection of one client, which replays what it has."""
        client = self.rng.choice(self.clients.clients)
        touched = self._held_by([client])

        def drop() -> None:
            for number in range(1, self.session_count + 1):
                self.cluster.sim.drop(client, f"session-{number}")

        self._span("reconnecting", touched, drop)

    def _held_by(self, clients: list[str]) -> Touched:
        """Return what is touched when clients connect again, perhaps to another session."""
        chosen = set(clients)
        publishers = sum(client in chosen for client, _, _ in self.clients.published.values())
        subscriptions = [name for client, name in self.clients.views if client in chosen]
        return Touched(
            publishers=publishers,
            subscriptions=len(subscriptions),
            # Ids that are new to the session: a first fetch, and one that names the version which
            # the client has.
            fetched=2 * len(set(subscriptions)) * (self.session_count - 1),
            snapshot_parts=self.session_count * publishers // 500,
            connections=len(clients),
        )

    def _kill_session(self) -> None:
        """Kill a session: its clients, and nothing else, come to the others."""
        here = self.clients.at_session(1)
        touched = self._held_by(here)._replace(memberships=1)
        self._span("a session dies", touched, lambda: self.cluster.sim.kill("session-1"), 3.0)

    def _kill_data_node(self) -> None:
        """Kill a data node: its ids, and no others, are registered and followed elsewhere."""
        clients = self.clients
        moved = {name for name in clients.names if self._ring().primary(name) == "data-1"}
        publishers = sum(name in moved for _, name, _ in clients.published.values())
        followed = sum(bool(clients.watchers[name]) for name in moved)
        # A session fetches an id first, after a refusal, each time that the data node has compared
        # with one more session, and after a hint that overtook the answer: one for each frame of
        # registrations.
        fetches = 2 + self.session_count
        touched = Touched(
            # A registration is refused once at most while the nodes learn of the ring.
            publishers=2 * publishers,
            # Each session restores its publishers of an id, and makes the id complete for its copy.
            hinted=2 * self.session_count * len(moved) + publishers // 500,
            fetched=self.session_count * (fetches * followed + publishers // 500),
            snapshot_parts=fetches * self.session_count * (publishers // 500 + 1),
            memberships=1,
            shown=2 * sum(clients.watchers[name] for name in moved),
        )
        self._span("a data node dies", touched, lambda: self.cluster.sim.kill("data-1"), 3.0)

    def _ring(self) -> Ring:
        leader = self.cluster.leader()
        assert leader is not None
        return ring_of(self.cluster.meta_cores()[leader].membership)

    # --- checks -------------------------------------------------------------------------------

    def _span(
        self, what: str, touched: Touched, change: Callable[[], None], seconds: float = ACK_SECONDS
    ) -> None:
        """Make a change, wait until all views show it and `seconds` more, and check the work.

        The clients' acknowledgements belong to the change, so they have to leave meanwhile.
        """
        sim = self.cluster.sim
        before, began_at = sim.work.copy(), sim.now
        asked_before, followed_before = 0, 0
        if self.pages is not None:
            asked_before = self.pages.question_count
            followed_before = self.pages.followed_count()
        change()
        while True:
            self._read_pages(what)
            self.cluster.run(0.1)
            differences = self.clients.differences()
            if not differences:
                break
            assert sim.now < began_at + SETTLE_SECONDS_MAX, self._report(what, differences)
        self.cluster.run(seconds)
        self.clients.note_registered()
        lost = self.clients.lost()
        assert not lost, self._report(what, lost)
        if self.pages is not None:
            asked = self.pages.question_count - asked_before
            if touched.memberships:
                # What pages have followed lately is fetched again, as what clients follow.
                asked += (2 + self.session_count) * followed_before
            parts = asked * (1 + self.size.publishers // self.size.ids // 500)
            parts += touched.snapshot_parts
            touched = touched._replace(
                questions=asked, snapshot_parts=parts, followed_for_pages=followed_before
            )
        work = self.work[what] = sim.work.since(before)
        violations = self.checker.violations(
            work,
            touched,
            seconds=sim.now - began_at,
            clients=self.size.clients,
        )
        assert not violations, self._report(f"{what}: {touched}", violations)

    def _read_pages(self, what: str) -> None:
        if self.pages is not None:
            found = self.pages.check()
            assert not found, self._report(what, found)
            self.pages.step()

    def _report(self, what: str, lines: list[str]) -> str:
        return f"seed {self.seed} {self.size} {what}\n" + "\n".join(lines[:30])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a range of seeds; print the first failures and return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-6", help="FIRST-LAST")
    for name in Size._fields:
        parser.add_argument(f"--{name}", type=int, help="instead of what the seed says")
    arguments = parser.parse_args(argv)
    first, last = map(int, arguments.seeds.split("-"))
    failed = []
    for seed in range(first, last + 1):
        given = {name: getattr(arguments, name) for name in Size._fields}
        size = size_of(seed)._replace(**{name: n for name, n in given.items() if n is not None})
        life = LargeLife(seed, size, has_pages=True)
        try:
            life.run()
        except Exception as error:  # noqa: BLE001 -- any error belongs to its seed
            failed.append(seed)
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {str(error)[:3000]}\n")
        else:
            work = life.cluster.sim.work
            sys.stdout.write(
                f"seed {seed}: {size} records={work.messages.total()} "
                f"effects={work.effects.total()} calls={work.calls.total()}\n"
            )
        sys.stdout.flush()
    sys.stdout.write(f"{last - first + 1} seeds, {len(failed)} failed {failed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
