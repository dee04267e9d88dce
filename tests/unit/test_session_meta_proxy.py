"""Requests of commands: passed on to the leader of meta, answered in bounded time."""

from collections.abc import Sequence
from random import Random

import pytest
from msgspec.structs import replace
from session_fakes import (
    ALICE,
    BOB,
    CONFIG,
    D1,
    META,
    Session,
    at_clients,
    make_member,
    to_client,
)

from zreg.effects import Connect, Disconnect, Effect, Link, Local, PeerLost, PeerSlow, PeerUp, Send
from zreg.errors import (
    ForeignClusterError,
    LimitError,
    NotLeaderError,
    NotReadyError,
    UnknownNodeError,
    VersionMismatchError,
)
from zreg.model import Role
from zreg.session.core import SessionCore
from zreg.session.proxy.meta_proxy import MetaRequest
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import Drain, SetReplicaCount
from zreg.wire.records.meta_messages import AddMeta, FetchMetaNodes, MetaNodesReply, RemoveMeta
from zreg.wire.records.settings_messages import FetchSettings, SetSetting, Setting, SettingsReply

CHANGE = SetSetting(77, "a", "1", 4, b"i" * 16)
READ = FetchSettings(78, "a*", "after")
REPLY = (Setting("a", "1", 5),)
LEADER = "tcp://leader:9610"
SECONDS_MAX = 1.5


def passed_on(effects: Sequence[Effect], meta: str = META) -> list[MetaRequest]:
    """Return the requests among these effects that go to meta."""
    return [
        effect.message
        for effect in effects
        if isinstance(effect, Send)
        and (effect.link, effect.peer) == (Link.META, meta)
        and isinstance(effect.message, MetaRequest)
    ]


def answers(session: Session, message: Message, meta: str = META) -> list[Effect]:
    """Let meta answer."""
    return session.turn(Link.META, meta, message)


def refusals(effects: Sequence[Effect]) -> list[Refused]:
    return [e.message for e in effects if isinstance(e, Send) and isinstance(e.message, Refused)]


def test_a_change_is_passed_on_unchanged_and_answered_under_the_id_of_its_client() -> None:
    """The client needs no Hello, and no connection to meta."""
    session = Session(D1)

    (change,) = passed_on(session.says(ALICE, CHANGE))

    assert isinstance(change, SetSetting)
    assert (change.name, change.value, change.if_version) == ("a", "1", 4)
    assert change.change_id == CHANGE.change_id
    reply = SettingsReply(change.request_id, REPLY)
    assert answers(session, reply) == to_client(ALICE, SettingsReply(77, REPLY))


def test_meta_answers_each_read() -> None:
    """A session stores no settings, so a read is as new as meta's answer to it."""
    session = Session(D1)
    for _ in range(2):
        (read,) = passed_on(session.says(ALICE, READ))

        assert isinstance(read, FetchSettings)
        assert (read.pattern, read.after) == ("a*", "after")
        reply = SettingsReply(read.request_id, REPLY, is_complete=False)
        assert answers(session, reply) == to_client(
            ALICE, SettingsReply(78, REPLY, is_complete=False)
        )


@pytest.mark.parametrize(
    "request_",
    [AddMeta(77, "m4", "tcp://m4:9611", 5), RemoveMeta(77, "m4", 5)],
    ids=["add", "remove"],
)
def test_nodes_of_meta_are_added_and_removed_through_a_session(
    request_: AddMeta | RemoveMeta,
) -> None:
    session = Session(D1)

    (passed,) = passed_on(session.says(ALICE, request_))

    assert replace(passed, request_id=77) == request_
    assert answers(session, Accepted((passed.request_id, 99))) == []
    assert answers(session, Accepted((99,))) == []
    assert answers(session, Accepted((passed.request_id,))) == to_client(ALICE, Accepted((77,)))


def test_a_data_node_is_drained_through_a_session() -> None:
    session = Session(D1)
    request = Drain(77, "d1", b"cluster", 4)

    (passed,) = passed_on(session.says(ALICE, request))

    assert replace(passed, request_id=77) == request
    no = Refused(passed.request_id, UnknownNodeError.code, "no node with the id 'd1'")
    assert answers(session, no) == to_client(ALICE, replace(no, request_id=77))


def test_the_number_of_copies_is_changed_through_a_session() -> None:
    session = Session(D1)

    (passed,) = passed_on(session.says(ALICE, SetReplicaCount(77, 2, b"cluster")))

    assert replace(passed, request_id=77) == SetReplicaCount(77, 2, b"cluster")
    accepted = Accepted((passed.request_id,))
    assert answers(session, accepted) == to_client(ALICE, Accepted((77,)))


