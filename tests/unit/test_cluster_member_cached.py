"""A node that starts with the membership of its disk, and one that asks to have it kept."""

import logging
from random import Random

import pytest
from msgspec.structs import replace

from zreg.config import Config, Limits
from zreg.effects import (
    MEMBERSHIP_TOPIC,
    Connect,
    Effect,
    Emit,
    EpochSeen,
    Link,
    Listen,
    Log,
    MembershipTaken,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.errors import ForeignClusterError, NotLeaderError
from zreg.membership.cluster_member import ClusterMember, NodeFailed
from zreg.model import (
    EMPTY_MEMBERSHIP,
    Incarnation,
    Member,
    Membership,
    RingParameters,
    Role,
    Status,
)
from zreg.wire.common_messages import Refused
from zreg.wire.membership_messages import FetchMembership, Join, MembershipReply, Renewed
from zreg.wire.messages import Message

ONE, TWO = "tcp://meta-1:9610", "tcp://meta-2:9610"
CONFIG = Config(meta_addresses=(ONE,))
CLUSTER = b"A" * 16
ME = Member("s1", Role.SESSION, 0, Status.INITIAL, "tcp://s1:9600", process_id=b"p" * 16)
PREDECESSOR = replace(ME, incarnation_epoch=5, status=Status.WORKING, process_id=b"q" * 16)
METAS = (
    Member("m1", Role.META, 1, Status.WORKING, ONE),
    Member("m2", Role.META, 1, Status.WORKING, TWO),
)
KEPT = Membership(CLUSTER, 7, 0, RingParameters(), (PREDECESSOR, *METAS))
JOINED = replace(
    KEPT, epoch=9, members=(replace(ME, incarnation_epoch=9, status=Status.WORKING), *METAS)
)
S1 = Incarnation(9, "s1")


def make(kept: Membership | None = KEPT) -> ClusterMember:
    return ClusterMember(ME, CONFIG, rng=Random(1), now=0.0, cached=kept)


def make_connected(kept: Membership | None = KEPT) -> ClusterMember:
    cluster_member = make(kept)
    cluster_member.start()
    cluster_member.tick(0.0)
    cluster_member.receive(Link.LOCAL, "", PeerUp(Link.META, ONE), 0.0)
    return cluster_member


def hear(cluster_member: ClusterMember, message: Message) -> list[Effect]:
    return cluster_member.receive(Link.META, ONE, message, 0.1).effects


def emitted(effects: list[Effect]) -> list[object]:
    return [effect.event for effect in effects if isinstance(effect, Emit)]


# --- starting from it ---------------------------------------------------------------------------


def test_it_follows_what_was_kept_and_is_nobody() -> None:
    """Its predecessor was a member; that it has the same id means nothing."""
    cluster_member = make()

    assert cluster_member.membership == KEPT
    assert cluster_member.incarnation is None
    assert cluster_member.start().effects == [
        Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC),
        Log(logging.INFO, "membership.remembered", {"epoch": 7, "members": 3}),
    ]
    assert cluster_member.leave() == []


@pytest.mark.parametrize("kept", [None, EMPTY_MEMBERSHIP])
def test_without_any_it_starts_from_nothing(kept: Membership | None) -> None:
    cluster_member = make(kept)

    assert cluster_member.membership == EMPTY_MEMBERSHIP
    assert cluster_member.start().effects == [Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC)]
    assert cluster_member.outage_sentence == ""


def test_it_joins_with_the_epoch_and_the_cluster_that_it_remembers() -> None:
    cluster_member = make()
    cluster_member.tick(0.0)

    effects = cluster_member.receive(Link.LOCAL, "", PeerUp(Link.META, ONE), 0.0).effects

    assert Send(Link.META, ONE, Join(1, ME, CLUSTER, 7)) in effects


def test_the_configured_meta_nodes_are_tried_first_and_then_those_it_remembers() -> None:
    cluster_member = make()
    tried: list[Effect] = []
    now = 0.0
    for _ in range(3):
        (connect,) = cluster_member.tick(now).effects
        assert isinstance(connect, Connect)
        tried.append(connect)
        cluster_member.receive(Link.LOCAL, "", PeerLost(Link.META, connect.peer, "refused"), now)
        now += 10.0

    assert [connect.address for connect in tried] == [ONE, TWO, ONE]


