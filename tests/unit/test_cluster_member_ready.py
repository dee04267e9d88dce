"""A data node tells meta that it is ready to work, and that it wants to leave."""

from msgspec.structs import replace
from test_cluster_member import (
    CLUSTER,
    CONFIG,
    ME,
    ONE,
    PAUSE,
    RENEW,
    NoJitter,
    happen,
    hear,
    make_cluster_member,
    membership,
    send,
)

from zreg.effects import INFO, Link, Log, PeerLost, PeerUp
from zreg.errors import NotReadyError, UnknownNodeError
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.leader_reports import report_leaving, report_ready
from zreg.model import Incarnation, Role, Status
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import Drain, Join, MembershipReply, Ready, Renew

DATA = replace(ME, node_id="d1", role=Role.DATA)
D1 = Incarnation(5, "d1")


def make_joining() -> ClusterMember:
    """Return a data node that was admitted as INITIAL, by the first of its requests."""
    cluster_member = ClusterMember(DATA, CONFIG, rng=NoJitter(), now=0.0, reports_ready=True)
    cluster_member.tick(0.0)
    join = Join(1, DATA, b"", 0, reports_ready=True)
    assert happen(cluster_member, PeerUp(Link.META, ONE)) == [send(join)]
    initial = replace(DATA, incarnation_epoch=5, status=Status.INITIAL)
    hear(cluster_member, MembershipReply(1, membership(initial), D1))
    return cluster_member


def test_it_reports_that_it_is_ready_under_the_ring_that_it_checked() -> None:
    cluster_member = make_joining()

    assert report_ready(cluster_member, 4) == [send(Ready(2, D1, CLUSTER, 4))]
    assert hear(cluster_member, Accepted((2,))) == []


def test_a_refused_report_is_logged_and_leaves_the_node_a_member() -> None:
    cluster_member = make_joining()
    report_ready(cluster_member, 4)

    effects = hear(cluster_member, Refused(2, NotReadyError.code, "the ring moved"))

    fields: dict[str, str | int | float] = {"code": 5, "detail": "the ring moved"}
    assert effects == [Log(INFO, "meta.refused", fields)]
    assert cluster_member.incarnation == D1
    assert report_ready(cluster_member, 6) == [send(Ready(3, D1, CLUSTER, 6))]


def test_a_node_that_meta_does_not_know_any_more_joins_again_and_says_again_that_it_reports() -> (
    None
):
    cluster_member = make_joining()
    report_ready(cluster_member, 4)
    hear(cluster_member, Refused(2, UnknownNodeError.code, "gone"))

    assert cluster_member.incarnation is None
    (join,) = cluster_member.tick(0.0).effects
    assert join == send(Join(3, DATA, CLUSTER, 5, reports_ready=True))


def test_it_asks_meta_to_drain_this_incarnation() -> None:
    cluster_member = make_joining()

    assert report_leaving(cluster_member) == [send(Drain(2, "d1", CLUSTER, 5))]
    assert hear(cluster_member, Accepted((2,))) == []
    assert cluster_member.tick(RENEW).effects == [send(Renew(3, D1, CLUSTER, 5))], "still a member"


def test_without_a_leader_or_an_incarnation_it_says_nothing() -> None:
    new = make_cluster_member()
    assert report_ready(new, 4) == report_leaving(new) == []

    cluster_member = make_joining()
    happen(cluster_member, PeerLost(Link.META, ONE, "closed"))
    cluster_member.tick(PAUSE)
    assert report_ready(cluster_member, 4) == report_leaving(cluster_member) == []


def test_a_node_that_does_not_report_joins_without_saying_so() -> None:
    cluster_member = make_cluster_member()
    cluster_member.tick(0.0)

    assert happen(cluster_member, PeerUp(Link.META, ONE)) == [send(Join(1, ME, b"", 0))]