def test_the_nodes_of_meta_are_shown_through_a_session() -> None:
    session = Session(D1)

    (passed,) = passed_on(session.says(ALICE, FetchMetaNodes(77)))

    reply = MetaNodesReply(passed.request_id, 3, 9, 5, ())
    assert answers(session, reply) == to_client(ALICE, MetaNodesReply(77, 3, 9, 5, ()))


def test_a_refusal_of_meta_is_passed_back() -> None:
    session = Session(D1)
    (change,) = passed_on(session.says(ALICE, CHANGE))

    no = Refused(change.request_id, VersionMismatchError.code, "a is at version 9")

    assert answers(session, no) == to_client(
        ALICE, Refused(77, VersionMismatchError.code, "a is at version 9")
    )


def test_each_answer_reaches_the_client_that_asked() -> None:
    session = Session(D1)
    (first,) = passed_on(session.says(ALICE, READ))
    (second,) = passed_on(session.says(BOB, READ))

    assert first.request_id != second.request_id
    assert answers(session, SettingsReply(second.request_id, REPLY)) == to_client(
        BOB, SettingsReply(78, REPLY)
    )
    assert answers(session, SettingsReply(first.request_id, ())) == to_client(
        ALICE, SettingsReply(78, ())
    )


def test_ids_are_never_those_of_the_session_s_own_requests_to_meta() -> None:
    """Otherwise an answer to one would be taken for an answer to the other."""
    session = Session(D1)
    ids: list[int] = []
    for _ in range(3):
        effects = session.says(ALICE, READ)
        session.now += CONFIG.renew_seconds
        effects += session.core.tick(session.now)
        ids += [
            e.message.request_id  # type: ignore[attr-defined]
            for e in effects
            if isinstance(e, Send) and e.link is Link.META
        ]

    assert len(ids) == 6
    assert len(set(ids)) == 6


# --- answers to no request ------------------------------------------------------------------------


def test_answers_that_come_twice_or_late_or_from_another_node_are_ignored() -> None:
    session = Session(D1)
    (read,) = passed_on(session.says(ALICE, READ))
    reply = SettingsReply(read.request_id, REPLY)

    assert answers(session, SettingsReply(999, REPLY)) == []
    assert answers(session, reply, meta=LEADER) == []
    assert session.turn(Link.MEMBERSHIP, META, reply) == []
    assert answers(session, reply) == to_client(ALICE, SettingsReply(78, REPLY))
    assert answers(session, reply) == []


def test_the_requests_of_a_client_that_is_gone_are_dropped() -> None:
    session = Session(D1)
    (mine,) = passed_on(session.says(ALICE, CHANGE))
    (other,) = passed_on(session.says(BOB, READ))

    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert answers(session, SettingsReply(mine.request_id, REPLY)) == []
    assert answers(session, SettingsReply(other.request_id, REPLY)) == to_client(
        BOB, SettingsReply(78, REPLY)
    )
    assert at_clients(session.wait(2 * SECONDS_MAX)) == []


@pytest.mark.parametrize("code", [UnknownNodeError.code, ForeignClusterError.code])
@pytest.mark.parametrize("is_lost", [True, False], ids=["client gone", "too late"])
def test_a_late_refusal_of_a_client_s_request_does_not_concern_the_session(
    *, code: int, is_lost: bool
) -> None:
    """As an answer to the session itself it would mean that the session has to join again."""
    session = Session(D1)
    incarnation = session.core._cluster_member.incarnation
    (passed,) = passed_on(session.says(ALICE, Drain(77, "d9")))
    if is_lost:
        session.local(PeerLost(Link.CLIENTS, ALICE))
    else:
        session.wait(SECONDS_MAX + 0.01)

    assert answers(session, Refused(passed.request_id, code, "no")) == []
    assert session.core._cluster_member.incarnation == incarnation is not None
    assert session.core._meta_proxy._given_up == {}


def test_requests_that_were_given_up_are_forgotten_with_their_leader() -> None:
    session = Session(D1)
    session.says(ALICE, Drain(77, "d9"))
    session.local(PeerLost(Link.CLIENTS, ALICE))
    assert len(session.core._meta_proxy._given_up) == 1

    session.local(PeerLost(Link.META, META, "closed"))

    assert session.core._meta_proxy._given_up == {}


def test_a_session_moves_to_the_leader_that_a_late_refusal_names() -> None:
    session = Session(D1)
    (passed,) = passed_on(session.says(ALICE, Drain(77, "d9")))
    session.local(PeerLost(Link.CLIENTS, ALICE))

    moved = answers(session, Refused(passed.request_id, NotLeaderError.code, "no", address=LEADER))

    assert moved == [Disconnect(Link.META, META), Connect(Link.META, LEADER, LEADER)]