def test_epochs_up_to_the_remembered_one_are_no_news() -> None:
    cluster_member = make_connected()

    assert cluster_member.receive(Link.LOCAL, "", EpochSeen(7), 0.1).effects == []
    assert cluster_member.receive(Link.LOCAL, "", EpochSeen(8), 0.1).effects == [
        Send(Link.META, ONE, FetchMembership(2, CLUSTER, 7))
    ]


WAITS = (
    "meta is away and has not admitted s1 since it started from its disk, so what its clients "
    "publish waits"
)


def test_as_long_as_it_is_what_the_disk_says_people_are_told() -> None:
    cluster_member = make()
    assert cluster_member.outage_sentence == f"{WAITS} (connecting)"

    cluster_member.tick(0.0)
    cluster_member.receive(Link.LOCAL, "", PeerLost(Link.META, ONE, "refused"), 0.0)
    assert cluster_member.outage_sentence == f"{WAITS} ({ONE.removeprefix('tcp://')}: refused)"


def test_the_sentence_fits_however_much_meta_has_to_say() -> None:
    cluster_member = make_connected()

    hear(cluster_member, Refused(1, NotLeaderError.code, "x" * Limits.detail_characters_max))

    assert cluster_member.outage_sentence.startswith(WAITS)
    assert len(cluster_member.outage_sentence) == Limits.detail_characters_max


def test_who_is_let_in_has_no_trouble_left() -> None:
    cluster_member = make()
    cluster_member.tick(0.0)
    cluster_member.receive(Link.LOCAL, "", PeerLost(Link.META, ONE, "refused"), 0.0)
    cluster_member.tick(10.0)
    cluster_member.receive(Link.LOCAL, "", PeerUp(Link.META, TWO), 10.0)

    cluster_member.receive(Link.META, TWO, MembershipReply(1, JOINED, S1), 10.0)

    assert cluster_member.outage_sentence == ""
    assert cluster_member.incarnation == S1


# --- keeping it ---------------------------------------------------------------------------------


def test_each_membership_that_is_taken_is_to_be_kept_and_once() -> None:
    cluster_member = make_connected(EMPTY_MEMBERSHIP)

    assert emitted(hear(cluster_member, MembershipReply(1, JOINED, S1))) == [
        MembershipTaken(JOINED)
    ]
    assert emitted(hear(cluster_member, MembershipReply(2, JOINED, S1))) == []
    newer = replace(JOINED, epoch=10)
    assert emitted(hear(cluster_member, MembershipReply(3, newer))) == [MembershipTaken(newer)]
    assert emitted(hear(cluster_member, MembershipReply(3, JOINED))) == []
    assert emitted(hear(cluster_member, Renewed(4, 10))) == []


def test_one_of_another_cluster_is_kept_whatever_its_epoch() -> None:
    cluster_member = make_connected()
    other = replace(JOINED, cluster_id=b"B" * 16, epoch=KEPT.epoch)

    assert emitted(hear(cluster_member, MembershipReply(1, other, S1))) == [MembershipTaken(other)]


def test_a_node_without_a_disk_asks_for_nothing() -> None:
    cluster_member = make_connected(None)

    assert emitted(hear(cluster_member, MembershipReply(1, JOINED, S1))) == []
    foreign = Refused(2, ForeignClusterError.code, "restart it")
    assert emitted(hear(cluster_member, foreign)) == [NodeFailed("restart it")]


def test_who_is_refused_as_foreign_fails_and_remembers_no_more() -> None:
    """Its memory would keep it out for ever, while its person has started it again and again."""
    cluster_member = make_connected()
    foreign = Refused(1, ForeignClusterError.code, "restart it")

    assert emitted(hear(cluster_member, foreign)) == [
        MembershipTaken(EMPTY_MEMBERSHIP),
        NodeFailed("restart it"),
    ]
