"""How many publications a client has under way, and what may overtake those that wait."""

from collections.abc import Sequence

import pytest
from client_fakes import (
    HELLO,
    ORDERS,
    P1,
    P2,
    PAY,
    WELCOME,
    connected,
    hear,
    local,
    make_core,
    reconnect,
    replayed,
    say,
)

from zreg.client.core.commands import (
    AddSubscription,
    Ask,
    PublicationRefused,
    Registered,
    SetPublication,
    Withdrawn,
    WithdrawPublication,
)
from zreg.client.core.core import ClientCore
from zreg.config import Limits
from zreg.effects import Effect, Emit, Link, PeerUp
from zreg.errors import LimitError
from zreg.model import ZERO, Scope
from zreg.wire.records.client_messages import (
    Publish,
    ReplayDone,
    Subscribe,
    Unpublish,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Refused
from zreg.wire.records.data_messages import ListDatums

P3, P4, P5 = b"3" * 16, b"4" * 16, b"5" * 16
NAMES = (P1, P2, P3, P4, P5)


@pytest.fixture(autouse=True)
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two requests be under way at a time."""
    monkeypatch.setattr(Limits, "client_window", 2)


def wanting(*publisher_ids: bytes) -> ClientCore:
    """Return a core that wants to publish these, and has not reached a session yet."""
    core = make_core()
    core.start(0.0)
    for publisher_id in publisher_ids:
        assert local(core, SetPublication(publisher_id, PAY, b"x")) == []
    local(core, PeerUp(Link.SESSION, "session-1"))
    return core


def publish(core: ClientCore, *publisher_ids: bytes, body: bytes = b"x") -> list[Effect]:
    """Publish in one turn; return all effects of the turn."""
    effects: list[Effect] = []
    for publisher_id in publisher_ids:
        effects += local(core, SetPublication(publisher_id, PAY, body))
    return effects + settle(core)


def settle(core: ClientCore, now: float = 0.0) -> list[Effect]:
    return list(core.settle(now))


def accept(core: ClientCore, *request_ids: int) -> list[Effect]:
    """Let the session accept requests; return all that the client then sends."""
    hear(core, Accepted(request_ids))
    return settle(core)


def published(
    publisher_ids: Sequence[bytes], *, first: int = 1, version: int = 1, body: bytes = b"x"
) -> list[Effect]:
    return [
        say(Publish(request_id, publisher_id, version, PAY, body))
        for request_id, publisher_id in enumerate(publisher_ids, first)
    ]


def test_publications_beyond_the_window_wait_for_answers_in_their_order() -> None:
    core = connected()

    assert publish(core, *NAMES) == published([P1, P2])
    assert core.statistics()["unanswered"] == 5
    assert accept(core, 1) == published([P3], first=3)
    assert accept(core, 2, 3) == published([P4, P5], first=4)
    assert accept(core, 4, 5) == []
    assert core.statistics()["unanswered"] == 0


def test_half_of_a_window_is_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message costs as much as some records, so a client sends none for each answer."""
    monkeypatch.setattr(Limits, "client_window", 4)
    core = connected()
    many = [bytes([number]) * 16 for number in range(10)]
    assert publish(core, *many) == published(many[:4])

    assert accept(core, 1) == []
    assert accept(core, 2) == published(many[4:6], first=5)
    assert accept(core, 3, 4, 5) == published(many[6:9], first=7)
    assert accept(core, 6) == published(many[9:], first=10), "the rest waits for no more answers"


def test_a_window_of_one_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "client_window", 1)
    core = connected()

    assert publish(core, P1, P2) == published([P1])
    assert accept(core, 1) == published([P2], first=2)


def test_a_publication_that_changes_while_it_waits_is_sent_once_in_its_newest_state() -> None:
    core = connected()
    publish(core, *NAMES[:4])

    assert publish(core, P3, body=b"y") == publish(core, P3, body=b"z") == []

    expected = [say(Publish(3, P3, 1, PAY, b"z")), say(Publish(4, P4, 1, PAY, b"x"))]
    assert accept(core, 1, 2) == expected, "it keeps its place"


def test_a_publication_that_changes_while_it_is_under_way_waits_behind_the_others() -> None:
    core = connected()
    publish(core, *NAMES[:3])

    assert publish(core, P1, body=b"y") == published([P3], first=3)
    assert accept(core, 1) == [], "the answer to what it said before"
    assert accept(core, 2) == [say(Publish(4, P1, 2, PAY, b"y"))]


def test_a_publication_that_is_withdrawn_before_it_was_sent_is_never_sent() -> None:
    core = connected()
    publish(core, *NAMES[:4])

    assert local(core, WithdrawPublication(P3)) == [Emit(Withdrawn((P3,)))]

    assert accept(core, 1, 2) == published([P4], first=3)


