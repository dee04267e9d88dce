"""A session and a data node that started from their disks while meta is away."""

from collections.abc import Sequence
from random import Random

import pytest
from msgspec.structs import replace
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    CLIENT_IDS,
    CLUSTER_ID,
    CONFIG,
    D1,
    META,
    PAY,
    S1,
    S1_AGAIN,
    V1,
    V2,
    Session,
    at_clients,
    digest_of,
    make_member,
    make_membership,
    make_publisher,
    pushes,
    to_client,
    to_data,
)

from zreg.data.core import DataCore
from zreg.effects import Connect, Effect, Emit, Link, MembershipTaken, PeerLost, PeerUp, Send
from zreg.errors import NotPrimaryError, NotReadyError, UnknownNodeError
from zreg.model import (
    EMPTY_MEMBERSHIP,
    NO_INCARNATION,
    ZERO,
    Cause,
    Incarnation,
    Membership,
    Removal,
    Role,
    Scope,
)
from zreg.primitives.mirror import ANY_VERSION
from zreg.session.core import SessionCore
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    CAPABILITIES,
    Bye,
    Hello,
    Moving,
    Publish,
    Push,
    PushAck,
    ReplayDone,
    Subscribe,
    Unpublish,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.records.data_messages import (
    Changed,
    ClientWaits,
    CompareDigest,
    ComparePublishers,
    CompareVersions,
    DatumsListed,
    FetchChanges,
    ListDatums,
    NodeHello,
    PublishDatum,
    Snapshot,
    UnpublishDatum,
    WritesWait,
)
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

FORMER = Incarnation(2, "s1")
CACHED = make_membership(D1, session=FORMER)
ONE, TWO = make_publisher(1, session=Incarnation(1, "s9")), make_publisher(2)
SUBSCRIBE = Subscribe(5, PAY, Scope.GLOBAL)


# A session that has had no incarnation yet.
HELLO = NodeHello(Incarnation(0, "s1"), Role.SESSION, is_member=False)


class RestartedSession(Session):
    """A session that has just started from its disk; meta is away, `d1` is reached."""

    def __init__(self, *, is_up: bool = True, cached: Membership = CACHED) -> None:
        self.now = 100.0
        self.loads = None
        member = make_member("s1", 0, Role.SESSION)
        self.core = SessionCore(member, CONFIG, rng=Random(1), now=self.now, cached=cached)
        self.started = list(self.core.start(self.now))
        self.core.tick(self.now)
        self.local(PeerLost(Link.META, META, "refused"))
        if is_up:
            self.come_up(D1)

    def be_admitted(self) -> list[Effect]:
        self.core.tick(self.now + 5.0)
        self.local(PeerUp(Link.META, META))
        return self.join(make_membership(D1, epoch=8, ring_epoch=3, session=S1_AGAIN), S1_AGAIN)


def publish(request_id: int = 11, version: int = 1) -> Publish:
    return Publish(request_id, TWO.publisher_id, version, PAY, TWO.body)


def not_yet(request_id: int) -> Refused:
    detail = (
        "not accepted yet, but stored: meta is away and has not admitted s1 since it started from "
        "its disk, so what its clients publish waits "
        "(meta:9610: refused)"
    )
    return Refused(request_id, NotReadyError.code, detail)


def at_data(effects: Sequence[Effect]) -> list[Message]:
    return [e.message for e in effects if isinstance(e, Send) and e.link is Link.DATA]


def digests_of(effects: Sequence[Effect]) -> list[CompareDigest]:
    return [each for each in at_data(effects) if isinstance(each, CompareDigest)]


# --- a session -----------------------------------------------------------------------------------


def test_it_connects_to_the_cached_data_nodes_and_says_that_it_is_no_member() -> None:
    session = RestartedSession(is_up=False)

    assert [effect for effect in session.started if isinstance(effect, Connect)] == [
        Connect(Link.CHANGES, D1, "tcp://d1:2"),
        Connect(Link.DATA, D1, "tcp://d1:1"),
    ]
    assert session.come_up(D1) == to_data(D1, HELLO)
    assert session.core.epoch == 3
    assert session.core.statistics()["incarnation"] == "-"


def test_clients_are_welcomed_to_the_cluster_without_an_incarnation() -> None:
    session = RestartedSession()

    sessions = ("tcp://s1:1",)
    welcome = Welcome(
        PROTOCOL_VERSION, NO_INCARNATION, CLUSTER_ID, 3.0, 1.0, sessions, CAPABILITIES
    )
    hello = Hello(PROTOCOL_VERSION, ALICE_ID)
    effects = session.says(ALICE, hello)
    assert effects == [*to_client(ALICE, welcome), *to_data(D1, ClientWaits(ALICE_ID))]


