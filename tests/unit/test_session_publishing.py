"""What clients publish is accepted once it is true, and a repeated request is done once."""

import pytest
from msgspec.structs import replace
from session_client_fakes import (
    FOUR,
    GRACE,
    THREE,
    WELCOME,
    changes_and_logs,
    make_session,
    publish,
    published,
    refused,
    removal,
    removed_log,
    unpublish,
)
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    CONFIG,
    D1,
    META,
    ONE,
    PAY,
    SHOP,
    TWO,
    Session,
    at_clients,
    make_membership,
    make_publisher,
    to_client,
    to_data,
)

from zreg.config import Limits
from zreg.effects import (
    WARNING,
    Effect,
    Link,
    Local,
    Log,
    PeerLost,
    Send,
)
from zreg.errors import (
    LimitError,
    NotReadyError,
    RefusedError,
)
from zreg.model import NO_INCARNATION, Cause
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    Bye,
    Hello,
    Publish,
    ReplayDone,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.data_messages import CompareDigest, PublishDatum, WritesWait

# --- publishing -----------------------------------------------------------------------------------


def test_a_publish_is_accepted_once_its_data_node_has_accepted_it() -> None:
    """The session answers nothing before the data node does."""
    session = make_session()
    session.greet(ALICE)

    assert session.says(ALICE, publish(11)) == to_data(D1, PublishDatum(1, PAY, ONE))
    assert at_clients(session.wait(0.9)) == []
    assert session.hears("d9@9", Accepted((1,))) == []
    assert session.hears(D1, Accepted((1,))) == to_client(ALICE, Accepted((11,)))
    assert session.hears(D1, Accepted((1,))) == []


def test_the_accepted_requests_of_a_turn_are_joined_in_one_message() -> None:
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(11), publish(12, TWO))

    answers = session.hears(D1, Accepted((1,)), Accepted((2,)))

    assert answers == to_client(ALICE, Accepted((11, 12)))


def test_a_publisher_carries_the_labels_of_its_client_and_the_session_that_answers_for_it() -> None:
    session = make_session()
    hello = Hello(PROTOCOL_VERSION, ALICE_ID, "shop", "z9", "dc9")
    session.says(ALICE, hello)

    publisher = make_publisher(1, zone="z9", data_center="dc9", app="shop")
    assert session.says(ALICE, publish(1)) == to_data(D1, PublishDatum(1, PAY, publisher))


def test_a_publish_that_comes_twice_is_sent_once_and_the_newest_request_is_answered() -> None:
    """A client waits for the answer to its newest request only."""
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(11))

    assert session.says(ALICE, publish(12)) == []

    assert session.hears(D1, Accepted((1,))) == to_client(ALICE, Accepted((12,)))


def test_a_repeated_publish_that_is_accepted_already_is_accepted_at_once() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    assert session.says(ALICE, publish(12)) == to_client(ALICE, Accepted((12,)))


def test_an_older_version_that_comes_late_changes_nothing() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session, ALICE, make_publisher(1, version=3))

    assert session.says(ALICE, publish(12, make_publisher(1, version=2))) == []
    assert session.says(ALICE, unpublish(13, make_publisher(1, version=2))) == []

    assert changes_and_logs(session.wait(0.5)) == []


def test_a_publisher_id_of_another_client_is_refused() -> None:
    session = make_session()
    session.greet(ALICE)
    session.greet(BOB)
    published(session)

    newer = make_publisher(1, version=2)
    detail = "this publisher id belongs to another client or data id: use a new id"
    assert session.says(BOB, publish(7, newer)) == to_client(BOB, refused(7, RefusedError, detail))
    detail = "this publisher id belongs to another client: withdraw it there"
    answer = to_client(BOB, refused(8, RefusedError, detail))
    assert session.says(BOB, unpublish(8, newer)) == answer
    assert session.says(ALICE, publish(9)) == to_client(ALICE, Accepted((9,)))
    assert session.says(BOB, Bye()) == [removed_log(BOB_ID, "bye", 0)]