def test_a_withdrawal_waits_too_and_names_the_version_that_was_sent_last() -> None:
    core = connected()
    publish(core, *NAMES[:3])

    assert local(core, WithdrawPublication(P1)) == []

    assert settle(core) == published([P3], first=3)
    assert accept(core, 2, 3) == [say(Unpublish(4, P1, 1, PAY))]


def test_a_final_refusal_makes_room() -> None:
    core = connected()
    publish(core, *NAMES[:3])

    refused = Refused(1, LimitError.code, "full")
    event = PublicationRefused(P1, LimitError.code, "full", is_final=True)
    assert hear(core, refused) == [Emit(event)]

    assert settle(core) == published([P3], first=3)


def test_subscriptions_and_questions_wait_for_no_publication() -> None:
    core = connected()
    publish(core, *NAMES)

    subscribed = local(core, AddSubscription(1, ORDERS, Scope.ZONE))
    asked = local(core, Ask(1, ListDatums(0, "*"), 5.0))

    assert subscribed == [say(Subscribe(3, ORDERS, Scope.ZONE, ZERO, 0))]
    assert asked == [say(ListDatums(4, "*"))]
    assert accept(core, 1, 3) == published([P3], first=5), "they take no room either"


def test_the_end_of_a_replay_overtakes_no_publication_of_it() -> None:
    """At ReplayDone the session withdraws what the replay did not name."""
    core = wanting(*NAMES[:3])
    local(core, AddSubscription(1, ORDERS, Scope.ZONE))
    local(core, Ask(1, ListDatums(0, "*"), 5.0))

    assert replayed(hear(core, WELCOME)) == [
        say(Subscribe(1, ORDERS, Scope.ZONE, ZERO, 0)),
        *published([P1, P2], first=2),
        say(ListDatums(4, "*")),
    ]
    assert publish(core, P4) == [], "what is published meanwhile waits behind"
    assert accept(core, 2) == [*published([P3], first=5), say(ReplayDone())]
    assert accept(core, 3, 5) == published([P4], first=6)


def test_the_replay_ends_at_once_if_its_last_publication_is_withdrawn() -> None:
    core = wanting(*NAMES[:3])
    hear(core, WELCOME)

    local(core, WithdrawPublication(P3))

    assert accept(core, 1) == [say(ReplayDone())]


def test_a_replay_that_is_cut_off_begins_anew_on_the_next_connection() -> None:
    core = wanting(*NAMES[:3])
    hear(core, WELCOME)

    again = reconnect(core)

    assert again == [
        say(Publish(3, P1, 2, PAY, b"x"), "session-2"),
        say(Publish(4, P2, 2, PAY, b"x"), "session-2"),
    ]
    hear(core, Accepted((3, 4)), 1.2, peer="session-2")
    assert settle(core, 1.2) == [
        say(Publish(5, P3, 1, PAY, b"x"), "session-2"),
        say(ReplayDone(), "session-2"),
    ]


def test_nothing_is_sent_while_the_client_greets_its_session_again() -> None:
    core = connected()
    publish(core, *NAMES[:3])
    assert say(HELLO) in hear(core, WhoAreYou())

    assert accept(core, 1, 2) == []

    assert replayed(hear(core, WELCOME)) == [
        say(Publish(3, P1, 2, PAY, b"x")),
        say(Publish(4, P2, 2, PAY, b"x")),
    ]
    assert accept(core, 3, 4) == [say(Publish(5, P3, 1, PAY, b"x")), say(ReplayDone())]


def test_late_requests_hold_up_nothing_and_open_the_window() -> None:
    """They may wait for a data node that is gone; others go to data nodes that work."""
    core = connected()
    many = [bytes([number]) * 16 for number in range(12)]
    publish(core, *many)

    assert core.tick(1.0) == [*published(many[:2]), say(Ping())], "repeated"
    assert settle(core, 1.0) == published(many[2:6], first=3), "and twice as many besides"
    assert settle(core, 1.5) == []
    hear(core, Accepted((1,)), 1.6)
    assert settle(core, 1.6) == [], "an answer to what was late makes no room"
    hear(core, Accepted((3, 4)), 1.7)
    assert settle(core, 1.7) == published(many[6:8], first=7)


def test_the_next_connection_has_the_usual_window() -> None:
    core = connected()
    many = [bytes([number]) * 16 for number in range(12)]
    publish(core, *many)
    core.tick(1.0)

    assert len(reconnect(core)) == 2


def test_each_publication_is_registered_whatever_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Limits, "client_window", 3)
    core = connected()
    many = [bytes([number]) * 16 for number in range(40)]
    sent = publish(core, *many)
    registered: list[bytes] = []
    while sent:
        ids = [e.message.request_id for e in sent if isinstance(e.message, Publish)]  # type: ignore[union-attr]
        assert len(ids) <= 3
        events = hear(core, Accepted(tuple(ids)))
        registered += [
            each
            for effect in events
            if isinstance(effect, Emit) and isinstance(effect.event, Registered)
            for each in effect.event.publisher_ids
        ]
        sent = settle(core)

    assert registered == many