def test_subscriptions_are_answered_and_hints_are_pushed() -> None:
    session = RestartedSession()
    effects = session.greet(ALICE, SUBSCRIBE)
    assert at_data(effects) == [FetchChanges(1, PAY, ZERO), ClientWaits(ALICE_ID)]

    effects = session.answer_fetch(D1, effects, V1, ONE)
    assert effects == to_client(ALICE, Push(PAY, Scope.GLOBAL, None, V1, (ONE,)))
    session.says(ALICE, PushAck(PAY, Scope.GLOBAL, V1))
    session.now += 1.0

    gone = Removal(ONE.publisher_id, 1, Cause.BYE, ONE.session)
    hint = Changed(PAY, V1, V2, 2, (), (gone,))
    assert session.turn(Link.CHANGES, D1, hint) == to_client(
        ALICE, Push(PAY, Scope.GLOBAL, V1, V2, (), (replace(gone, version=ANY_VERSION),))
    )


def test_a_fetch_that_is_refused_is_sent_again_and_no_empty_view_is_pushed() -> None:
    session = RestartedSession()
    session.greet(ALICE, SUBSCRIBE)

    effects: list[Effect] = session.hears(D1, Refused(1, NotPrimaryError.code, "", 3))
    effects += session.wait(70.0)

    assert pushes(effects) == []
    assert FetchChanges(2, PAY, ZERO) in at_data(effects)


def test_publishes_wait_also_when_they_are_repeated_and_time_passes() -> None:
    """Each publish is told why; a wait that times out reports it."""
    session = RestartedSession()

    assert at_clients(session.greet(ALICE, publish()))[1:] == to_client(ALICE, not_yet(11))
    assert session.says(ALICE, publish(12)) == to_client(ALICE, not_yet(12))
    assert session.says(ALICE, publish(13, version=2)) == to_client(ALICE, not_yet(13))
    assert at_data(session.wait(2.5)) == []
    assert session.core.statistics()["pending"] == 1
    session.go_down(D1)
    assert at_data(session.come_up(D1)) == [HELLO, ClientWaits(ALICE_ID)]


def test_nothing_waits_for_a_client_that_publishes_nothing() -> None:
    session = RestartedSession()
    session.greet(ALICE, SUBSCRIBE)

    assert at_data(session.says(ALICE, ReplayDone())) == [ClientWaits(ALICE_ID, is_waiting=False)]


def test_a_client_that_goes_on_to_other_sessions_may_come_back() -> None:
    """It prefers sessions that meta has admitted, and may reach none."""
    session = RestartedSession()
    session.greet(ALICE, publish())
    session.says(ALICE, Moving())
    session.local(PeerLost(Link.CLIENTS, ALICE))

    leases = 2 * CONFIG.lease_seconds
    assert ClientWaits(ALICE_ID, is_waiting=False) not in at_data(session.wait(leases - 0.1))
    assert at_data(session.wait(0.2)) == [ClientWaits(ALICE_ID, is_waiting=False)]


def test_a_client_that_has_come_back_is_waited_for() -> None:
    session = RestartedSession()
    session.greet(ALICE, publish())
    session.local(PeerLost(Link.CLIENTS, ALICE))
    session.greet(ALICE, publish())

    for _ in range(int(2 * CONFIG.lease_seconds)):
        session.says(ALICE, Ping())
        assert ClientWaits(ALICE_ID, is_waiting=False) not in at_data(session.wait(1.0))


def test_a_client_that_is_registered_elsewhere_waits_no_more() -> None:
    session = RestartedSession()
    session.greet(ALICE, publish())

    told = at_data(session.says(ALICE, Moving(is_settled=True)))

    assert told == [ClientWaits(ALICE_ID, is_waiting=False)]


def test_a_client_that_may_come_back_is_waited_for_also_once_meta_is_back() -> None:
    session = RestartedSession()
    session.greet(ALICE)
    session.says(ALICE, Moving())
    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert at_data(session.be_admitted())[0] == NodeHello(S1_AGAIN)
    leases = 2 * CONFIG.lease_seconds
    assert all(each.do_writes_wait for each in digests_of(session.wait(leases - 0.1)))
    assert not digests_of(session.wait(2.0))[-1].do_writes_wait


