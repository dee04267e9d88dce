"""Before a data node believes a suspicion, each other session shows that it is there."""

from collections.abc import Sequence

import pytest
from data_fakes import calls_of
from msgspec.structs import replace
from test_data_core import (
    BOTH,
    CONFIG,
    ME,
    NAME,
    ONE,
    P1,
    P2,
    S1,
    S2,
    TWO,
    NoJitter,
    ask,
    follow,
    held,
    make_publisher,
    make_reconciled,
    membership,
    publish,
    session,
)
from test_data_suspicions import GRACE, S3, lose

from zreg.data.core import DataCore
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.roll_calls import RollCalls
from zreg.effects import CLOSED, Link, Peer, PeerLost
from zreg.errors import LimitError, UnknownNodeError
from zreg.model import Cause, Incarnation, Removal, Role
from zreg.wire.record import Message
from zreg.wire.records.data_messages import (
    ClientWaits,
    CompareDigest,
    NodeHello,
    Present,
    UnpublishDatum,
    WritesWait,
)


def make_core() -> DataCore:
    """Return a reconciled core that holds two publishers of S1."""
    core = make_reconciled()
    publish(core, P1)
    publish(core, P2)
    core.settle(0.0)
    return core


def suspect(core: DataCore, publisher_id: bytes, now: float) -> None:
    removal = Removal(publisher_id, 1, Cause.CLOSED, S1)
    assert ask(core, UnpublishDatum(7, NAME, (removal,)), now) == []


def calls(core: DataCore, now: float) -> dict[Peer, int]:
    """End a turn; return the numbers of the calls by session."""
    return {call.peer: call.message.number for call in calls_of(core.settle(now))}


def answer(core: DataCore, number: int, now: float, peer: bytes = TWO) -> None:
    assert ask(core, Present(number), now, peer=peer) == []


def test_the_session_that_suspects_need_not_answer_and_the_others_have_to() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2}
    assert P1 in held(core)

    answer(core, 2, 1.1)
    core.settle(1.1)
    assert P1 not in held(core)


def test_the_only_session_is_believed_at_once() -> None:
    core = make_core()
    follow(core, membership(session(S1), epoch=8))
    suspect(core, P1, 1.0)

    assert calls(core, 1.0) == {}
    assert P1 not in held(core)


def test_an_answer_to_a_call_that_was_sent_before_the_suspicion_proves_nothing() -> None:
    """The session may have been cut off between both."""
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0)[TWO] == 2
    suspect(core, P2, 1.5)
    assert calls(core, 1.5) == {}, "one call at a time"

    answer(core, 2, 1.6)
    assert calls(core, 1.6) == {TWO: 3}
    assert list(held(core)) == [P2]
    answer(core, 3, 1.7)
    core.settle(1.7)
    assert list(held(core)) == []


def test_a_call_without_an_answer_is_repeated_with_its_number() -> None:
    """It may have been dropped. A session that only answers late answers each."""
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2}
    answer(core, 1, 1.1, peer=ONE)
    assert calls(core, 1.9) == {}

    assert calls(core, 2.0) == {TWO: 2}
    assert calls(core, 2.9) == {}
    assert calls(core, 3.0) == {TWO: 2}
    answer(core, 2, 3.1)
    core.settle(3.1)
    assert P1 not in held(core)
    assert calls(core, 9.0) == {}, "nothing waits"


@pytest.mark.parametrize(("peer", "number"), [(TWO, 1), (TWO, 3), (b"stranger", 2), (ONE, 2)])
def test_the_answer_of_another_or_to_another_call_is_ignored(peer: bytes, number: int) -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2}

    answer(core, number, 1.1, peer=peer)
    core.settle(1.1)
    assert P1 in held(core)


def test_a_session_that_connects_again_is_called_again() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0)[TWO] == 2
    lose(core, TWO, 1.1)
    assert calls(core, 1.1) == {}, "it is waited for as one that is not heard"

    ask(core, NodeHello(S2), 1.2, peer=b"again")
    assert calls(core, 1.2) == {b"again": 3}
    answer(core, 3, 1.3, peer=b"again")
    core.settle(1.3)
    assert P1 not in held(core)


