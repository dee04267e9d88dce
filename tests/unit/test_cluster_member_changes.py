"""A node that follows by changes has the same membership as one that fetches the whole."""

from random import Random

import pytest
from msgspec.structs import replace

from zreg.config import Config
from zreg.effects import Connect, Effect, Emit, EpochSeen, Link, MembershipTaken, PeerUp, Send
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.following.changes import members_digest
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
from zreg.wire.records.membership_messages import (
    FetchMembership,
    Join,
    MembershipChanges,
    MembershipReply,
    Renew,
)

ONE = "tcp://meta-1:9610"
CONFIG = Config(meta_addresses=(ONE,))
CLUSTER, OTHER_CLUSTER = b"A" * 16, b"B" * 16
ME = Member("s1", Role.SESSION, 0, Status.INITIAL, "tcp://s1:9600", process_id=b"p" * 16)
S1 = Incarnation(5, "s1")
JOINED = replace(ME, incarnation_epoch=5, status=Status.WORKING)
META = Member("m1", Role.META, 1, Status.WORKING, ONE)
D1 = Member("d1", Role.DATA, 6, Status.WORKING, "tcp://d1:9620")
AT_5 = Membership(CLUSTER, 5, 0, RingParameters(), (JOINED, META))
AT_6 = replace(AT_5, epoch=6, ring_epoch=6, members=(JOINED, D1, META))
AT_7 = replace(AT_6, epoch=7)


def hear(cluster_member: ClusterMember, message: Message, now: float = 0.0) -> list[Effect]:
    return cluster_member.receive(Link.META, ONE, message, now).effects


def hear_of(cluster_member: ClusterMember, epoch: int) -> list[Effect]:
    return cluster_member.receive(Link.LOCAL, "", EpochSeen(epoch), 0.0).effects


def send(message: Message) -> Effect:
    return Send(Link.META, ONE, message)


def make_joined() -> ClusterMember:
    """Return a member at epoch 5 that has a disk and has sent one request."""
    cluster_member = ClusterMember(ME, CONFIG, rng=Random(1), now=0.0, cached=EMPTY_MEMBERSHIP)
    assert cluster_member.tick(0.0).effects == [Connect(Link.META, ONE, ONE)]
    joining = cluster_member.receive(Link.LOCAL, "", PeerUp(Link.META, ONE), 0.0).effects
    assert joining == [send(Join(1, ME, b"", 0))]
    hear(cluster_member, MembershipReply(1, AT_5, S1))
    assert cluster_member.membership == AT_5
    return cluster_member


def make_asking(epoch: int = 6) -> ClusterMember:
    """Return a member that was shown a higher epoch, and fetches the changes as request 2."""
    cluster_member = make_joined()
    assert hear_of(cluster_member, epoch) == [send(FetchMembership(2, CLUSTER, 5))]
    return cluster_member


def changes(request_id: int = 2, members: tuple[Member, ...] = AT_6.members) -> MembershipChanges:
    digest = members_digest(members)
    return MembershipChanges(request_id, CLUSTER, 5, 6, 6, (D1,), (), digest)


def test_changes_are_applied_and_cached_like_a_whole_membership() -> None:
    by_changes, by_whole = make_asking(), make_asking()

    effects = hear(by_changes, changes())

    assert effects == hear(by_whole, MembershipReply(2, AT_6)) == [Emit(MembershipTaken(AT_6))]
    assert by_changes.membership == by_whole.membership == AT_6
    assert by_changes.incarnation == S1


def test_changes_below_the_highest_hint_are_applied_and_the_rest_is_fetched() -> None:
    cluster_member = make_asking(7)

    effects = hear(cluster_member, changes())

    assert effects == [Emit(MembershipTaken(AT_6)), send(FetchMembership(3, CLUSTER, 6))]


def test_changes_that_remove_the_node_make_it_join_again() -> None:
    cluster_member = make_asking()
    members = (replace(JOINED, status=Status.DEPARTED), META)
    gone = MembershipChanges(2, CLUSTER, 5, 6, 0, members[:1], (), members_digest(members))

    hear(cluster_member, gone, 0.1)

    assert cluster_member.incarnation is None
    assert cluster_member.tick(0.1).effects == [send(Join(3, ME, CLUSTER, 6))]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(replace(changes(), cluster_id=OTHER_CLUSTER), id="another-cluster"),
        pytest.param(replace(changes(), source_epoch=4), id="from-another-epoch"),
        pytest.param(replace(changes(), digest=0), id="another-history"),
        pytest.param(replace(changes(), epoch=5), id="nothing-new"),
    ],
)
def test_unusable_changes_make_it_fetch_the_whole_once(
    answer: MembershipChanges,
) -> None:
    cluster_member = make_asking()

    assert hear(cluster_member, answer) == [send(FetchMembership(3, CLUSTER, 0))]
    assert cluster_member.membership == AT_5
    assert hear(cluster_member, answer) == []
    assert hear(cluster_member, MembershipReply(3, AT_6)) == [Emit(MembershipTaken(AT_6))]
    assert hear_of(cluster_member, 7) == [send(FetchMembership(4, CLUSTER, 6))]


def test_an_unanswered_fetch_of_the_whole_is_repeated_after_the_next_renewal() -> None:
    cluster_member = make_asking()
    hear(cluster_member, replace(changes(), digest=0))

    now = CONFIG.renew_seconds
    assert cluster_member.tick(now).effects == [send(Renew(4, S1, CLUSTER, 5))]
    assert hear_of(cluster_member, 6) == [send(FetchMembership(5, CLUSTER, 5))]


def test_late_or_repeated_changes_change_nothing() -> None:
    cluster_member = make_asking(7)
    hear(cluster_member, changes())

    assert hear(cluster_member, changes()) == []
    assert hear(cluster_member, MembershipReply(3, AT_7)) == [Emit(MembershipTaken(AT_7))]
    assert hear(cluster_member, changes(3)) == []
    assert hear(cluster_member, changes(0)) == []
    assert cluster_member.membership == AT_7


def test_unusable_changes_are_ignored_once_the_whole_has_come() -> None:
    cluster_member = make_asking()
    hear(cluster_member, MembershipReply(1, AT_6))

    assert hear(cluster_member, changes()) == []
    assert cluster_member.membership == AT_6
    assert hear_of(cluster_member, 7) == [send(FetchMembership(3, CLUSTER, 6))]


def test_late_changes_are_applied_if_they_fit() -> None:
    cluster_member = make_asking()
    cluster_member.tick(CONFIG.renew_seconds)

    assert hear(cluster_member, changes()) == [Emit(MembershipTaken(AT_6))]
    assert cluster_member.membership == AT_6


def test_unrequested_changes_that_do_not_fit_are_ignored() -> None:
    """Request id 0 never answers a fetch, also while none is pending."""
    cluster_member = make_asking()
    cluster_member.tick(CONFIG.renew_seconds)

    assert hear(cluster_member, replace(changes(0), digest=0)) == []
    assert cluster_member.membership == AT_5


def test_changes_from_another_peer_than_the_connected_meta_node_are_ignored() -> None:
    cluster_member = make_asking()

    assert cluster_member.receive(Link.META, "tcp://other:1", changes(), 0.0).effects == []
    assert cluster_member.receive(Link.REQUESTS, b"peer", changes(), 0.0).effects == []
    assert cluster_member.membership == AT_5