def test_when_meta_is_back_publishes_are_replayed_registered_and_accepted() -> None:
    """Nothing is registered before that: the client may be at another session by now."""
    session = RestartedSession()
    session.greet(ALICE, publish())

    effects = session.be_admitted()

    assert effects[-4:] == [
        *to_data(
            D1, NodeHello(S1_AGAIN), WritesWait(), CompareDigest(3, 0, 0, do_writes_wait=True)
        ),
        *to_client(ALICE, WhoAreYou()),
    ]
    replayed = make_publisher(2, version=2, session=S1_AGAIN)
    effects = session.greet(ALICE, publish(14, version=2), ReplayDone())
    assert effects[1:] == to_data(D1, PublishDatum(1, PAY, replayed), digest_of(replayed))
    assert session.hears(D1, Accepted((1,))) == to_client(ALICE, Accepted((14,)))


def test_a_publisher_that_the_replay_does_not_name_is_withdrawn() -> None:
    """Another session may have registered it."""
    session = RestartedSession()
    session.greet(ALICE, publish())
    session.be_admitted()

    removal, digest = at_data(session.greet(ALICE, ReplayDone()))

    assert isinstance(removal, UnpublishDatum)
    assert removal.removals == (Removal(TWO.publisher_id, 1, Cause.NOT_REPLAYED, NO_INCARNATION),)
    assert digest == digest_of()


def test_a_client_that_is_lost_before_it_replays_removes_no_publisher() -> None:
    session = RestartedSession()
    session.greet(ALICE, publish())
    session.be_admitted()
    session.local(PeerLost(Link.CLIENTS, ALICE))

    sent = {type(each) for each in at_data(session.wait(30.0))}
    assert sent <= {CompareDigest}
    assert session.core.statistics()["publishers"] == 0


@pytest.mark.parametrize(
    "word", [Unpublish(12, TWO.publisher_id, 1, PAY), Bye()], ids=["unpublish", "bye"]
)
def test_a_withdrawal_of_the_client_is_sent_at_once(word: Message) -> None:
    """It needs no incarnation: another session may have registered the publisher."""
    session = RestartedSession()
    session.greet(ALICE, publish())

    told = at_data(session.says(ALICE, word))

    (removal,) = [each for each in told if isinstance(each, UnpublishDatum)]
    assert removal.removals[0].publisher_id == TWO.publisher_id
    assert session.core.statistics()["pending"] == 1
    session.hears(D1, Accepted((removal.request_id,)))
    assert session.core.statistics()["publishers"] == 0
    assert not any(isinstance(m, PublishDatum) for m in at_data(session.be_admitted()))


def test_a_client_that_vanishes_removes_no_publisher_from_data_nodes() -> None:
    """It may be at another session that waits for meta too; this one never answered for it."""
    session = RestartedSession()
    session.greet(ALICE, publish())
    session.greet(BOB, replace(publish(), publisher_id=b"b" * 16))
    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert {type(each) for each in at_data(session.wait(4.0))} == {ClientWaits}

    assert session.core.statistics()["clients"] == 0
    assert session.core.statistics()["publishers"] == 0
    assert at_data(session.be_admitted()) == [NodeHello(S1_AGAIN)]


def test_clients_stay_however_long_meta_is_away() -> None:
    session = RestartedSession()
    for peer in (ALICE, BOB):
        session.says(peer, Hello(PROTOCOL_VERSION, CLIENT_IDS[peer]))

    for _ in range(20):
        session.says(ALICE, Ping())
        session.says(BOB, Ping())
        assert Bye() not in [getattr(effect, "message", None) for effect in session.wait(1.0)]
    assert BOB_ID in [client.client_id for client in session.core._clients.table.all()]


def test_clients_are_sent_to_other_sessions_after_a_while_as_one_may_be_admitted() -> None:
    """They come back at once if none is: a client prefers sessions that meta has admitted."""
    other = make_member("s2", 4, Role.SESSION)
    session = RestartedSession(cached=replace(CACHED, members=(*CACHED.members, other)))
    session.says(ALICE, Hello(PROTOCOL_VERSION, ALICE_ID))

    for _ in range(2):
        session.says(ALICE, Ping())
        assert at_clients(session.wait(2.0)) == []
    session.says(ALICE, Ping())

    assert to_client(ALICE, Bye())[0] in at_clients(session.wait(1.1))


def test_the_cached_members_are_shown_with_the_outage() -> None:
    session = RestartedSession()

    (effect,) = session.says(ALICE, FetchMembership(9))

    assert isinstance(effect, Send)
    reply = effect.message
    assert isinstance(reply, MembershipReply)
    assert reply.membership == CACHED
    assert "has not admitted s1 since it started from its disk" in reply.trouble
    assert "(meta:9610: refused)" in reply.trouble