def test_a_session_that_is_lost_and_takes_no_clients_in_is_not_waited_for() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0)[TWO] == 2
    follow(core, membership(session(S1), epoch=8), 1.1)

    core.settle(1.1)
    assert P1 not in held(core)


def test_any_connection_of_a_session_may_answer() -> None:
    """Its former one may be dead, which nobody has noticed yet."""
    core = make_core()
    ask(core, NodeHello(S2), peer=b"again")
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2, b"again": 3}

    answer(core, 3, 1.1, peer=b"again")
    core.settle(1.1)
    assert P1 not in held(core)


def test_a_session_that_joins_meanwhile_is_called_too() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0)[TWO] == 2
    follow(core, membership(*BOTH, session(S3), epoch=8), 1.1)
    ask(core, CompareDigest(8, 0, 0), 1.1, peer=TWO)
    ask(core, NodeHello(S3), 1.1, peer=b"three")

    answer(core, 2, 1.2)
    assert calls(core, 1.2) == {b"three": 3}
    assert P1 in held(core)
    answer(core, 3, 1.3, peer=b"three")
    core.settle(1.3)
    assert P1 not in held(core)


CLIENT = make_publisher(P1).client_id
CLIENTS = [CLIENT, make_publisher(P2).client_id]
UNADMITTED = NodeHello(Incarnation(0, "s3"), Role.SESSION, is_member=False)


@pytest.mark.parametrize("hello", [UNADMITTED, NodeHello(S3, Role.SESSION, is_member=False)])
def test_a_session_that_is_no_member_is_called_too(hello: NodeHello) -> None:
    """Meta has not admitted it, or takes it for dead. A client may wait there all the same."""
    core = make_core()
    ask(core, hello, 0.5, peer=b"three")
    suspect(core, P1, 1.0)

    assert calls(core, 1.0) == {ONE: 1, TWO: 2, b"three": 3}
    answer(core, 2, 1.1)
    core.settle(1.1)
    assert P1 in held(core)
    answer(core, 3, 1.2, peer=b"three")
    core.settle(1.2)
    assert P1 not in held(core)


def test_a_session_that_is_no_member_holds_the_suspicion_of_a_client_that_waits() -> None:
    """It becomes one with the client of P1, which replays there."""
    core = make_core()
    ask(core, UNADMITTED, 0.5, peer=b"three")
    ask(core, ClientWaits(CLIENT), 0.5, peer=b"three")
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2, b"three": 3}
    answer(core, 2, 1.1)
    answer(core, 3, 1.1, peer=b"three")
    core.settle(5.0)
    assert P1 in held(core)

    follow(core, membership(*BOTH, session(S3), epoch=8), 6.0)
    ask(core, NodeHello(S3), 6.0, peer=b"three")
    ask(core, CompareDigest(7, 0, 0, do_writes_wait=True), 6.0, peer=b"three")
    core.settle(6.0)
    assert P1 in held(core)
    ask(core, CompareDigest(7, 0, 0), 6.1, peer=b"three")
    core.settle(6.1)
    assert P1 not in held(core)


@pytest.mark.parametrize(
    "waits",
    [
        [ClientWaits(b"another client")],
        [ClientWaits(CLIENT), ClientWaits(CLIENT, is_waiting=False)],
        # The client waits at a session that is a member now, and has nothing to send.
        [ClientWaits(CLIENT), NodeHello(S3, Role.SESSION), CompareDigest(7, 0, 0)],
        # It waited where a session has said that writes wait, and said then that it is no member.
        [WritesWait(), UNADMITTED],
    ],
    ids=["another", "no more", "admitted", "lost"],
)
def test_a_session_that_is_no_member_holds_no_other_suspicion(waits: list[Message]) -> None:
    core = make_core()
    for each in [UNADMITTED, *waits]:
        ask(core, each, 0.5, peer=b"three")
    suspect(core, P1, 1.0)
    for peer, number in calls(core, 1.0).items():
        answer(core, number, 1.1, peer=peer)
    core.settle(1.1)
    assert P1 not in held(core)