def test_a_publisher_id_stays_with_its_datum() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    detail = "this publisher id belongs to another client or data id: use a new id"
    moved = Publish(7, ONE.publisher_id, 2, SHOP, b"")
    assert session.says(ALICE, moved) == to_client(ALICE, refused(7, RefusedError, detail))


def test_one_client_publishes_within_a_limit() -> None:
    session = make_session(publishers_per_client_max=1)
    session.greet(ALICE)
    published(session)
    detail = "one client publishes at most 1 times: use several clients"

    answer = to_client(ALICE, refused(7, LimitError, detail))
    assert session.says(ALICE, publish(7, TWO)) == answer
    newer = make_publisher(1, version=2)
    assert session.says(ALICE, publish(8, newer)) == to_data(D1, PublishDatum(2, PAY, newer))


# --- unpublishing ---------------------------------------------------------------------------------


def test_an_unpublish_is_accepted_when_the_data_node_has_done_it() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    assert session.says(ALICE, unpublish(12)) == removal(2, Cause.UNPUBLISHED)
    assert session.hears(D1, Accepted((2,))) == to_client(ALICE, Accepted((12,)))


def test_an_unpublish_of_an_unknown_publisher_is_sent_to_the_data_node() -> None:
    """Another session registered it, or this unpublish was accepted already."""
    session = make_session()
    session.greet(ALICE)

    for request_id in (1, 2):
        effects = session.says(ALICE, unpublish(12))
        assert effects == removal(
            request_id, Cause.UNPUBLISHED, replace(ONE, session=NO_INCARNATION)
        )
        assert session.hears(D1, Accepted((request_id,))) == to_client(ALICE, Accepted((12,)))


def test_an_unpublish_that_comes_twice_is_sent_once_and_the_newest_request_is_answered() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.says(ALICE, unpublish(12))

    assert session.says(ALICE, unpublish(13)) == []

    assert session.hears(D1, Accepted((2,))) == to_client(ALICE, Accepted((13,)))


def test_a_client_that_unpublishes_what_it_was_suspected_of_says_so_to_the_data_node() -> None:
    """A data node may ignore a suspicion, and has to take what the client itself says."""
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.local(PeerLost(Link.CLIENTS, ALICE))
    assert removal(2, Cause.CLOSED)[0] in session.wait(GRACE)

    effects = session.greet(BOB, unpublish(12), client_id=ALICE_ID)

    assert effects[1:] == removal(3, Cause.UNPUBLISHED)


def test_an_unpublish_goes_up_to_the_version_that_the_client_had_at_another_session() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    newest = make_publisher(1, version=5)

    assert session.says(ALICE, unpublish(12, newest)) == removal(2, Cause.UNPUBLISHED, newest)
    assert session.says(ALICE, publish(13, make_publisher(1, version=4))) == []


def test_a_late_publish_does_not_undo_its_unpublish() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.says(ALICE, unpublish(12))

    assert session.says(ALICE, publish(13)) == []

    assert session.hears(D1, Accepted((2,))) == to_client(ALICE, Accepted((12,)))


# --- refusals and connections in the middle -------------------------------------------------------

NO = Refused(1, LimitError.code, "too many", 3)


def test_a_final_refusal_is_passed_on_and_the_publisher_forgotten() -> None:
    session = make_session(publishers_per_client_max=1)
    session.greet(ALICE)
    session.says(ALICE, publish(11))

    assert session.hears(D1, NO) == to_client(ALICE, Refused(11, LimitError.code, "too many"))

    assert session.hears(D1, NO) == []
    assert session.says(ALICE, publish(12, TWO)) == to_data(D1, PublishDatum(2, PAY, TWO))