def test_the_membership_from_meta_is_to_be_cached() -> None:
    effects = RestartedSession().be_admitted()

    cached = make_membership(D1, epoch=8, ring_epoch=3, session=S1_AGAIN)
    assert Emit(MembershipTaken(cached)) in effects


def test_a_listing_that_a_data_node_refuses_is_refused_at_once_and_names_it() -> None:
    session = RestartedSession()
    session.says(ALICE, ListDatums(77, "*"))

    effects = session.hears(D1, Refused(1, NotReadyError.code, "not let in yet", 3))

    refused = Refused(77, NotReadyError.code, "d1@1: not let in yet")
    assert effects == to_client(ALICE, refused)
    assert session.hears(D1, DatumsListed(1, ())) == []


# --- a data node ---------------------------------------------------------------------------------

PEER = b"peer of s1"
DATA_CACHED = make_membership(D1, session=S1)


def make_data_node(cached: Membership | None = DATA_CACHED) -> DataCore:
    """Return a data node that started from its disk, and that a session has greeted."""
    core = DataCore(make_member("d1", 0), CONFIG, rng=Random(1), now=0.0, cached=cached)
    core.start(0.0)
    core.tick(0.0)
    ask(core, NodeHello(S1))
    return core


def ask(core: DataCore, message: Message) -> list[Message]:
    effects = [*core.receive(Link.REQUESTS, PEER, message, 0.0), *core.settle(0.0)]
    return [effect.message for effect in effects if isinstance(effect, Send)]


@pytest.mark.parametrize("cached", [None, EMPTY_MEMBERSHIP, DATA_CACHED])
@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (PublishDatum(1, PAY, make_publisher(1)), NotPrimaryError),
        (UnpublishDatum(1, PAY, (Removal(ONE.publisher_id, 1, Cause.BYE),)), NotPrimaryError),
        (FetchChanges(1, PAY, ZERO), NotPrimaryError),
        (FetchChanges(1, PAY, V1, V2), NotPrimaryError),
        (CompareVersions(1, 0, ((PAY, V1),)), NotReadyError),
        (ListDatums(1, "*"), NotReadyError),
    ],
)
def test_it_refuses_writes_and_reads(
    cached: Membership | None, request_: Message, error: type[NotReadyError | NotPrimaryError]
) -> None:
    """Its predecessor was the primary, and it holds none of the datums of that."""
    core = make_data_node(cached)

    (refused,) = ask(core, request_)

    assert isinstance(refused, Refused)
    assert (refused.request_id, refused.code) == (1, error.code)
    assert refused.epoch == core.epoch == (3 if cached is DATA_CACHED else 0)


def test_it_does_not_compare_digests_before_it_has_joined() -> None:
    """Otherwise it would count as reconciled with a session that has nothing there."""
    core = make_data_node()

    assert ask(core, CompareDigest(3, 0, 0)) == []
    assert ask(core, ComparePublishers(0, 255, ())) != []
    core.receive(Link.LOCAL, "", PeerUp(Link.META, META), 0.0)
    joined = Incarnation(9, "d1")
    core.receive(Link.META, META, MembershipReply(1, make_membership("d1@9", epoch=9), joined), 0.0)
    assert core.statistics()["unreconciled"] == 1
    (snapshot,) = ask(core, FetchChanges(2, PAY, ZERO))
    assert isinstance(snapshot, Snapshot)
    assert snapshot.is_unreconciled


def test_it_does_not_compare_digests_after_its_incarnation_is_gone() -> None:
    """It still follows the ring, but has dropped all that it held."""
    core = make_data_node(None)
    core.receive(Link.LOCAL, "", PeerUp(Link.META, META), 0.0)
    joined = MembershipReply(1, make_membership("d1@9", epoch=9), Incarnation(9, "d1"))
    core.receive(Link.META, META, joined, 0.0)
    core.receive(Link.META, META, Refused(2, UnknownNodeError.code, "join again"), 0.0)

    assert ask(core, CompareDigest(9, 0, 0)) == []
    assert core.statistics()["unreconciled"] == 1


def test_it_sends_no_beats_and_answers_pings() -> None:
    core = make_data_node()

    assert ask(core, Ping()) == [Pong()]
    assert core.tick(CONFIG.beat_seconds) == []
    assert repr(core) == "<DataCore None epoch=3 datums=0>"
