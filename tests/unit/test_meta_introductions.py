"""Meta nodes introduce themselves, and accept only their own cluster's members."""

from meta_fakes import NAMES, PEERS, SESSION, change, refusal, running
from msgspec.structs import replace

from zreg.effects import Link, PeerLost
from zreg.errors import NodeIdInUseError, VersionMismatchError
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import Join
from zreg.wire.records.meta_messages import (
    AddMeta,
    FetchMetaNodes,
    IntroduceMeta,
    MetaNodesReply,
    RemoveMeta,
)
from zreg.wire.records.settings_messages import SetSetting


def test_a_removed_leader_with_a_longer_log_learns_that_it_was_removed() -> None:
    """Its uncommitted entries make its log longer, but not its configuration later."""
    names = tuple(f"m{number}" for number in range(1, 6))
    cluster = running(names)
    old = cluster.leader()
    rest = [name for name in names if name != old]
    cluster.cut = {old}
    for number in range(60):
        cluster.request(old, SetSetting(number, "a", "lost"))
    change(cluster, old, AddMeta, 7, "m9", "tcp://m9:9611")
    cluster.run(4.0, *rest)
    new = next(name for name in rest if cluster.cores[name].is_leading)
    change(cluster, new, RemoveMeta, 8, old)
    cluster.run(1.0, *rest)
    raft, theirs = (cluster.cores[name].raft_driver.raft for name in (old, new))
    assert raft.configuration_index > theirs.configuration_index

    cluster.wake(old)
    cluster.run(0.5)

    assert set(cluster.failed()) == {old}
    assert "was removed from the nodes of meta" in cluster.failed()[old]


def test_a_change_decided_on_an_uncommitted_configuration_is_refused() -> None:
    """Its entry may have the same index as the entry that took its place."""
    cluster = running()
    leader = cluster.leader()
    raft = cluster.cores[leader].raft_driver.raft
    term, index = raft.log.configuration_position
    add = AddMeta(7, "m4", "tcp://m4:9611", index, term - 1)

    assert refusal(cluster.request(leader, add)).code == VersionMismatchError.code
    (reply,) = cluster.request(leader, FetchMetaNodes(1))
    assert isinstance(reply, MetaNodesReply)
    assert (reply.configuration_index, reply.configuration_term) == (index, term)
    cluster.request(leader, replace(add, configuration_term=term))
    cluster.run(0.2)
    assert cluster.answers() == [Accepted((7,))]


def test_unknown_nodes_never_push_out_members() -> None:
    cluster = running()
    leader, other = cluster.leader(), cluster.followers()[0]
    peers = cluster.cores[other].raft_driver.peers
    for number in range(40):
        about = (f"x{number}", other, "", "x", "", b"", 1_000, 1_000)
        cluster.give(other, Link.RAFT_ANSWER, b"r", IntroduceMeta(1, *about))

    assert all(peers.introductions.may_ask(name) for name in NAMES if name != other)
    assert not peers.introductions.may_ask("x1")
    assert cluster.leader() == leader


def test_a_node_of_another_cluster_loses_its_access_when_this_node_gets_one() -> None:
    """If two clusters add one node by mistake, it belongs to the one whose log it takes."""
    cluster = running()
    cluster.start("m4", {})
    foreign = IntroduceMeta(1, "m9", "m4", "tcp://m9:9611", "x", "", b"another", 9, 9)
    cluster.give("m4", Link.RAFT_ANSWER, b"r", foreign)
    peers = cluster.cores["m4"].raft_driver.peers
    assert peers.introductions.may_ask("m9")

    change(cluster, cluster.leader(), AddMeta, 7, "m4", "tcp://m4:9611")
    cluster.run(1.0)

    assert not peers.introductions.may_ask("m9")
    assert peers.introductions.may_ask(cluster.leader())


def test_a_node_does_not_move_to_the_address_of_another() -> None:
    """A unit file was copied: two nodes would have one address."""
    cluster = running()
    moved = cluster.followers()[0]
    other = next(name for name in NAMES if name != moved)
    peers = cluster.cores[moved].raft_driver.peers
    peers.introductions.identity = replace(peers.introductions.identity, address=PEERS[other])
    for name in NAMES:
        if name != moved:
            cluster.give(moved, Link.LOCAL, "", PeerLost(Link.RAFT_ASK, name))
            cluster.wanted[moved, name] = PEERS[name]
    cluster.run(3.0)

    configuration = cluster.cores[cluster.leader()].raft_driver.raft.configuration
    assert configuration.addresses == PEERS


def test_no_session_takes_the_id_of_a_meta_node_that_was_never_up() -> None:
    cluster = running()
    leader = cluster.leader()
    change(cluster, leader, AddMeta, 7, "m4", "tcp://m4:9611")
    cluster.run(0.2)

    refused = refusal(cluster.request(leader, Join(1, replace(SESSION, node_id="m4"), b"", 0)))

    assert refused.code == NodeIdInUseError.code
    assert "'m4' is in use by the meta node at tcp://m4:9611: stop that one" in refused.detail