def test_a_final_refusal_after_an_acceptance_has_the_client_publish_again() -> None:
    """The client must not go on believing that it is registered; a refusal names a request."""
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(11))
    session.hears(D1, Accepted((1,)))
    session.core._data.registrations.resend([ONE.publisher_id])
    assert changes_and_logs(session.settle()) == to_data(D1, PublishDatum(2, PAY, ONE))

    full = Refused(2, LimitError.code, "full", 3)
    assert session.hears(D1, full) == to_client(ALICE, WhoAreYou())

    assert session.core.statistics()["publishers"] == 0
    assert session.core.statistics()["publishes_refused"] == 1
    newer = make_publisher(version=2)
    assert session.says(ALICE, publish(12, newer)) == to_data(D1, PublishDatum(3, PAY, newer))
    full = Refused(3, LimitError.code, "full", 3)
    assert session.hears(D1, full) == to_client(ALICE, Refused(12, LimitError.code, "full"))


def test_a_final_refusal_while_the_client_is_disconnected_leaves_nothing_behind() -> None:
    session = make_session(publishers_per_client_max=1)
    session.greet(ALICE, publish(11))
    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert session.hears(D1, NO) == []

    assert session.greet(BOB, publish(12, TWO), client_id=ALICE_ID) == [
        *to_client(BOB, WELCOME),
        *to_data(D1, PublishDatum(2, PAY, TWO)),
    ]


def test_a_final_refusal_during_a_replay_leaves_nothing_to_withdraw() -> None:
    session = make_session()
    session.greet(ALICE, publish(11))
    session.greet(ALICE)
    session.hears(D1, NO)

    assert session.says(ALICE, ReplayDone()) == []


def test_a_final_refusal_for_a_client_that_is_gone_is_not_passed_on() -> None:
    session = make_session()
    session.greet(ALICE, publish(11), Bye())

    assert session.hears(D1, Refused(1, LimitError.code, "too many", 3)) == []


def test_a_transient_refusal_is_not_passed_on() -> None:
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(11))

    assert session.hears(D1, Refused(1, NotReadyError.code, "later", 3)) == []
    assert changes_and_logs(session.wait(0.2)) == to_data(D1, PublishDatum(2, PAY, ONE))
    assert session.hears(D1, Accepted((2,))) == to_client(ALICE, Accepted((11,)))


def test_an_answer_goes_to_the_connection_that_the_client_has_now() -> None:
    session = make_session()
    session.greet(ALICE, publish(11))
    session.local(PeerLost(Link.CLIENTS, ALICE))
    session.greet(BOB, client_id=ALICE_ID)

    assert session.hears(D1, Accepted((1,))) == to_client(BOB, Accepted((11,)))


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_answer_to_a_client_without_a_connection_is_dropped(*, is_gone: bool) -> None:
    session = make_session()
    session.greet(ALICE, publish(11))
    session.local(PeerLost(Link.CLIENTS, ALICE))
    if is_gone:
        session.wait(GRACE)

    assert session.hears(D1, Accepted((1, 2))) == []


# --- publishes that wait --------------------------------------------------------------------------


def delayed(reason: str) -> Log:
    return Log(WARNING, "session.publish.delayed", {"reason": reason})


def test_a_repeated_publish_is_told_which_data_node_is_not_reached() -> None:
    session = Session(D1)
    session.go_down(D1)
    assert session.greet(ALICE, publish(1))[1:] == []

    reason = f"the session does not reach {D1}, which owns this id"
    why = f"not accepted yet, but stored: {reason}"
    assert session.says(ALICE, publish(2)) == [
        delayed(reason),
        *to_client(ALICE, refused(2, NotReadyError, why)),
    ]

    session.local(PeerLost(Link.META, META, "refused"))
    (no,) = session.says(ALICE, publish(3))
    assert no.message.detail == (  # type: ignore[attr-defined]
        f"{why}, and meta is away: s1 does not reach its leader (meta:9610: refused)"
    )


