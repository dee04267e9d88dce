"""A meta node whose address changes is known at its new one, to meta nodes and to all others."""

import pytest
from meta_fakes import NAMES, PEERS, Cluster, running

from zreg.effects import HostChanged, Link, PeerLost
from zreg.model import Role

CHANGED = HostChanged("10.0.0.9", b"new process")


def move(cluster: Cluster, moved: str) -> None:
    """Give a node another address: what its peers have connected to is gone."""
    cluster.give(moved, Link.LOCAL, "", CHANGED)
    for pair in [pair for pair in cluster.connected if pair[1] == moved]:
        cluster.connected.discard(pair)
        cluster.give(pair[0], Link.LOCAL, "", PeerLost(Link.RAFT_ASK, moved, "closed"))


@pytest.mark.parametrize("is_leader", [True, False])
def test_the_others_learn_the_address_of_a_node_that_moved(is_leader: bool) -> None:  # noqa: FBT001
    cluster = running()
    moved = cluster.leader() if is_leader else cluster.followers()[0]

    move(cluster, moved)
    # The leader may forget what the node said when it loses the connection to the former address.
    # The node hears no leader then, and introduces itself again after three seconds.
    cluster.run(6.0)

    for core in cluster.cores.values():
        configuration = core.raft_driver.raft.configuration
        assert configuration.addresses == {**PEERS, moved: "tcp://10.0.0.9:9611"}
        shown = {member.node_id: member for member in core.membership.of(Role.META)}
        assert set(shown) == set(NAMES)
        assert shown[moved].address == "tcp://10.0.0.9:9610"
        assert shown[moved].changes_address == "tcp://10.0.0.9:9612"
    assert "raft.member.moved" in cluster.events()
    assert cluster.failed() == {}
    assert len([name for name, core in cluster.cores.items() if core.is_leading]) == 1


def test_a_node_that_is_alone_is_shown_at_its_new_address() -> None:
    cluster = running(("m1",))

    move(cluster, "m1")
    cluster.run(1.0)

    (shown,) = cluster.cores["m1"].membership.of(Role.META)
    assert shown.address == "tcp://10.0.0.9:9610"
