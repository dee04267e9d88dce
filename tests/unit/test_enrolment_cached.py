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
from zreg.membership.enrolment import Enrolment, NodeFailed
from zreg.model import (
    EMPTY_MEMBERSHIP,
    NO_INCARNATION,
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


def make(kept: Membership | None = KEPT) -> Enrolment:
    return Enrolment(ME, CONFIG, rng=Random(1), now=0.0, kept=kept)


def make_connected(kept: Membership | None = KEPT) -> Enrolment:
    enrolment = make(kept)
    enrolment.start()
    enrolment.tick(0.0)
    enrolment.receive(Link.LOCAL, "", PeerUp(Link.META, ONE), 0.0)
    return enrolment


def hear(enrolment: Enrolment, message: Message) -> list[Effect]:
    return list(enrolment.receive(Link.META, ONE, message, 0.1))


def emitted(effects: list[Effect]) -> list[object]:
    return [effect.event for effect in effects if isinstance(effect, Emit)]


# --- starting from it ---------------------------------------------------------------------------


def test_it_follows_what_was_kept_and_is_nobody() -> None:
    """Its predecessor was a member; that it has the same id means nothing."""
    enrolment = make()

    assert enrolment.membership == KEPT
    assert enrolment.incarnation is None
    assert enrolment.start() == [
        Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC),
        Log(logging.INFO, "membership.remembered", {"epoch": 7, "members": 3}),
    ]
    assert enrolment.leave() == []


@pytest.mark.parametrize("kept", [None, EMPTY_MEMBERSHIP])
def test_without_any_it_starts_from_nothing(kept: Membership | None) -> None:
    enrolment = make(kept)

    assert enrolment.membership == EMPTY_MEMBERSHIP
    assert enrolment.start() == [Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC)]
    assert enrolment.trouble == ""


def test_it_joins_with_the_epoch_and_the_cluster_that_it_remembers() -> None:
    enrolment = make()
    enrolment.tick(0.0)

    effects = enrolment.receive(Link.LOCAL, "", PeerUp(Link.META, ONE), 0.0)

    assert Send(Link.META, ONE, Join(1, ME, CLUSTER, 7)) in effects


def test_the_configured_meta_nodes_are_tried_first_and_then_those_it_remembers() -> None:
    enrolment = make()
    tried: list[Effect] = []
    now = 0.0
    for _ in range(3):
        (connect,) = enrolment.tick(now)
        assert isinstance(connect, Connect)
        tried.append(connect)
        enrolment.receive(Link.LOCAL, "", PeerLost(Link.META, connect.peer, "refused"), now)
        now += 10.0

    assert [connect.address for connect in tried] == [ONE, TWO, ONE]


def test_epochs_up_to_the_remembered_one_are_no_news() -> None:
    enrolment = make_connected()

    assert enrolment.receive(Link.LOCAL, "", EpochSeen(7), 0.1) == []
    assert enrolment.receive(Link.LOCAL, "", EpochSeen(8), 0.1) == [
        Send(Link.META, ONE, FetchMembership(2, CLUSTER, 7))
    ]


def test_a_meta_node_that_forgot_is_told_what_the_disk_says() -> None:
    enrolment = make_connected()

    assert hear(enrolment, FetchMembership(31)) == [
        Send(Link.META, ONE, MembershipReply(31, KEPT, NO_INCARNATION))
    ]


# --- what stands in the way ---------------------------------------------------------------------

WAITS = (
    "meta is away and has not let s1 in since it started from its disk, so what its clients "
    "publish waits"
)


def test_as_long_as_it_is_what_the_disk_says_people_are_told() -> None:
    enrolment = make()
    assert enrolment.trouble == f"{WAITS} (it is being asked)"

    enrolment.tick(0.0)
    enrolment.receive(Link.LOCAL, "", PeerLost(Link.META, ONE, "refused"), 0.0)
    assert enrolment.trouble == f"{WAITS} ({ONE.removeprefix('tcp://')}: refused)"


def test_the_sentence_fits_however_much_meta_has_to_say() -> None:
    enrolment = make_connected()

    hear(enrolment, Refused(1, NotLeaderError.code, "x" * Limits.detail_characters_max))

    assert enrolment.trouble.startswith(WAITS)
    assert len(enrolment.trouble) == Limits.detail_characters_max


def test_who_is_let_in_has_no_trouble_left() -> None:
    enrolment = make()
    enrolment.tick(0.0)
    enrolment.receive(Link.LOCAL, "", PeerLost(Link.META, ONE, "refused"), 0.0)
    enrolment.tick(10.0)
    enrolment.receive(Link.LOCAL, "", PeerUp(Link.META, TWO), 10.0)

    enrolment.receive(Link.META, TWO, MembershipReply(1, JOINED, S1), 10.0)

    assert enrolment.trouble == ""
    assert enrolment.incarnation == S1


# --- keeping it ---------------------------------------------------------------------------------


def test_each_membership_that_is_taken_is_to_be_kept_and_once() -> None:
    enrolment = make_connected(EMPTY_MEMBERSHIP)

    assert emitted(hear(enrolment, MembershipReply(1, JOINED, S1))) == [MembershipTaken(JOINED)]
    assert emitted(hear(enrolment, MembershipReply(2, JOINED, S1))) == []
    newer = replace(JOINED, epoch=10)
    assert emitted(hear(enrolment, MembershipReply(3, newer))) == [MembershipTaken(newer)]
    assert emitted(hear(enrolment, MembershipReply(3, JOINED))) == []
    assert emitted(hear(enrolment, Renewed(4, 10))) == []


def test_one_of_another_cluster_is_kept_whatever_its_epoch() -> None:
    enrolment = make_connected()
    other = replace(JOINED, cluster_id=b"B" * 16, epoch=KEPT.epoch)

    assert emitted(hear(enrolment, MembershipReply(1, other, S1))) == [MembershipTaken(other)]


def test_a_node_without_a_disk_asks_for_nothing() -> None:
    enrolment = make_connected(None)

    assert emitted(hear(enrolment, MembershipReply(1, JOINED, S1))) == []
    foreign = Refused(2, ForeignClusterError.code, "restart it")
    assert emitted(hear(enrolment, foreign)) == [NodeFailed("restart it")]


def test_who_is_refused_as_foreign_fails_and_remembers_no_more() -> None:
    """Its memory would keep it out for ever, while its person has started it again and again."""
    enrolment = make_connected()
    foreign = Refused(1, ForeignClusterError.code, "restart it")

    assert emitted(hear(enrolment, foreign)) == [
        MembershipTaken(EMPTY_MEMBERSHIP),
        NodeFailed("restart it"),
    ]
