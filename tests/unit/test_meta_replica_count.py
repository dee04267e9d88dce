"""An operator changes on how many data nodes each datum is; data nodes tell how far they are."""

import pytest
from meta_fakes import running
from test_meta_core import OWN, announced, ask, make_core, refused
from test_meta_departures import D1, D2, make_cluster

from zreg.effects import INFO, Effect, Link, Log, Send
from zreg.errors import ForeignClusterError, NotLeaderError
from zreg.meta.core import MetaCore
from zreg.meta.members.memory.copy_progresses import CopyProgresses
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import Renew, SetReplicaCount
from zreg.wire.records.meta_messages import CopyProgress, FetchMetaNodes, MetaNodesReply

ACCEPTED = Send(Link.NODES, b"p", Accepted((9,)))


def change(core: MetaCore, count: int, cluster_id: bytes = OWN) -> list[Effect]:
    return ask(core, b"p", SetReplicaCount(9, count, cluster_id))


def test_a_new_number_of_copies_is_a_new_ring() -> None:
    core = make_cluster()
    before = core.membership
    assert before.ring.replica_count == 3

    log = Log(INFO, "ring.replica_count", {"replica_count": 2, "epoch": before.epoch + 1})
    assert change(core, 2) == [log, ACCEPTED]

    after = core.membership
    assert after.ring.replica_count == 2
    assert after.epoch == after.ring_epoch == before.epoch + 1
    assert after.members == before.members
    assert list(core.settle(0.0)) == [announced(after.epoch)]


@pytest.mark.parametrize("cluster_id", [OWN, b""])
def test_the_present_number_changes_nothing(cluster_id: bytes) -> None:
    core = make_cluster()
    before = core.membership

    assert change(core, 3, cluster_id) == [ACCEPTED]
    assert core.membership == before


def test_another_cluster_is_refused() -> None:
    core = make_cluster()
    detail = "the request is for another cluster: ask the meta nodes of that cluster"

    assert change(core, 2, b"other") == [refused(b"p", 9, ForeignClusterError.code, detail)]
    assert core.membership.ring.replica_count == 3


def test_only_the_leader_changes_it_and_all_meta_nodes_have_it() -> None:
    cluster = running()
    follower, leader = cluster.followers()[0], cluster.leader()
    (no,) = cluster.request(follower, SetReplicaCount(9, 2))
    assert isinstance(no, Refused)
    assert no.code == NotLeaderError.code

    assert cluster.request(leader, SetReplicaCount(9, 2)) == [Accepted((9,))]
    cluster.run(1.0)
    counts = {core.membership.ring.replica_count for core in cluster.cores.values()}
    assert counts == {2}


# --- progress -------------------------------------------------------------------------------------


def membership(*data: Incarnation, ring_epoch: int = 5) -> Membership:
    members = tuple(
        Member(each.node_id, Role.DATA, each.epoch, Status.WORKING, f"tcp://{each.node_id}:1")
        for each in data
    )
    return Membership(OWN, 9, ring_epoch, RingParameters(), members)


def renew(incarnation: Incarnation, equal: int, kept: int, *, epoch: int = 5) -> Renew:
    return Renew(1, incarnation, OWN, epoch, equal, kept)


def test_a_data_node_that_has_all_its_copies_is_not_listed() -> None:
    told = CopyProgresses()
    told.note(renew(D1, 10, 400))
    told.note(renew(D2, 400, 400))

    assert told.unfinished(membership(D1, D2)) == (CopyProgress(D1, 10, 400),)


def test_what_a_data_node_told_before_the_ring_changed_does_not_count() -> None:
    told = CopyProgresses()
    told.note(renew(D1, 400, 400))

    assert told.unfinished(membership(D1, ring_epoch=6)) == (CopyProgress(D1, 0, None),)
    told.note(renew(D1, 400, 400, epoch=6))
    assert told.unfinished(membership(D1, ring_epoch=6)) == ()


def test_a_data_node_that_departed_is_forgotten() -> None:
    told = CopyProgresses()
    told.note(renew(D1, 10, 400))
    told.follow(membership(D2))

    assert told.unfinished(membership(D1)) == (CopyProgress(D1, 0, None),)


def test_meta_lists_the_data_nodes_that_make_copies() -> None:
    core = make_cluster()
    epoch = core.epoch
    ask(core, b"d1", renew(D1, 3, 7, epoch=epoch))
    ask(core, b"d2", renew(D2, 7, 7, epoch=epoch))

    (sent,) = ask(core, b"p", FetchMetaNodes(9))

    assert isinstance(sent, Send)
    assert isinstance(sent.message, MetaNodesReply)
    assert sent.message.copying == (CopyProgress(D1, 3, 7),)


def test_a_core_without_data_nodes_lists_none() -> None:
    (sent,) = ask(make_core(), b"p", FetchMetaNodes(9))

    assert isinstance(sent, Send)
    assert isinstance(sent.message, MetaNodesReply)
    assert sent.message.copying == ()
