"""A data node as a member: it takes no writes before it works, and reports lost sessions."""

from msgspec.structs import replace
from test_data_core import (
    BOTH,
    D1,
    EPOCH,
    ME,
    META,
    NAME,
    NOT_PRIMARY,
    ONE,
    P1,
    S1,
    TWO_NODES,
    ask,
    follow,
    hear,
    held,
    make_core,
    make_publisher,
    make_starting,
    membership,
    publish,
    refused,
    session,
    to,
)

from zreg.effects import CLOSED, TIMED_OUT, Link, PeerLost, Send
from zreg.errors import NotPrimaryError
from zreg.model import Incarnation
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.data_messages import NodeHello, PublishDatum
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply, ReportGone


def test_an_initial_node_takes_no_writes_until_it_is_working() -> None:
    core = make_starting()
    waits = replace(ME, incarnation_epoch=D1.epoch)
    beside = membership(*BOTH, data=TWO_NODES[1:])
    hear(core, MembershipReply(1, replace(beside, members=(*beside.members, waits)), D1))
    one = PublishDatum(1, NAME, make_publisher(P1, version=1, session=S1))
    assert ask(core, one) == [refused(1, NotPrimaryError, NOT_PRIMARY)]

    follow(core, membership(*BOTH, epoch=8, ring_epoch=8, data=TWO_NODES))

    assert ask(core, one) == []
    assert held(core) == {P1: one.publisher}
    assert core.statistics()["unreconciled"] == 2


def test_a_session_whose_connection_closed_is_reported_to_meta_once() -> None:
    core = make_core()
    lost = PeerLost(Link.REQUESTS, ONE, CLOSED)

    effects = core.receive(Link.LOCAL, "", lost, 0.0)

    assert effects == [Send(Link.META, META, ReportGone(D1, S1, b"A" * 16))]
    assert core.receive(Link.LOCAL, "", lost, 0.0) == []


def test_a_session_with_another_connection_is_not_reported() -> None:
    core = make_core()
    ask(core, NodeHello(S1), peer=b"again")

    assert core.receive(Link.LOCAL, "", PeerLost(Link.REQUESTS, ONE, CLOSED), 0.0) == []
    assert core.statistics()["sessions"] == 2


def test_silence_is_not_reported() -> None:
    core = make_core()

    assert core.receive(Link.LOCAL, "", PeerLost(Link.REQUESTS, ONE, TIMED_OUT), 0.0) == []


def test_a_data_node_takes_a_newer_membership_from_a_session() -> None:
    """Meta is out of reach, and the publisher's session is from an epoch not seen here."""
    core = make_core()
    core.receive(Link.LOCAL, "", PeerLost(Link.META, META, TIMED_OUT), 0.0)
    newer = Incarnation(EPOCH + 1, "s3")
    shown = MembershipReply(0, membership(*BOTH, session(newer), epoch=8))

    unidentified = ask(core, shown, peer=b"unidentified")
    assert core.epoch == EPOCH
    assert isinstance(unidentified[0], Send)
    assert isinstance(unidentified[0].message, Refused)
    ask(core, shown)
    assert core.epoch == EPOCH + 1
    publish(core, session=newer)
    assert core.settle(0.0)[-1] == to(ONE, Accepted((1,)))
    ask(core, MembershipReply(0, membership(*BOTH)))
    ask(core, MembershipReply(0, replace(membership(epoch=99), cluster_id=b"B" * 16)))
    assert core.epoch == EPOCH + 1


def test_a_membership_from_a_session_changes_neither_incarnation_nor_placement() -> None:
    """Only meta says who is who; a peer that shows another membership may be forged or mistaken."""
    core = make_core()
    publish(core)
    core.settle(0.0)
    stranger = replace(membership(*BOTH, epoch=9, data=()), members=())
    as_joined = MembershipReply(0, membership(*BOTH, epoch=9), Incarnation(9, "d2"))

    assert ask(core, MembershipReply(0, stranger)) == [
        Send(Link.META, META, FetchMembership(2, b"A" * 16, EPOCH))
    ]
    assert ask(core, as_joined) == []
    core.receive(Link.LOCAL, "", PeerLost(Link.META, META, TIMED_OUT), 0.0)
    assert ask(core, MembershipReply(0, stranger)) == []

    assert core.statistics()["incarnation"] == "d1@5"
    assert P1 in held(core)
