"""A node whose address changes leaves with the former one, and joins again with the new one."""

from msgspec.structs import replace
from test_cluster_member import (
    CLUSTER,
    LISTEN_TO_PUB,
    ME,
    ONE,
    PAUSE,
    RENEW,
    S1,
    happen,
    hear,
    make_connected,
    make_joined,
    me,
    membership,
    send,
)

from zreg.effects import Connect, HostChanged, Link, PeerLost, PeerUp
from zreg.model import Incarnation
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import Join, Leave, MembershipReply, Renew

CHANGED = HostChanged("10.0.0.9", b"q" * 16)
S1_AGAIN = Incarnation(7, "s1")
MOVED = ME.at_host("10.0.0.9", b"q" * 16)


def test_the_addresses_of_a_member_keep_their_ports() -> None:
    assert MOVED.address == "tcp://10.0.0.9:9600"
    assert MOVED.changes_address == ""
    assert ME.at_host("fd00::9", b"").address == "tcp://[fd00::9]:9600"


def test_it_leaves_first_and_joins_again_when_meta_has_answered() -> None:
    cluster_member = make_joined()

    learned = cluster_member.receive(Link.LOCAL, "", CHANGED, 0.0)

    assert learned.effects == [send(Leave(2, S1))]
    assert learned.has_new_incarnation
    assert cluster_member.incarnation is None
    assert hear(cluster_member, Accepted((2,))) == [send(Join(3, MOVED, CLUSTER, 5))]
    present = membership(replace(MOVED, incarnation_epoch=7), epoch=7)
    hear(cluster_member, MembershipReply(3, present, S1_AGAIN))
    assert cluster_member.incarnation == S1_AGAIN
    assert cluster_member.tick(RENEW).effects == [send(Renew(4, S1_AGAIN, CLUSTER, 7))]


def test_it_leaves_again_until_meta_answers_also_over_another_connection() -> None:
    cluster_member = make_joined()
    happen(cluster_member, CHANGED)
    assert cluster_member.tick(RENEW).effects == [send(Leave(3, S1))]
    assert hear(cluster_member, Accepted((2,))) == [], "the answer to an earlier request"

    happen(cluster_member, PeerLost(Link.META, ONE, "closed"), RENEW)
    (connect,) = cluster_member.tick(RENEW + PAUSE).effects
    assert isinstance(connect, Connect)
    other = connect.address
    assert happen(cluster_member, PeerUp(Link.META, other)) == [send(Leave(4, S1), other)]

    effects = hear(cluster_member, Accepted((4,)), peer=other)

    assert effects == [send(Join(5, MOVED, CLUSTER, 5), other)]


def test_a_node_that_is_no_member_joins_with_the_new_address() -> None:
    cluster_member = make_connected()

    assert happen(cluster_member, CHANGED) == []
    assert cluster_member.tick(RENEW).effects == [send(Join(2, MOVED, b"", 0))]


def test_an_answer_to_a_join_with_the_former_address_is_no_membership() -> None:
    cluster_member = make_connected()
    happen(cluster_member, CHANGED)

    effects = hear(cluster_member, MembershipReply(1, membership(me()), S1))

    assert effects == [LISTEN_TO_PUB, send(Leave(2, S1))]
    assert cluster_member.incarnation is None
    (join,) = hear(cluster_member, Accepted((2,)))
    assert join == send(Join(3, MOVED, CLUSTER, 5))


def test_a_node_that_stops_before_it_has_left_says_goodbye_as_its_former_incarnation() -> None:
    cluster_member = make_joined()
    happen(cluster_member, CHANGED)

    assert cluster_member.leave() == [send(Leave(3, S1))]


def test_it_may_change_its_address_twice() -> None:
    cluster_member = make_joined()
    happen(cluster_member, CHANGED)
    again = HostChanged("10.0.0.10", b"r" * 16)

    assert happen(cluster_member, again) == []
    last = ME.at_host("10.0.0.10", b"r" * 16)
    assert hear(cluster_member, Accepted((2,))) == [send(Join(3, last, CLUSTER, 5))]