def test_a_client_that_waits_no_more_lets_its_suspicion_be_judged() -> None:
    core = make_core()
    ask(core, UNADMITTED, 0.5, peer=b"three")
    ask(core, ClientWaits(CLIENT), 0.5, peer=b"three")
    suspect(core, P1, 1.0)
    for peer, number in calls(core, 1.0).items():
        answer(core, number, 1.1, peer=peer)
    core.settle(1.1)
    assert P1 in held(core)

    ask(core, ClientWaits(CLIENT, is_waiting=False), 2.0, peer=b"three")
    core.settle(2.0)
    assert P1 not in held(core)


def test_a_client_waits_at_no_connection_that_has_not_said_which_session_it_is() -> None:
    core = make_core()

    (refused,) = ask(core, ClientWaits(CLIENT), 0.5, peer=b"three")
    assert refused.message.code == UnknownNodeError.code


GIVEN_UP = 1.0 + 2 * CONFIG.lease_seconds


def let_it_wait(
    core: DataCore, *publisher_ids: bytes, clients: Sequence[bytes] = CLIENTS
) -> dict[Peer, int]:
    """Let clients wait at a session that is no member; suspect publishers; return the calls."""
    ask(core, UNADMITTED, 0.5, peer=b"three")
    for client_id in clients:
        ask(core, ClientWaits(client_id), 0.5, peer=b"three")
    for publisher_id in publisher_ids:
        suspect(core, publisher_id, 1.0)
    return calls(core, 1.0)


def let_it_wait_alone(core: DataCore, *publisher_ids: bytes) -> None:
    """Let suspicions wait for nothing but a client at a session that is no member."""
    for peer, number in let_it_wait(core, *publisher_ids).items():
        answer(core, number, 1.1, peer=peer)
    core.settle(1.1)
    assert held(core).keys() >= set(publisher_ids)


def test_a_session_that_is_no_member_and_never_answers_is_waited_for_two_leases_long() -> None:
    """Meta would end the lease of a member. This one has none. Who waits there waits on."""
    core = make_core()
    let_it_wait(core, P1, clients=[b"another client"])
    answer(core, 2, 1.1)
    for now in (GIVEN_UP - 2.0, GIVEN_UP - 1.0):
        core.settle(now)
        assert P1 in held(core)
    core.settle(GIVEN_UP)
    core.settle(GIVEN_UP)
    assert P1 not in held(core)

    suspect(core, P2, 10.0)
    assert b"three" not in calls(core, 10.0)


@pytest.mark.parametrize("said", [Present(3), ClientWaits(b"another client"), UNADMITTED])
def test_a_session_that_was_given_up_keeps_its_clients_and_is_called_again(said: Message) -> None:
    """Its answer may have been late: a client replayed there for as long as it may."""
    core = make_core()
    let_it_wait(core, P1)
    answer(core, 2, 1.1)
    for now in (GIVEN_UP - 1.0, GIVEN_UP, GIVEN_UP + 1.0):
        core.settle(now)
        assert P1 in held(core)

    ask(core, said, GIVEN_UP + 1.1, peer=b"three")
    suspect(core, P1, GIVEN_UP + 1.2)
    assert b"three" in calls(core, GIVEN_UP + 1.2)


def lose_three(core: DataCore, now: float) -> None:
    lost = PeerLost(Link.REQUESTS, b"three", CLOSED)
    assert core.receive(Link.LOCAL, "", lost, now) == [], "no member is reported"


def test_a_client_waits_for_a_lease_longer_than_the_connection_of_its_session() -> None:
    """The session may connect again at once, and names it again."""
    core = make_core()
    let_it_wait_alone(core, P1)
    lose_three(core, 2.0)
    core.settle(2.0)
    core.settle(1.9 + CONFIG.lease_seconds)
    assert P1 in held(core)
    core.settle(2.0 + CONFIG.lease_seconds)
    assert P1 not in held(core)


@pytest.mark.parametrize("is_named", [True, False])
def test_a_session_that_connects_again_says_who_waits_now(is_named: bool) -> None:  # noqa: FBT001
    """It may be another process, to which its clients connect again in a moment."""
    core = make_core()
    let_it_wait_alone(core, P1)
    lose_three(core, 2.0)
    ask(core, UNADMITTED, 2.1, peer=b"three again")
    number = calls(core, 2.1)[b"three again"]
    if is_named:
        ask(core, ClientWaits(CLIENT), 2.2, peer=b"three again")
    answer(core, number, 2.3, peer=b"three again")
    core.settle(1.9 + CONFIG.lease_seconds)
    assert P1 in held(core)
    core.settle(2.0 + CONFIG.lease_seconds)

    assert (P1 in held(core)) is is_named


