"""Each known cause of divergence between sessions and data nodes is repaired within five seconds.

The causes are those that the original, SOFARegistry, lists in its issue 57. Each has tests of its
own: with a fault of the network or of a process where there is one, and with a store that was
tampered with, since a repair must not depend on what made it necessary. `mutations_divergence.py`
takes each repair out.
"""

from functools import partial

import mutations_divergence as mutations
import pytest
from divergence import NAMES, Scene
from mutations import Mutation, mutated
from promises import BrokenPromiseError, membership_of, promise

from zreg.effects import HandedOver, HandOver
from zreg.model import Incarnation, Role, Status

Scenario = partial[None]

SEEDS = range(1, 5)
seeds = pytest.mark.parametrize("seed", SEEDS)
primary_or_replica = pytest.mark.parametrize("place", [0, 1], ids=["primary", "replica"])


def cut_from_data_nodes(scene: Scene, session: str) -> None:
    for node in scene.data_nodes():
        scene.sim.cut(session, node)


# --- a: a removal is lost on the way --------------------------------------------------------------


@seeds
def test_withdrawals_that_are_lost_on_the_way_to_the_primary_are_made(seed: int) -> None:
    scene = Scene(seed)
    cut_from_data_nodes(scene, "session-1")
    for name in NAMES[:6]:
        scene.withdraw("one", name)
    scene.run(0.2 * seed)
    scene.sim.heal()
    scene.is_repaired()


@seeds
def test_the_end_of_a_client_that_is_lost_on_the_way_to_the_primary_is_noticed(seed: int) -> None:
    scene = Scene(seed)
    scene.kill_client("one")
    # The session waits for the client's return first.
    scene.run(0.3)
    cut_from_data_nodes(scene, "session-1")
    scene.run(4.0)
    assert scene.differences()
    scene.sim.heal()
    scene.is_repaired()


@seeds
def test_removals_that_are_lost_on_the_way_to_the_replicas_are_made(seed: int) -> None:
    scene = Scene(seed)
    scene.sim.cut("data-1", "data-2")
    scene.sim.cut("data-1", "data-3")
    for name in NAMES:
        scene.withdraw("one", name)
    scene.run(0.2 * seed)
    scene.sim.heal()
    scene.is_repaired()


@seeds
def test_a_client_that_dies_with_its_session_leaves_nothing_after_the_grace(seed: int) -> None:
    scene = Scene(seed)
    scene.sim.kill("session-1")
    scene.kill_client("one")
    departed = scene.sim.run_until(lambda: not _is_known(scene, "session-1"), 40.0)
    assert departed
    scene.is_repaired()


def _is_known(scene: Scene, session: str) -> bool:
    return any(m.node_id == session for m in membership_of(scene.cluster).members)


@seeds
@primary_or_replica
def test_a_publisher_that_its_session_does_not_know_is_removed(seed: int, place: int) -> None:
    scene = Scene(seed)
    for name in NAMES[:3]:
        scene.haunt(scene.placement(name)[place], name, scene.incarnation("session-1"))
    scene.is_repaired()


@seeds
@primary_or_replica
def test_a_publisher_of_a_session_that_meta_has_forgotten_is_removed(seed: int, place: int) -> None:
    scene = Scene(seed)
    for name in NAMES[:3]:
        scene.haunt(scene.placement(name)[place], name, Incarnation(1, "session-9"))
    scene.is_repaired()


# --- b: a session is cut off for longer than its grace --------------------------------------------


@seeds
@pytest.mark.parametrize("is_one_node", [True, False])
def test_nothing_is_erased_while_a_session_is_cut_off_for_longer_than_its_grace(
    seed: int, *, is_one_node: bool
) -> None:
    scene = Scene(seed)
    if is_one_node:
        scene.sim.cut("session-1", "data-1")
    else:
        cut_from_data_nodes(scene, "session-1")
    scene.run(10.0)
    for name in NAMES[:6]:
        scene.publish("one", name, "one 2")
        scene.publish("two", name, "two 2")
    scene.run(20.0)
    promise(all(_are_held(scene, "one")), "a data node erased what a session registered")
    scene.sim.heal()
    scene.is_repaired()


def _are_held(scene: Scene, client: str) -> list[bool]:
    return [
        scene.publisher_id(client, name) in scene.buckets(node).find(name).publishers
        for name in NAMES
        for node in scene.placement(name)
    ]


@seeds
@primary_or_replica
def test_publishers_that_were_erased_come_back(seed: int, place: int) -> None:
    scene = Scene(seed)
    for name in NAMES[:3]:
        scene.drop(scene.placement(name)[place], "one", name)
    scene.is_repaired()


# --- c: an outage of a data node loses what was queued for it -------------------------------------


@seeds
def test_what_was_queued_for_a_data_node_that_hung_and_died_is_written(seed: int) -> None:
    scene = Scene(seed)
    scene.sim.freeze("data-1", 60.0)
    _change_all(scene)
    scene.run(2.0)
    scene.sim.kill("data-1")
    assert scene.sim.run_until(lambda: "data-1" not in scene.data_nodes(), 10.0)
    scene.is_repaired()


