"""A leader whose process is about to end hands over first, if another node can take over."""

from meta_fakes import running

from zreg.effects import HandedOver, HandOver, Link


def test_a_leader_that_stops_hands_over_first() -> None:
    cluster = running()
    old = cluster.leader()
    term = cluster.cores[old].raft_driver.raft.term

    cluster.give(old, Link.LOCAL, "", HandOver())
    cluster.run(0.3)

    new = cluster.leader()
    assert new != old
    assert cluster.cores[new].raft_driver.raft.term == term + 1
    assert [name for name, event in cluster.emitted if isinstance(event, HandedOver)] == [old]


def test_a_follower_may_stop_at_once() -> None:
    cluster = running()
    follower = cluster.followers()[0]

    cluster.give(follower, Link.LOCAL, "", HandOver())

    assert [name for name, _ in cluster.emitted] == [follower]


def test_a_leader_without_a_successor_stops_after_a_while() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.cut = {leader}

    cluster.give(leader, Link.LOCAL, "", HandOver())
    assert cluster.emitted == []
    cluster.run(2.0)

    assert [name for name, event in cluster.emitted if isinstance(event, HandedOver)] == [leader]


def test_a_lone_node_stops_without_a_successor() -> None:
    cluster = running(("m1",))

    cluster.give("m1", Link.LOCAL, "", HandOver())

    assert [type(event) for _, event in cluster.emitted] == [HandedOver]


def test_a_handover_under_way_is_not_begun_again() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.cut = set(cluster.followers())
    handover = cluster.cores[leader]._leader.handover
    raft = cluster.cores[leader].raft_driver.raft
    handover.transfer()
    target = raft.status().transfer_target

    handover.transfer()

    assert target is not None
    assert raft.status().transfer_target == handover.successor() == target
