"""A node that starts with the membership from its disk, and has new ones written there."""

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
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.membership_messages import FetchMembership, Join, MembershipReply, Renewed

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


# --- starting with a cached membership ------------------------------------------------------------


def test_it_follows_the_cached_membership_without_an_incarnation() -> None:
    """Its predecessor was a member; the same node id proves nothing."""
    cluster_member = make()

    assert cluster_member.membership == KEPT
    assert cluster_member.incarnation is None
    assert cluster_member.start().effects == [
        Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC),
        Log(logging.INFO, "membership.remembered", {"epoch": 7, "members": 3}),
    ]
    assert cluster_member.leave() == []


@pytest.mark.parametrize("kept", [None, EMPTY_MEMBERSHIP])
def test_without_a_cached_membership_it_starts_empty(kept: Membership | None) -> None:
    cluster_member = make(kept)

    assert cluster_member.membership == EMPTY_MEMBERSHIP
    assert cluster_member.start().effects == [Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC)]
    assert cluster_member.outage_sentence == ""


def test_a_join_names_the_epoch_and_cluster_of_the_cached_membership() -> None:
    cluster_member = make()
    cluster_member.tick(0.0)

    effects = cluster_member.receive(Link.LOCAL, "", PeerUp(Link.META, ONE), 0.0).effects

    assert Send(Link.META, ONE, Join(1, ME, CLUSTER, 7)) in effects


def test_the_configured_meta_nodes_are_tried_before_the_cached_ones() -> None:
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


def test_epochs_up_to_the_cached_one_are_not_fetched() -> None:
    cluster_member = make_connected()

    assert cluster_member.receive(Link.LOCAL, "", EpochSeen(7), 0.1).effects == []
    assert cluster_member.receive(Link.LOCAL, "", EpochSeen(8), 0.1).effects == [
        Send(Link.META, ONE, FetchMembership(2, CLUSTER, 7))
    ]


WAITS = (
    "meta is away and has not admitted s1 since it started from its disk, so what its clients "
    "publish waits"
)


def test_the_outage_sentence_says_that_the_membership_is_from_the_disk() -> None:
    cluster_member = make()
    assert cluster_member.outage_sentence == f"{WAITS} (connecting)"

    cluster_member.tick(0.0)
    cluster_member.receive(Link.LOCAL, "", PeerLost(Link.META, ONE, "refused"), 0.0)
    assert cluster_member.outage_sentence == f"{WAITS} ({ONE.removeprefix('tcp://')}: refused)"


def test_the_outage_sentence_is_cut_to_the_limit_of_the_wire() -> None:
    cluster_member = make_connected()

    hear(cluster_member, Refused(1, NotLeaderError.code, "x" * Limits.detail_characters_max))

    assert cluster_member.outage_sentence.startswith(WAITS)
    assert len(cluster_member.outage_sentence) == Limits.detail_characters_max


def test_an_admitted_node_has_no_outage_sentence() -> None:
    cluster_member = make()
    cluster_member.tick(0.0)
    cluster_member.receive(Link.LOCAL, "", PeerLost(Link.META, ONE, "refused"), 0.0)
    cluster_member.tick(10.0)
    cluster_member.receive(Link.LOCAL, "", PeerUp(Link.META, TWO), 10.0)

    cluster_member.receive(Link.META, TWO, MembershipReply(1, JOINED, S1), 10.0)

    assert cluster_member.outage_sentence == ""
    assert cluster_member.incarnation == S1


# --- caching new memberships ----------------------------------------------------------------------


def test_each_new_membership_is_cached_once() -> None:
    cluster_member = make_connected(EMPTY_MEMBERSHIP)

    assert emitted(hear(cluster_member, MembershipReply(1, JOINED, S1))) == [
        MembershipTaken(JOINED)
    ]
    assert emitted(hear(cluster_member, MembershipReply(2, JOINED, S1))) == []
    newer = replace(JOINED, epoch=10)
    assert emitted(hear(cluster_member, MembershipReply(3, newer))) == [MembershipTaken(newer)]
    assert emitted(hear(cluster_member, MembershipReply(3, JOINED))) == []
    assert emitted(hear(cluster_member, Renewed(4, 10))) == []


def test_the_membership_of_another_cluster_is_cached_at_any_epoch() -> None:
    cluster_member = make_connected()
    other = replace(JOINED, cluster_id=b"B" * 16, epoch=KEPT.epoch)

    assert emitted(hear(cluster_member, MembershipReply(1, other, S1))) == [MembershipTaken(other)]


def test_a_node_without_a_disk_caches_nothing() -> None:
    cluster_member = make_connected(None)

    assert emitted(hear(cluster_member, MembershipReply(1, JOINED, S1))) == []
    foreign = Refused(2, ForeignClusterError.code, "restart it")
    assert emitted(hear(cluster_member, foreign)) == [NodeFailed("restart it")]


def test_a_node_refused_as_foreign_fails_and_clears_its_cache() -> None:
    """Its cache would keep it out for ever, however often it is started again."""
    cluster_member = make_connected()
    foreign = Refused(1, ForeignClusterError.code, "restart it")

    assert emitted(hear(cluster_member, foreign)) == [
        MembershipTaken(EMPTY_MEMBERSHIP),
        NodeFailed("restart it"),
    ]