def test_a_session_that_loses_two_connections_names_what_waits_at_both() -> None:
    core = make_core()
    let_it_wait_alone(core, P1, P2)
    ask(core, UNADMITTED, 1.5, peer=b"three again")
    ask(core, ClientWaits(CLIENTS[1]), 1.5, peer=b"three again")
    lose_three(core, 2.0)
    lost = PeerLost(Link.REQUESTS, b"three again", CLOSED)
    core.receive(Link.LOCAL, "", lost, 2.5)
    core.settle(2.5)
    assert held(core).keys() == {P1, P2}


def test_what_waited_and_is_suspected_by_none_is_forgotten() -> None:
    core = make_core()
    let_it_wait(core)
    ask(core, ClientWaits(CLIENT, is_waiting=False), 1.0, peer=b"three")
    lose_three(core, 2.0)
    unadmitted = core._contacts.unadmitted
    assert unadmitted.released
    assert unadmitted.are_clients_waiting()

    core.tick(2.0 + CONFIG.lease_seconds)
    assert not unadmitted.released
    assert not unadmitted.are_clients_waiting()


def test_a_turn_with_news_looks_at_nothing_that_waits_for_a_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = make_core()
    let_it_wait_alone(core, P1, P2)
    looks: list[object] = []
    monkeypatch.setattr(core._placement, "is_primary", lambda name: looks.append(name) or True)

    ask(core, WritesWait(), 2.0, peer=TWO)
    ask(core, CompareDigest(7, 0, 0), 2.0, peer=TWO)
    core._suspicions.take_due(2.0)
    core._suspicions.forget(b"a stranger")
    assert looks == []
    assert len(core._suspicions) == 2


def test_a_session_that_connects_again_as_a_member_has_the_writes_of_who_waited() -> None:
    core = make_core()
    let_it_wait_alone(core, P1)
    lose_three(core, 2.0)
    ask(core, NodeHello(S3), 2.1, peer=b"three again")
    core.settle(2.1)
    assert P1 in held(core)
    ask(core, CompareDigest(7, 0, 0), 2.2, peer=b"three again")
    core.settle(2.2)
    assert P1 not in held(core)


def test_a_session_names_who_waits_before_it_says_that_it_is_no_member_any_more() -> None:
    core = make_core()
    ask(core, WritesWait(), 0.5, peer=TWO)
    suspect(core, P1, 1.0)
    for peer, number in calls(core, 1.0).items():
        answer(core, number, 1.1, peer=peer)
    ask(core, ClientWaits(CLIENT), 1.2, peer=TWO)
    ask(core, NodeHello(S2, Role.SESSION, is_member=False), 1.2, peer=TWO)
    for peer, number in calls(core, 1.2).items():
        answer(core, number, 1.3, peer=peer)
    core.settle(1.3)
    assert P1 in held(core)


def test_a_suspicion_waits_for_a_client_no_longer_than_the_grace() -> None:
    core = make_core()
    let_it_wait_alone(core, P1)
    suspect(core, P2, 3.0)
    for peer, number in calls(core, 3.0).items():
        answer(core, number, 3.1, peer=peer)
    core.settle(3.1)

    core.settle(0.9 + GRACE)
    assert held(core).keys() == {P1, P2}
    core.settle(1.0 + GRACE)
    assert held(core).keys() == {P2}, "it waits for its own grace"
    core.settle(3.0 + GRACE)
    assert held(core).keys() == set()


def test_one_client_that_waits_no_more_costs_no_look_at_all_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = make_core()
    let_it_wait_alone(core, P1, P2)
    ask(core, ClientWaits(b"another client"), 2.0, peer=b"three")
    core.settle(2.0)
    looks: list[object] = []
    placement = core._placement
    monkeypatch.setattr(placement, "is_primary", lambda name: looks.append(name) or True)

    ask(core, ClientWaits(b"another client", is_waiting=False), 2.1, peer=b"three")
    ask(core, ClientWaits(b"a third client", is_waiting=False), 2.1, peer=b"three")
    core._suspicions.take_due(2.1)
    assert looks == []
    ask(core, ClientWaits(CLIENT, is_waiting=False), 2.2, peer=b"three")
    assert len(core._suspicions.take_due(2.2)) == 1