def test_the_requests_that_were_given_up_are_bounded() -> None:
    session = Session(D1)
    for number in range(1100):
        session.says(ALICE, Drain(number, "d9"))
        session.local(PeerLost(Link.CLIENTS, ALICE))

    assert len(session.core._meta_proxy._given_up) == 1000


def test_the_requests_of_a_peer_that_is_slow_are_answered() -> None:
    session = Session(D1)
    (mine,) = passed_on(session.says(ALICE, CHANGE))

    assert session.local(PeerSlow(Link.CLIENTS, ALICE)) == []

    assert answers(session, SettingsReply(mine.request_id, REPLY)) == to_client(
        ALICE, SettingsReply(77, REPLY)
    )


# --- trouble on the way ---------------------------------------------------------------------------


def test_a_meta_node_that_does_not_lead_sends_the_session_and_the_request_to_the_leader() -> None:
    session = Session(D1)
    (first,) = passed_on(session.says(ALICE, CHANGE))

    moved = answers(session, Refused(first.request_id, NotLeaderError.code, "no", address=LEADER))

    assert moved == [Disconnect(Link.META, META), Connect(Link.META, LEADER, LEADER)]
    (again,) = passed_on(session.be_admitted(LEADER), LEADER)
    assert isinstance(again, SetSetting)
    assert again.request_id > first.request_id
    assert again.change_id == CHANGE.change_id, "or it might happen twice"
    assert answers(session, SettingsReply(first.request_id, ()), LEADER) == []
    assert answers(session, SettingsReply(again.request_id, REPLY), LEADER) == to_client(
        ALICE, SettingsReply(77, REPLY)
    )


def test_a_request_under_way_when_the_connection_is_lost_is_sent_again_over_the_next() -> None:
    session = Session(D1)
    session.says(ALICE, CHANGE)
    session.says(BOB, READ)

    session.local(PeerLost(Link.META, META, "closed"))
    session.wait(CONFIG.reconnect_seconds_min)
    again = passed_on(session.be_admitted())

    assert [type(request) for request in again] == [SetSetting, FetchSettings]
    assert answers(session, SettingsReply(again[0].request_id, REPLY)) == to_client(
        ALICE, SettingsReply(77, REPLY)
    )
    assert answers(session, SettingsReply(again[1].request_id, REPLY)) == to_client(
        BOB, SettingsReply(78, REPLY)
    )


def test_while_meta_is_away_a_request_waits_for_it() -> None:
    session = Session(D1)
    session.local(PeerLost(Link.META, META, "closed"))

    assert session.says(ALICE, READ) == []

    session.wait(CONFIG.reconnect_seconds_min)
    (read,) = passed_on(session.be_admitted())
    assert answers(session, SettingsReply(read.request_id, REPLY)) == to_client(
        ALICE, SettingsReply(78, REPLY)
    )


def test_a_meta_node_that_hangs_is_left_and_the_request_is_sent_again() -> None:
    """The session notices in time for a request that came after the meta node began to hang."""
    session = Session(D1)
    session.now += 1.0
    session.core.tick(session.now)
    (first,) = passed_on(session.says(ALICE, CHANGE))
    assert first
    effects: list[Effect] = []
    while not any(isinstance(effect, Connect) for effect in effects):
        session.now += 0.05
        effects += session.core.tick(session.now)

    assert Disconnect(Link.META, META) in effects
    assert refusals(effects) == []
    assert len(passed_on(session.be_admitted())) == 1


# --- time and number ------------------------------------------------------------------------------


ADVICE_SENT = (
    "the change may have been made; look (`zreg settings get`, `zreg meta ls`), then try again"
)


@pytest.mark.parametrize(
    ("request_", "advice"),
    [
        pytest.param(CHANGE, ADVICE_SENT, id="change"),
        pytest.param(READ, "try again", id="read"),
        pytest.param(RemoveMeta(79, "m4", 5), ADVICE_SENT, id="remove"),
        pytest.param(FetchMetaNodes(80), "try again", id="nodes"),
        pytest.param(Drain(81, "d1"), "try again", id="drain"),
        pytest.param(SetReplicaCount(82, 2), "try again", id="replica-count"),
    ],
)
def test_an_answer_that_does_not_come_is_refused_in_time(
    request_: MetaRequest, advice: str
) -> None:
    session = Session(D1)
    began = session.now
    (passed,) = passed_on(session.says(ALICE, request_))

    assert at_clients(session.wait(SECONDS_MAX - 0.01)) == []
    detail = f"meta does not answer: {advice}"
    assert at_clients(session.wait(0.02)) == to_client(
        ALICE, Refused(request_.request_id, NotReadyError.code, detail)
    )

    assert session.now - began < SECONDS_MAX + 0.05
    assert answers(session, SettingsReply(passed.request_id, REPLY)) == [], "too late"


