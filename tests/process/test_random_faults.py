"""The campaign of random faults: each kind fires, all of them end, and a removal is recorded."""

from collections.abc import Iterator
from random import Random

import pytest
from conftest import StartCluster

from zreg.testing.processes import LineReader, NodeProcess, ProxiedCluster, wait_until
from zreg.testing.processes.chaos.lasting_clients import LastingClients
from zreg.testing.processes.chaos.random_faults import RandomFaults


class FaultyCluster(ProxiedCluster):
    """Three nodes of each role without processes; notes what is wrong with them."""

    def __init__(self) -> None:
        self.nodes = {
            f"{role}-{number}": NodeProcess(role, f"{role}-{number}", 0, "")
            for role in ("meta", "session", "data")
            for number in (1, 2, 3)
        }
        # Nodes and pairs of nodes, with what is wrong.
        self.wrong: dict[object, str] = {}
        self.reset_count = 0

    def begin(self, what: object, how: str) -> None:
        assert what not in self.wrong, f"{what} was {self.wrong[what]} already"
        self.wrong[what] = how

    def stop(self, node_id: str) -> None:
        self.begin(node_id, "stopped")

    def cont(self, node_id: str) -> None:
        assert self.wrong.pop(node_id) == "stopped"

    def kill(self, node_id: str) -> None:
        self.begin(node_id, "killed")

    def restart_nowait(self, node_id: str) -> LineReader | None:
        assert self.wrong.pop(node_id) == "killed"
        return None

    def swallow(self, node_id: str) -> None:
        self.begin(node_id, "a black hole")

    def accept(self, node_id: str) -> None:
        assert self.wrong.pop(node_id) == "a black hole"

    def cut(self, left: str, right: str, *, is_one_way: bool = False) -> int:
        self.begin(frozenset((left, right)), f"cut, one way: {is_one_way}")
        return 1

    def mend(self, left: str, right: str) -> None:
        del self.wrong[frozenset((left, right))]

    def reset_clients(self, node_id: str) -> int:
        assert node_id in self.nodes
        self.reset_count += 1
        return 1


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_of_fault_begins_once_before_any_begins_again_and_all_end(seed: int) -> None:
    cluster = FaultyCluster()
    faults = RandomFaults(cluster, Random(seed))
    for _ in faults.kinds:
        faults.step()
        faults.end_all()
        assert cluster.wrong == {}

    assert [faults.counts[kind] for kind in faults.kinds] == [1] * len(faults.kinds)
    assert cluster.reset_count == 2  # that kind, and a black hole


@pytest.mark.parametrize("seed", range(20))
def test_a_node_with_a_fault_gets_no_second_one_and_a_link_is_cut_once(seed: int) -> None:
    cluster = FaultyCluster()
    faults = RandomFaults(cluster, Random(seed))
    for _ in range(30):
        faults.step()
        faults.end_due()
    faults.end_all()

    assert cluster.wrong == {}


def test_the_same_seed_gives_the_same_faults() -> None:
    histories = []
    for _ in range(2):
        faults = RandomFaults(FaultyCluster(), Random(7))
        for _ in range(30):
            faults.step()
            faults.end_all()
        histories.append([text for _, text in faults.history])

    assert histories[0] == histories[1]


@pytest.fixture
def clients(start_cluster: StartCluster) -> Iterator[LastingClients]:
    cluster = start_cluster()
    clients = LastingClients(
        [cluster.url], Random(1), id_count=3, publisher_count=2, watcher_count=2
    )
    try:
        clients.start(lambda: 5.0)
        yield clients
    finally:
        clients.stop()
        clients.close()


def test_a_removal_is_recorded_at_every_subscriber_and_its_views_are_wrong(
    clients: LastingClients,
) -> None:
    wait_until(lambda: len(clients.accepted) > 3)
    clients.stop()
    wait_until(lambda: not clients.wrong_views())
    assert clients.removals == []

    data_id, publication = clients.publications[0]
    publication.unpublish()

    wait_until(lambda: len(clients.removals) == 2)
    assert {removal.watcher for removal in clients.removals} == {0, 1}
    assert {removal.data_id for removal in clients.removals} == {data_id}
    assert {removal.at for removal in clients.removals} == {5.0}
    assert {removal.away_seconds for removal in clients.removals} == {0.0}
    assert len(clients.wrong_views()) == 2