def test_what_waits_for_a_client_is_dropped_with_the_connection_of_the_suspecting_session() -> None:
    core = make_core()
    let_it_wait_alone(core, P1)
    assert core.statistics()["suspicions"] == 1

    core.receive(Link.LOCAL, "", PeerLost(Link.REQUESTS, ONE, CLOSED), 2.0)
    assert core.statistics()["suspicions"] == 0
    ask(core, ClientWaits(CLIENT, is_waiting=False), 2.0, peer=b"three")
    core.settle(1.0 + GRACE)
    assert P1 in held(core)


def test_a_session_names_no_more_clients_than_a_session_accepts() -> None:
    core = DataCore(ME, replace(CONFIG, clients_max=2), rng=NoJitter(), now=0.0)
    ask(core, UNADMITTED, 0.5, peer=b"three")
    for client_id in (b"a", b"b", b"a"):
        assert ask(core, ClientWaits(client_id), 0.5, peer=b"three") == []

    (refused,) = ask(core, ClientWaits(b"c"), 0.5, peer=b"three")
    assert refused.message.code == LimitError.code
    assert core.statistics()["refusals"] == 1


def test_a_departed_session_that_says_nothing_of_it_is_not_called() -> None:
    """It is stopped, or cut off, and serves no client."""
    core = make_core()
    ask(core, NodeHello(S3), 0.5, peer=b"three")
    suspect(core, P1, 1.0)

    assert calls(core, 1.0) == {ONE: 1, TWO: 2}


def test_a_session_that_never_answers_delays_a_suspicion_for_the_grace_at_most() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    core.settle(1.0)

    core.settle(GRACE + 0.9)
    assert P1 in held(core)
    core.settle(GRACE + 1.0)
    assert P1 not in held(core)


def test_many_suspicions_cost_one_call_for_each_session() -> None:
    core = make_core()
    for _ in range(100):
        suspect(core, P1, 1.0)

    assert calls(core, 1.0) == {ONE: 1, TWO: 2}
    assert [calls(core, 1.0) for _ in range(5)] == 5 * [{}]


def test_a_frozen_session_costs_no_look_at_all_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn, and each answer of another session, looks at the first of each session."""
    core = make_core()
    follow(core, membership(*BOTH, session(S3), epoch=8), 0.5)
    ask(core, NodeHello(S3), 0.5, peer=b"three")
    for _ in range(1000):
        suspect(core, P1, 1.0)
    called = calls(core, 1.0)
    looks = 0
    have_answered = RollCalls.have_answered

    def counted(self: RollCalls, since: float, suspecting: Incarnation | None) -> bool:
        nonlocal looks
        looks += 1
        return have_answered(self, since, suspecting)

    monkeypatch.setattr(RollCalls, "have_answered", counted)
    for number in range(10):
        suspect(core, P2, 1.1 + number)
        answer(core, called.pop(TWO), 1.2 + number)
        called = calls(core, 1.2 + number)
    assert core.statistics()["suspicions"] == 1010
    assert looks < 50


def test_the_last_answer_of_a_roll_is_news() -> None:
    """Before it, nothing that waits can be judged."""
    contacts = SessionContacts(CONFIG)
    contacts.follow(membership(*BOTH, session(S3)), 0.0)
    for peer, each in ((ONE, S1), (TWO, S2), (b"three", S3)):
        contacts.on_node_hello(peer, each, 0.0)
    roll_calls = RollCalls(contacts, 3.0)
    assert len(roll_calls.call(1.0, 1.0)) == 3

    news = []
    for peer, number in ((TWO, 2), (ONE, 1), (ONE, 1), (b"three", 3)):
        roll_calls.on_present(peer, number)
        news.append((roll_calls.news_count, roll_calls.have_answered(1.0, S3)))
    assert news == [(0, False), (1, True), (1, True), (2, True)]
    assert roll_calls.have_answered(1.0, S1)
    assert not roll_calls.have_answered(1.1, S1)