def test_the_refusal_says_why_meta_is_not_reached() -> None:
    session = Session(D1)
    reason = "meta has no leader: 2 of its 3 nodes must run"
    renewal = Refused(2, NotLeaderError.code, reason)
    answers(session, renewal)
    session.says(ALICE, CHANGE)

    (refused,) = refusals(session.wait(SECONDS_MAX + 0.01))

    assert refused.code == NotReadyError.code
    assert reason in refused.detail
    assert refused.detail.endswith(": try again"), "it never left"


def test_a_long_reason_is_cut_before_the_advice() -> None:
    session = Session()
    session.local(PeerLost(Link.META, META, "x" * 600))
    session.says(ALICE, READ)
    (refused,) = refusals(session.wait(SECONDS_MAX + 0.01))
    assert len(refused.detail) == 500
    assert refused.detail.endswith(": try again")


def test_a_session_that_never_reached_meta_says_so() -> None:
    core = SessionCore(make_member("s1", 0, Role.SESSION), CONFIG, rng=Random(1), now=0.0)
    core.tick(0.0)
    assert core.receive(Link.CLIENTS, ALICE, READ, 0.0) == []

    effects = core.tick(SECONDS_MAX)

    detail = "meta is not connected yet: try again"
    assert effects == to_client(ALICE, Refused(78, NotReadyError.code, detail))


def test_requests_end_in_the_order_in_which_they_came_also_when_they_were_sent_again() -> None:
    session = Session(D1)
    session.says(ALICE, READ)
    session.wait(0.5)
    session.local(PeerLost(Link.META, META, "closed"))
    session.says(BOB, READ)
    session.wait(CONFIG.reconnect_seconds_min)
    session.be_admitted()

    told = at_clients(session.wait(2 * SECONDS_MAX))

    assert [effect.peer for effect in told if isinstance(effect, Send)] == [ALICE, BOB]


def test_the_requests_of_one_client_are_bounded() -> None:
    session = Session(D1)
    for _ in range(10):
        assert len(passed_on(session.says(ALICE, READ))) == 1

    detail = "too many requests are under way to meta: wait for the answers to some"
    assert session.says(ALICE, READ) == to_client(ALICE, Refused(78, LimitError.code, detail))
    assert len(passed_on(session.says(BOB, READ))) == 1


def test_the_requests_of_all_clients_are_bounded_also_while_meta_is_away() -> None:
    session = Session(D1)
    session.local(PeerLost(Link.META, META, "closed"))
    for number in range(100):
        assert session.says(number.to_bytes(5), READ) == []

    (refused,) = refusals(session.says(ALICE, READ))

    assert refused.code == LimitError.code
    session.wait(SECONDS_MAX + 0.1)
    assert session.says(ALICE, READ) == [], "those have ended"


@pytest.mark.parametrize("event", [PeerLost(Link.META, LEADER), PeerUp(Link.META, LEADER)])
def test_other_connections_change_nothing(event: Local) -> None:
    session = Session(D1)
    (read,) = passed_on(session.says(ALICE, READ))

    assert session.local(event) == []
    assert answers(session, SettingsReply(read.request_id, REPLY)) == to_client(
        ALICE, SettingsReply(78, REPLY)
    )


def test_a_change_that_no_meta_node_took_is_not_in_doubt() -> None:
    """A meta node that does not lead says so, and has done nothing."""
    session = Session(D1)
    (change,) = passed_on(session.says(ALICE, CHANGE))
    answers(
        session, Refused(change.request_id, NotLeaderError.code, "meta has no leader: start m2")
    )

    (no,) = refusals(at_clients(session.wait(SECONDS_MAX + 0.1)))

    assert no.detail == (
        "meta is away: s1 does not reach its leader (meta:9610: meta has no leader: start m2): "
        "try again"
    )


def test_a_change_that_was_lost_on_the_way_once_stays_in_doubt() -> None:
    session = Session(D1)
    session.says(ALICE, CHANGE)
    session.local(PeerLost(Link.META, META, "closed"))
    session.wait(CONFIG.reconnect_seconds_min)
    (again,) = passed_on(session.be_admitted())
    answers(session, Refused(again.request_id, NotLeaderError.code, "no leader"))

    (no,) = refusals(at_clients(session.wait(SECONDS_MAX + 0.1)))

    assert no.detail.endswith(
        "the change may have been made; look (`zreg settings get`, `zreg meta ls`), then try again"
    )


def test_a_meta_node_that_may_not_lead_is_sent_no_request() -> None:
    """It would pass the request on, and the answer may be lost."""
    session = Session(D1)
    session.local(PeerLost(Link.META, META, "closed"))
    session.says(ALICE, CHANGE)
    session.wait(CONFIG.reconnect_seconds_min)

    assert passed_on(session.local(PeerUp(Link.META, META))) == []
