"""Empty meta nodes find each other by seed, and mutations of their rules that must be noticed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from zreg.meta.founding.candidates import Candidates
from zreg.meta.founding.gathering import Gathering
from zreg.meta.founding.met_clusters import MetClusters
from zreg.meta.group.raft_driver import RaftDriver
from zreg.meta.peers.bootstrap import Bootstrap
from zreg.testing.workloads.gathering_life import GatheringLife, Kind
from zreg.wire.records.meta_messages import Founder, FoundingReply, FoundingStage

if TYPE_CHECKING:
    from zreg.effects import Effect


@pytest.mark.parametrize("seed", range(1, 26))
def test_nodes_that_find_each_other_found_one_cluster(seed: int) -> None:
    GatheringLife(seed).run()


def found_beside_a_written_list() -> None:
    """Three nodes write a list and one of them dies; three more come while it is away."""
    life = GatheringLife(Kind.CROWD.value)
    first, others = life.names[:3], life.names[3:]
    life.away.update(others)
    while not any(disk.facts for disk in life.cluster.disks.values()):
        life.start_all()
        life.pass_time(0.1)
    life.cluster.sim.kill(first[2])
    life.away = {first[2]}
    for _ in range(15):
        life.start_all()
        life.pass_time(1.0)
    assert not life.clusters, "the three that came later founded a cluster"

    life.away.clear()
    for _ in range(15):
        life.start_all()
        life.pass_time(1.0)
    cores = life.cluster.meta_cores()
    assert [name for name, core in cores.items() if core.epoch] == first
    assert all("has met cluster" in cores[name].gathering.sentence() for name in others)


def test_nodes_that_come_while_a_list_is_written_without_them_found_nothing() -> None:
    found_beside_a_written_list()


def test_that_scenario_notices_nodes_that_ignore_the_lists_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ignore_lists_of_others(monkeypatch)

    with pytest.raises(AssertionError, match="the three that came later founded a cluster"):
        found_beside_a_written_list()


def seeds_of(kind: Kind, count: int) -> range:
    first = len(Kind) + kind.value
    return range(first, first + count * len(Kind), len(Kind))


def fails(seed: int) -> bool:
    try:
        GatheringLife(seed).run()
    except AssertionError:
        return True
    return False


def count_empty_nodes_as_founders(patch: pytest.MonkeyPatch) -> None:
    """A node that has written no list counts as a connected founder."""
    patch.setattr(Bootstrap, "undecided", lambda _self, _them: None)


def write_what_is_seen(patch: pytest.MonkeyPatch) -> None:
    """A node writes the list that it sees, without asking what the others see."""
    patch.setattr(Gathering, "_list_to_write", Gathering._seen_list)


def ignore_clusters(patch: pytest.MonkeyPatch) -> None:
    """A node founds a cluster beside one that it has met."""
    nothing: Callable[..., list[Effect]] = lambda _self, _founded, _node_id: []  # noqa: E731
    patch.setattr(MetClusters, "take", nothing)


def ignore_lists_of_others(patch: pytest.MonkeyPatch) -> None:
    """Nodes that have written a list without this node do not count, and do not keep it back."""
    statements = Candidates.statements

    def mine_or_empty(self: Candidates) -> list[FoundingReply]:
        own = self._me.address
        return [
            said
            for said in statements(self)
            if said.stage is not FoundingStage.LISTED
            or own in [each.address for each in said.founders]
        ]

    patch.setattr(Candidates, "statements", mine_or_empty)


def found_with_some(patch: pytest.MonkeyPatch) -> None:
    """A node that sees more nodes than are expected founds a cluster with the first of them."""

    def first_of_them(self: Gathering) -> tuple[Founder, ...]:
        me = self._me
        seen = {each.sender: each.address for each in self._companions()}
        chosen = sorted({**seen, me.node_id: me.address}.items())[: me.bootstrap_expect]
        is_chosen = me.node_id in dict(chosen) and len(chosen) == me.bootstrap_expect
        return tuple(Founder(*each) for each in chosen) if is_chosen else ()

    patch.setattr(Gathering, "_seen_list", first_of_them)
    patch.setattr(Gathering, "_list_to_write", first_of_them)


def write_nothing(patch: pytest.MonkeyPatch) -> None:
    """The list is not durable."""
    found = RaftDriver.found
    patch.setattr(RaftDriver, "found", lambda self, founders: found(self, founders)[1:])


MUTATIONS: Sequence[tuple[Callable[[pytest.MonkeyPatch], None], Kind]] = [
    (count_empty_nodes_as_founders, Kind.ALL),
    (write_what_is_seen, Kind.SPARE),
    (ignore_clusters, Kind.CROWD),
    (found_with_some, Kind.CROWD),
    (write_nothing, Kind.ALL),
]


@pytest.mark.parametrize(
    ("mutate", "kind"), MUTATIONS, ids=[mutate.__name__ for mutate, _ in MUTATIONS]
)
def test_lives_notice_a_rule_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, mutate: Callable[[pytest.MonkeyPatch], None], kind: Kind
) -> None:
    mutate(monkeypatch)

    assert any(fails(seed) for seed in seeds_of(kind, 40))