@seeds
def test_what_was_under_way_when_a_data_node_died_is_written(seed: int) -> None:
    scene = Scene(seed)
    _change_all(scene)
    scene.sim.run(0.0007 * seed)
    scene.sim.kill("data-1")
    assert scene.sim.run_until(lambda: "data-1" not in scene.data_nodes(), 10.0)
    scene.is_repaired()


@seeds
def test_what_was_queued_for_the_only_data_node_is_written_when_it_is_back(seed: int) -> None:
    scene = Scene(seed, data=1)
    _change_all(scene)
    scene.sim.run(0.0007 * seed)
    scene.sim.kill("data-1")
    scene.publish("two", NAMES[5], "two 3")
    scene.run(8.0)
    scene.cluster.data(1)
    assert scene.sim.run_until(lambda: _is_working(scene, "data-1"), 10.0)
    scene.is_repaired()


def _change_all(scene: Scene) -> None:
    for name in NAMES[:6]:
        scene.publish("one", name, "one 2")
    for name in NAMES[6:]:
        scene.withdraw("one", name)


def _is_working(scene: Scene, node: str) -> bool:
    """Return whether the latest process of a data node works."""
    member = membership_of(scene.cluster).living(node)
    return (
        member is not None
        and member.status is Status.WORKING
        and scene.sim.processes[node].core._cluster_member.incarnation == member.incarnation
    )


@seeds
@primary_or_replica
def test_an_older_state_that_came_back_is_replaced(seed: int, place: int) -> None:
    scene = Scene(seed)
    old = {name: scene.held(scene.placement(name)[place], "one", name) for name in NAMES[:3]}
    for name in old:
        scene.publish("one", name, "one 2")
    scene.settle()
    for name, publisher in old.items():
        scene.put_back(scene.placement(name)[place], publisher, name)
    scene.is_repaired()


# --- d: more data nodes than copies die -----------------------------------------------------------


@seeds
def test_what_no_data_node_has_is_sent_again_when_more_nodes_than_copies_died(seed: int) -> None:
    scene = Scene(seed, data=4, replica_count=2)
    for node in ("data-1", "data-2", "data-3"):
        scene.sim.kill(node)
    assert scene.sim.run_until(lambda: scene.data_nodes() == {"data-4"}, 30.0)
    scene.is_repaired()


@seeds
def test_everything_is_sent_again_when_all_data_nodes_died(seed: int) -> None:
    scene = Scene(seed)
    nodes = ("data-1", "data-2", "data-3")
    for node in nodes:
        scene.sim.kill(node)
    scene.run(1.0)
    scene.publish("one", NAMES[0], "one 2")
    scene.withdraw("two", NAMES[1])
    scene.run(1.0)
    for number in (1, 2, 3):
        scene.cluster.data(number)
    working = scene.sim.run_until(lambda: all(_is_working(scene, node) for node in nodes), 30.0)
    assert working
    scene.is_repaired()


@seeds
def test_what_all_copies_have_lost_is_sent_again(seed: int) -> None:
    scene = Scene(seed)
    for name in NAMES[:3]:
        for node in scene.placement(name):
            scene.drop(node, "one", name)
    scene.is_repaired()


# --- e: a session writes to the wrong node --------------------------------------------------------


@seeds
@pytest.mark.parametrize("behind", ["session-1", "data-1", "data-2"])
def test_nothing_is_written_to_the_wrong_node_while_one_joins(seed: int, behind: str) -> None:
    scene = Scene(seed, replica_count=2)
    scene.sim.cut(behind, "meta")
    scene.cluster.data(4)
    end = scene.sim.now + 2.0
    while scene.sim.now < end:
        _go_on_changing(scene)
        scene.run(0.1)
    scene.sim.heal()
    assert scene.sim.run_until(lambda: len(scene.data_nodes()) == 4, 10.0)
    scene.is_repaired()


@seeds
@pytest.mark.parametrize("behind", ["session-1", "data-1", "data-3"])
def test_nothing_is_written_to_the_wrong_node_while_one_leaves(seed: int, behind: str) -> None:
    scene = Scene(seed, data=4, replica_count=2)
    scene.sim.cut(behind, "meta")
    scene.sim.post("data-2", HandOver())
    events = scene.sim.processes["data-2"].events
    end = scene.sim.now + 2.0
    while scene.sim.now < end:
        _go_on_changing(scene)
        scene.run(0.1)
    scene.sim.heal()
    assert scene.sim.run_until(lambda: HandedOver() in events, 10.0)
    scene.sim.kill("data-2")
    assert scene.sim.run_until(lambda: not _is_known(scene, "data-2"), 10.0)
    scene.is_repaired()


def _go_on_changing(scene: Scene) -> None:
    """Let each client change one publication, and end or begin another one."""
    number = int(scene.sim.now * 10)
    for client in ("one", "two"):
        scene.publish(client, NAMES[number % 6], f"{client} {number}")
        other = NAMES[6 + number % 6]
        if (client, other) in scene.wanted:
            scene.withdraw(client, other)
        else:
            scene.publish(client, other, f"{client} {number}")