def test_a_repeated_publish_is_told_that_no_data_node_works() -> None:
    session = Session()
    session.join(make_membership())
    session.greet(ALICE, publish(1))

    reason = "no data node is WORKING"
    why = f"not accepted yet, but stored: {reason}"
    assert session.says(ALICE, publish(2)) == [
        delayed(reason),
        *to_client(ALICE, refused(2, NotReadyError, why)),
    ]


def test_publishes_that_wait_are_logged_once_a_minute_and_all_counted() -> None:
    session = Session()
    session.join(make_membership())
    session.greet(ALICE, publish(1))
    session.says(ALICE, publish(2))

    session.now += 59.9
    assert [type(e) for e in session.says(ALICE, publish(3))] == [Send]
    session.now += 0.1
    assert [type(e) for e in session.says(ALICE, publish(4))] == [Log, Send]
    assert session.core.statistics()["publishes_delayed"] == 3


def test_a_repeated_publish_that_is_under_way_gets_no_answer_yet() -> None:
    session = Session(D1)
    session.greet(ALICE, publish(1))

    assert session.says(ALICE, publish(2)) == []


def waits_told(effects: list[Effect]) -> list[type[Message]]:
    """Return what data nodes are told of the session's writes, in order."""
    kinds = (WritesWait, CompareDigest)
    messages = [effect.message for effect in effects if isinstance(effect, Send)]
    return [type(message) for message in messages if isinstance(message, kinds)]


def digests_say(effects: list[Effect]) -> list[bool]:
    """Return what digests say of whether writes wait, in order."""
    messages = [effect.message for effect in effects if isinstance(effect, Send)]
    return [each.do_writes_wait for each in messages if isinstance(each, CompareDigest)]


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients wait for answers after two publications."""
    monkeypatch.setattr(Limits, "client_window", 2)


@pytest.mark.usefixtures("window")
def test_data_nodes_hold_suspicions_while_a_client_replays_more_than_its_window() -> None:
    """Its former session may suspect it, and it waits for answers before it publishes the rest."""
    session = make_session()
    session.greet(ALICE)

    assert waits_told(session.says(ALICE, publish(1))) == []
    assert waits_told(session.says(ALICE, publish(2, TWO))) == [WritesWait]
    assert waits_told(session.says(ALICE, publish(3, THREE))) == []
    assert waits_told(session.says(ALICE, ReplayDone())) == [CompareDigest]
    assert waits_told(session.says(ALICE, publish(4, FOUR))) == []


@pytest.mark.usefixtures("window")
def test_a_replay_that_comes_in_one_turn_tells_data_nodes_nothing() -> None:
    session = make_session()
    session.greet(ALICE)

    assert waits_told(session.says(ALICE, publish(1), publish(2, TWO), ReplayDone())) == []


@pytest.mark.usefixtures("window")
@pytest.mark.parametrize("end", [Bye(), PeerLost(Link.CLIENTS, ALICE)], ids=["bye", "lost"])
def test_a_replay_that_the_client_breaks_off_holds_up_no_judgement(end: Message | Local) -> None:
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(1), publish(2, TWO))

    link = Link.LOCAL if isinstance(end, Local) else Link.CLIENTS
    assert waits_told(session.turn(link, ALICE, end)) == [CompareDigest]


@pytest.mark.usefixtures("window")
def test_a_replay_that_never_ends_holds_up_judgements_for_the_session_grace_only() -> None:
    session = make_session(lease_seconds=60.0)
    session.greet(ALICE)
    session.says(ALICE, publish(1), publish(2, TWO))

    during = digests_say(session.wait(CONFIG.session_grace_seconds - 1.0))
    session.wait(2.0)
    after = digests_say(session.wait(3.0))

    assert len(during) > CONFIG.session_grace_seconds / 2
    assert set(during) == {True}
    assert set(after) == {False}
