"""Whole clusters: no node disappears unnoticed, whoever leads meta, and each node says so."""

from collections.abc import Callable

import pytest
from mutations import Mutation, Patch, mutated

import zreg.meta.members.departures.departures as departures_module
import zreg.meta.state.losses as losses_module
from zreg.cli.showing.node_rates import COLUMNS, Unit
from zreg.effects import Link
from zreg.meta.loss_watch import LossWatch
from zreg.meta.state.meta_state import MetaState
from zreg.model import Role
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.one_question import OneQuestion
from zreg.wire.log_commands import Loss, decode_image, encode_image
from zreg.wire.records.common_messages import (
    EventsReply,
    FetchEvents,
    FetchStatistics,
    StatisticsReply,
)
from zreg.wire.records.membership_messages import GoneNode
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply

SEEDS = range(1, 4)
# Until a killed node has departed, and all others have renewed once more.
NOTICED_SECONDS = 1.5


def make_cluster(seed: int) -> SimCluster:
    cluster = SimCluster(seed, metas=3).start(sessions=2, data=3)
    cluster.run(2.0)
    return cluster


def answer_of(cluster: SimCluster, core: OneQuestion) -> object:
    """Return what a command is answered."""
    cluster.sim.add(f"command-{len(cluster.sim.trace)}", core, {})
    assert cluster.sim.run_until(lambda: bool(core.answers), 3.0)
    return core.answers[0]


def gone(cluster: SimCluster) -> tuple[GoneNode, ...]:
    """Return the lost nodes, as a session passes them on from the leader of meta."""
    question = OneQuestion(Link.SESSION, "tcp://session-1:9600", FetchMetaNodes(1))
    reply = answer_of(cluster, question)
    assert isinstance(reply, MetaNodesReply)
    return reply.gone


def names(cluster: SimCluster) -> list[str]:
    return [each.incarnation.node_id for each in gone(cluster)]


def problem_codes(cluster: SimCluster) -> dict[str, list[str]]:
    """Return the problems that each node reports."""
    now = cluster.sim.now
    return {
        name: sorted(problem.code for problem in process.core.health(now).problems)  # type: ignore[attr-defined]
        for name, process in cluster.sim.processes.items()
        if hasattr(process.core, "health")
    }


def a_killed_node_is_shown_by_all_until_it_is_back(seed: int = 1) -> None:
    cluster = make_cluster(seed)
    cluster.sim.kill("data-2")
    cluster.run(NOTICED_SECONDS)

    assert names(cluster) == ["data-2"]
    codes = problem_codes(cluster)
    assert len(codes) == 7
    assert all(found == ["copies-missing", "node-gone"] for found in codes.values()), codes

    cluster.data(2)
    cluster.run(6.0)
    assert gone(cluster) == ()
    assert set(map(tuple, problem_codes(cluster).values())) == {()}


def the_next_leader_knows_since_when_a_node_is_gone(seed: int = 1) -> None:
    cluster = make_cluster(seed)
    cluster.sim.kill("data-2")
    cluster.run(5.0)
    leader = cluster.leader()
    assert leader is not None
    cluster.sim.kill(leader)
    assert cluster.sim.run_until(lambda: cluster.leader() is not None, 5.0)
    cluster.run(2.0)

    (lost,) = gone(cluster)
    assert lost.incarnation.node_id == "data-2"
    assert lost.milliseconds_ago > 5000
    assert not lost.is_at_least


def a_meta_that_was_restarted_knows_who_is_gone(seed: int = 1) -> None:
    cluster = make_cluster(seed)
    cluster.sim.kill("data-2")
    cluster.run(NOTICED_SECONDS)
    for name in cluster.meta_names:
        cluster.sim.kill(name)
    cluster.metas()
    assert cluster.sim.run_until(lambda: cluster.leader() is not None, 5.0)
    cluster.run(2.0)

    (lost,) = gone(cluster)
    assert lost.incarnation.node_id == "data-2"
    assert lost.is_at_least