@seeds
def test_a_data_node_holds_no_id_that_is_not_placed_there(seed: int) -> None:
    scene = Scene(seed, data=4, replica_count=2)
    assert {m.node_id for m in membership_of(scene.cluster).of(Role.DATA)} == scene.data_nodes()
    scene.sim.kill("data-1")
    assert scene.sim.run_until(lambda: "data-1" not in scene.data_nodes(), 10.0)
    scene.cluster.data(1)
    assert scene.sim.run_until(lambda: _is_working(scene, "data-1"), 10.0)
    scene.is_repaired()


# --- each test can fail ---------------------------------------------------------------------------

# Each test, with the repair that is taken out so that it fails.
TAKEN_OUT: dict[Mutation, list[Scenario]] = {
    mutations.withdrawals_are_sent_once: [
        partial(test_withdrawals_that_are_lost_on_the_way_to_the_primary_are_made, 1),
        partial(test_the_end_of_a_client_that_is_lost_on_the_way_to_the_primary_is_noticed, 1),
    ],
    mutations.no_repair_of_copies: [
        partial(test_removals_that_are_lost_on_the_way_to_the_replicas_are_made, 1),
        partial(test_publishers_that_were_erased_come_back, 1, 1),
        partial(test_an_older_state_that_came_back_is_replaced, 1, 1),
        partial(test_a_publisher_that_its_session_does_not_know_is_removed, 1, 1),
        partial(test_a_publisher_of_a_session_that_meta_has_forgotten_is_removed, 1, 1),
    ],
    mutations.copies_at_rest_are_not_compared: [
        partial(test_publishers_that_were_erased_come_back, 1, 1),
        partial(test_an_older_state_that_came_back_is_replaced, 1, 1),
        partial(test_a_publisher_that_its_session_does_not_know_is_removed, 1, 1),
        partial(test_a_publisher_of_a_session_that_meta_has_forgotten_is_removed, 1, 1),
    ],
    mutations.forgotten_sessions_are_looked_at_once: [
        partial(test_a_client_that_dies_with_its_session_leaves_nothing_after_the_grace, 1),
        partial(test_a_publisher_of_a_session_that_meta_has_forgotten_is_removed, 1, 0),
    ],
    mutations.no_repair_between_sessions_and_data_nodes: [
        partial(test_a_publisher_that_its_session_does_not_know_is_removed, 1, 0),
        partial(test_what_all_copies_have_lost_is_sent_again, 1),
    ],
    mutations.nothing_is_repaired: [
        partial(test_publishers_that_were_erased_come_back, 1, 0),
        partial(test_an_older_state_that_came_back_is_replaced, 1, 0),
    ],
    mutations.a_silent_session_is_erased: [
        partial(
            test_nothing_is_erased_while_a_session_is_cut_off_for_longer_than_its_grace,
            1,
            is_one_node=is_one_node,
        )
        for is_one_node in (True, False)
    ],
    mutations.what_was_queued_is_lost_with_its_data_node: [
        partial(test_what_was_queued_for_a_data_node_that_hung_and_died_is_written, 1),
        partial(test_what_was_under_way_when_a_data_node_died_is_written, 1),
        partial(test_what_was_queued_for_the_only_data_node_is_written_when_it_is_back, 1),
        partial(test_what_no_data_node_has_is_sent_again_when_more_nodes_than_copies_died, 1),
        partial(test_everything_is_sent_again_when_all_data_nodes_died, 1),
    ],
    mutations.nothing_is_sent_again_or_repaired: [
        partial(test_nothing_is_written_to_the_wrong_node_while_one_leaves, 1, "data-3"),
    ],
    mutations.a_node_keeps_what_it_does_not_own: [
        partial(test_nothing_is_written_to_the_wrong_node_while_one_joins, 1, "session-1"),
        partial(test_nothing_is_written_to_the_wrong_node_while_one_joins, 1, "data-1"),
        partial(test_a_data_node_holds_no_id_that_is_not_placed_there, 1),
    ],
}


@pytest.mark.parametrize(
    ("mutation", "scenario"),
    [(mutation, scenario) for mutation, found in TAKEN_OUT.items() for scenario in found],
    ids=lambda each: getattr(each, "__name__", None) or f"{each.func.__name__}-{each.args[1:]}",
)
def test_a_repair_that_is_taken_out_is_noticed(mutation: Mutation, scenario: Scenario) -> None:
    with mutated(mutation), pytest.raises(BrokenPromiseError):
        scenario()


def test_each_test_of_this_module_can_fail() -> None:
    tried = {scenario.func.__name__ for found in TAKEN_OUT.values() for scenario in found}
    tests = {name for name in globals() if name.startswith("test_")}
    assert tests - tried == {
        "test_a_repair_that_is_taken_out_is_noticed",
        "test_each_test_of_this_module_can_fail",
    }
    assert all((mutation.__doc__ or "").endswith((".", ").")) for mutation in TAKEN_OUT)