def a_meta_node_that_takes_a_snapshot_knows_who_is_gone(seed: int = 1) -> None:
    cluster = make_cluster(seed)
    cluster.sim.kill("data-2")
    cluster.run(NOTICED_SECONDS)
    cores = cluster.meta_cores()
    state = MetaState()
    state.restore(cores[cluster.meta_names[0]].state.snapshot())

    assert [loss.incarnation.node_id for loss in state.losses] == ["data-2"]


SCENARIOS = [
    a_killed_node_is_shown_by_all_until_it_is_back,
    the_next_leader_knows_since_when_a_node_is_gone,
    a_meta_that_was_restarted_knows_who_is_gone,
    a_meta_node_that_takes_a_snapshot_knows_who_is_gone,
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_no_node_disappears_unnoticed(scenario: Callable[[int], None], seed: int) -> None:
    scenario(seed)


@pytest.mark.parametrize("node", ["meta-1", "meta-2", "meta-3", "data-1", "session-1", "session-2"])
def test_a_session_passes_on_the_events_of_every_node(node: str) -> None:
    cluster = make_cluster(1)
    cluster.sim.kill("data-3")
    cluster.run(NOTICED_SECONDS)
    question = FetchEvents(1, node)
    reply = answer_of(cluster, OneQuestion(Link.SESSION, "tcp://session-1:9600", question))

    assert isinstance(reply, EventsReply)
    assert reply.node_id == node
    kinds = {event.kind for event in reply.events}
    assert ("member.departed" in kinds) is (node == cluster.leader())
    assert node.startswith("meta") or "node.joined" in kinds


@pytest.mark.parametrize("node", ["meta-1", "meta-2", "meta-3", "data-1", "session-1", "session-2"])
def test_a_session_passes_on_the_statistics_of_every_node(node: str) -> None:
    cluster = make_cluster(1)
    cluster.run(NOTICED_SECONDS)
    question = FetchStatistics(1, node)
    reply = answer_of(cluster, OneQuestion(Link.SESSION, "tcp://session-1:9600", question))

    assert isinstance(reply, StatisticsReply)
    assert reply.node_id == node
    numbers = {each.name: each.value for each in reply.statistics}
    assert numbers["epoch"] > 0
    role = Role[node.partition("-")[0].upper()]
    assert {each.statistic for each in COLUMNS[role] if each.unit is not Unit.SECONDS} <= set(
        numbers
    )


# --- the rules are needed -------------------------------------------------------------------------


def no_departure_is_a_loss() -> list[Patch]:
    """A departure by silence or proof is a loss."""
    return [(departures_module, "LOSSES", ())]


def a_loss_is_never_over() -> list[Patch]:
    """A loss is over when its id is back."""
    return [(losses_module, "_is_over", lambda _loss, _membership: False)]


def a_snapshot_has_no_losses() -> list[Patch]:
    """The losses are in the snapshot."""
    snapshot = MetaState.snapshot

    def without_losses(self: MetaState) -> bytes:
        image = decode_image(snapshot(self))
        more = (image.outcomes, image.reporters)
        return encode_image(type(image)(image.membership, image.settings, *more))

    return [(MetaState, "snapshot", without_losses)]


def only_a_leader_measures() -> list[Patch]:
    """Each meta node measures from when it applied a loss, not from when it began to lead."""
    follow = LossWatch.follow

    def as_leader(self: LossWatch, now: float) -> list[Loss]:
        self._times.clear()
        self._losses = ()
        return follow(self, now)

    return [(LossWatch, "follow", as_leader)]


MUTATIONS: list[tuple[Mutation, Callable[[], None]]] = [
    (no_departure_is_a_loss, a_killed_node_is_shown_by_all_until_it_is_back),
    (a_loss_is_never_over, a_killed_node_is_shown_by_all_until_it_is_back),
    (a_snapshot_has_no_losses, a_meta_node_that_takes_a_snapshot_knows_who_is_gone),
    (only_a_leader_measures, the_next_leader_knows_since_when_a_node_is_gone),
]


@pytest.mark.parametrize(("mutation", "scenario"), MUTATIONS, ids=lambda each: each.__name__)
def test_without_the_rule_a_scenario_fails(
    mutation: Mutation, scenario: Callable[[], None]
) -> None:
    with mutated(mutation), pytest.raises(AssertionError):
        scenario()
