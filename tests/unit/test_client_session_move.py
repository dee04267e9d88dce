"""A client that is asked to move connects first, replays, and leaves the former session last."""

import math
from collections.abc import Sequence

import pytest
from client_fakes import (
    CLUSTER,
    HELLO,
    OTHER_CLUSTER,
    P1,
    P2,
    PAY,
    SESSION,
    V1,
    V2,
    A,
    B,
    acked,
    changed,
    connected,
    hear,
    local,
    lost,
    lost_line,
    next_act,
    publisher,
    say,
    snapshot,
)

from zreg.client.core.commands import (
    AddSubscription,
    ClientState,
    ConnectionChanged,
    DropSubscription,
    Registered,
    SessionReached,
    SetPublication,
    Withdrawn,
    WithdrawPublication,
)
from zreg.client.core.core import ClientCore
from zreg.effects import (
    INFO,
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Log,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Stop,
)
from zreg.model import NO_INCARNATION, Incarnation, Scope
from zreg.primitives.digest import view_digest
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import (
    Bye,
    Move,
    Moving,
    Publish,
    Push,
    ReplayDone,
    Subscribe,
    Unpublish,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused

FORMER, NEW = "session-1", "move-1"
OTHER = Incarnation(4, "s2")
NEW_WELCOME = Welcome(1, OTHER, CLUSTER, 3.0, 1.0)
BACK = Welcome(1, SESSION, CLUSTER, 3.0, 1.0)
SETTLED = say(Moving(is_settled=True), FORMER)
LEFT = Disconnect(Link.SESSION, FORMER)
MOVED = Log(INFO, "client.session.moved", {"address": B, "former": A})


def failed(reason: str, **fields: str) -> Log:
    fields = fields or {"address": A, "to": B}
    return Log(INFO, "client.session.move.failed", {**fields, "reason": reason})


def settled() -> ClientCore:
    """Return a core with a publication and a view that its session at A serves."""
    core = connected(A)
    local(core, SetPublication(P1, PAY, b"x"))
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))
    hear(core, Accepted((1, 2)))
    hear(core, snapshot(publisher(P2)))
    return core


def asked(core: ClientCore, now: float = 1.0) -> list[Effect]:
    return hear(core, Move(B), now)


def greeting(now: float = 1.0) -> ClientCore:
    """Return a core that has greeted the session at B."""
    core = settled()
    asked(core, now)
    local(core, PeerUp(Link.SESSION, NEW, "10.0.0.1"), now)
    return core


def switched(now: float = 1.0) -> ClientCore:
    """Return a core that the session at B has welcomed."""
    core = greeting(now)
    hear(core, NEW_WELCOME, now, NEW)
    return core


def end_turn(core: ClientCore, now: float = 1.0) -> list[Effect]:
    return list(core.settle(now))


def hear_new(core: ClientCore, message: Message, now: float = 1.0) -> list[Effect]:
    """Let the new session say something, and end the turn."""
    return [*hear(core, message, now, NEW), *end_turn(core, now)]


# --- a move that succeeds -------------------------------------------------------------------------


def test_a_client_that_is_asked_connects_first_and_changes_nothing_else() -> None:
    core = settled()

    assert asked(core) == [Connect(Link.SESSION, NEW, B)]
    assert local(core, PeerUp(Link.SESSION, NEW, "10.0.0.1"), 1.0) == [say(HELLO, NEW)]
    delta = Push(PAY, Scope.GLOBAL, V1, V2, (publisher(P2, 2, b"new"),))
    assert hear(core, delta, 1.0) == [
        say(acked(V2)),
        changed(publisher(P2, 2, b"new"), source=V1, version=V2, former={P2: publisher(P2)}),
    ]
    assert local(core, SetPublication(P1, PAY, b"y"), 1.0) == [
        say(Publish(3, P1, 2, PAY, b"y"), FORMER)
    ]
    assert core.statistics()["session"] == A


def test_a_client_that_is_welcomed_replays_with_higher_versions_and_stays_connected() -> None:
    core = greeting()
    digest = view_digest([publisher(P2)])

    assert hear(core, NEW_WELCOME, 1.0, NEW) == [
        Emit(SessionReached(B, "10.0.0.1")),
        Log(INFO, "client.session.reached", {"address": B, "session": str(OTHER)}),
        Emit(ConnectionChanged(ClientState.CONNECTED, B, f"welcomed by {OTHER}")),
        say(Subscribe(3, PAY, Scope.GLOBAL, V1, digest), NEW),
        say(Publish(4, P1, 2, PAY, b"x"), NEW),
        say(ReplayDone(), NEW),
    ]
    assert end_turn(core) == []


def test_a_client_leaves_the_former_session_when_the_new_one_serves_everything() -> None:
    core = switched()

    assert hear_new(core, Accepted((4,))) == [Emit(Registered((P1,)))]
    assert hear_new(core, Push(PAY, Scope.GLOBAL, V1, V1, ())) == [
        say(acked(V1), NEW),
        changed(source=V1),
        SETTLED,
        LEFT,
        MOVED,
    ]
    assert core.statistics()["moves"] == 1


def test_the_former_session_pushes_and_answers_to_no_effect() -> None:
    core = switched()

    assert hear(core, snapshot(publisher(P1), version=V2), 1.0) == []
    assert hear(core, Accepted((1, 2, 3, 4)), 1.0) == []
    assert hear(core, WhoAreYou(), 1.0) == []
    assert hear(core, Welcome(1, SESSION, CLUSTER, 3.0, 1.0), 1.0) == []
    assert end_turn(core) == []


def test_the_client_keeps_its_lease_at_the_former_session() -> None:
    core = switched()
    assert hear(core, Ping(), 1.2) == [say(Pong(), FORMER)]
    sent = []
    now = 1.2
    while len(sent) < 3:
        hear(core, Pong(), now, NEW)
        now = core.next_tick_at() or math.inf
        sent += [(now, each) for each in core.tick(now) if each == say(Ping(), FORMER)]

    assert [at for at, _ in sent] == pytest.approx([2.2, 3.2, 4.2])


def test_a_client_that_wants_nothing_leaves_at_once() -> None:
    core = connected(A)
    asked(core)
    local(core, PeerUp(Link.SESSION, NEW), 1.0)
    hear(core, NEW_WELCOME, 1.0, NEW)

    assert end_turn(core) == [SETTLED, LEFT, MOVED]


def test_what_is_withdrawn_or_dropped_during_the_move_is_not_waited_for() -> None:
    core = switched()
    local(core, DropSubscription(1), 1.0)
    local(core, WithdrawPublication(P1), 1.0)
    assert end_turn(core) == [], "the former session answers for the publisher"

    assert hear_new(core, Accepted((6,))) == [Emit(Withdrawn((P1,))), SETTLED, LEFT, MOVED]


def test_what_the_former_session_had_not_accepted_is_not_waited_for() -> None:
    core = connected(A)
    local(core, SetPublication(P1, PAY, b"x"))
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))
    asked(core)
    local(core, PeerUp(Link.SESSION, NEW), 1.0)
    hear(core, NEW_WELCOME, 1.0, NEW)

    assert end_turn(core) == [SETTLED, LEFT, MOVED]


def test_a_new_publish_during_the_move_goes_to_the_new_session() -> None:
    core = switched()

    assert local(core, SetPublication(P1, PAY, b"y"), 1.0) == [
        say(Publish(5, P1, 3, PAY, b"y"), NEW)
    ]
    assert hear_new(core, Accepted((4,))) == [], "only the answer to the newest state counts"


# --- what a client does not do --------------------------------------------------------------------


@pytest.mark.parametrize("address", [A, "", "udp://b:1", "ipc://b"])
def test_a_client_goes_to_no_address_that_is_its_own_or_none_of_a_session(address: str) -> None:
    assert hear(settled(), Move(address), 1.0) == []


def test_a_client_tries_to_move_once_in_two_minutes() -> None:
    core = settled()
    asked(core, 1.0)
    assert asked(core, 1.1) == [], "it is on its way"
    local(core, PeerLost(Link.SESSION, NEW, "refused"), 1.2)

    assert asked(core, 120.9) == []
    assert asked(core, 121.0) == [Connect(Link.SESSION, "move-2", B)]


def test_a_client_does_not_move_before_it_is_welcomed_again() -> None:
    core = settled()
    hear(core, WhoAreYou(), 1.0)

    assert asked(core) == []


# --- a candidate that does not serve --------------------------------------------------------------


def test_a_session_that_is_not_reached_changes_nothing() -> None:
    core = settled()
    asked(core)
    hear(core, Pong(), 2.9)

    assert [e for e in core.tick(3.0) if e != say(Ping())] == [
        Disconnect(Link.SESSION, NEW),
        failed("it did not answer in time"),
    ]
    assert core.state is ClientState.CONNECTED


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Welcome(1, NO_INCARNATION, CLUSTER, 3.0, 1.0), "meta has not admitted it"),
        (Welcome(1, OTHER, OTHER_CLUSTER, 3.0, 1.0), "it is of another cluster"),
        (Refused(0, 4, "it is full"), "it refused the greeting: it is full"),
        (Bye(), "it said goodbye"),
    ],
)
def test_a_session_that_cannot_serve_the_client_is_left_again(
    message: Message, reason: str
) -> None:
    core = greeting()

    assert hear(core, message, 1.0, NEW) == [
        say(Moving(), NEW),
        Disconnect(Link.SESSION, NEW),
        failed(reason),
    ]
    assert hear(core, NEW_WELCOME, 1.0, NEW) == [], "it is late"
    assert core.statistics()["session"] == A


def test_a_welcome_that_does_not_come_is_waited_for_during_a_lease() -> None:
    core = greeting()
    for now in (2.0, 3.0, 3.9):
        assert hear(core, Pong(), now) == []

    assert failed("it did not answer in time") in core.tick(4.0)


@pytest.mark.parametrize(
    ("event", "effects"),
    [
        (PeerLost(Link.SESSION, NEW, "reset"), [failed("reset")]),
        (
            PeerIncompatible(Link.SESSION, NEW, "it speaks HTTP"),
            [say(Moving(), NEW), Disconnect(Link.SESSION, NEW), failed("it speaks HTTP")],
        ),
        (PeerUp(Link.SESSION, NEW), []),
        (PeerLost(Link.SESSION, "move-9", "reset"), []),
    ],
)
def test_the_end_of_a_connection_to_a_candidate(event: PeerLost, effects: Sequence[Effect]) -> None:
    assert local(greeting(), event, 1.0) == effects


def test_a_candidate_is_given_up_if_the_present_session_fails_meanwhile() -> None:
    core = settled()
    asked(core)
    local(core, PeerLost(Link.SESSION, FORMER, "reset"), 1.0)
    why = "the present session failed meanwhile"

    assert local(core, PeerUp(Link.SESSION, NEW), 1.0) == [
        Disconnect(Link.SESSION, NEW),
        failed(why),
    ]
    assert core.state is ClientState.SUSPENDED


@pytest.mark.parametrize("is_greeted", [False, True])
def test_a_candidate_is_given_up_if_the_client_has_found_the_next_session_meanwhile(
    is_greeted: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """The next one may be the candidate's own: it would be greeted twice, over two connections."""
    core = connected(A, B)
    here = str(core.statistics()["session"])
    hear(core, Move(B if here == A else A), 1.0)
    if is_greeted:
        local(core, PeerUp(Link.SESSION, NEW), 1.0)
    local(core, PeerLost(Link.SESSION, FORMER, "reset"), 1.0)
    now, effects = next_act(core)
    while not any(isinstance(effect, Connect) for effect in effects):
        now, effects = next_act(core)
    local(core, PeerUp(Link.SESSION, "session-2"), now)
    hear(core, NEW_WELCOME, now, "session-2")
    assert core.state is ClientState.CONNECTED

    if is_greeted:
        effects = hear(core, NEW_WELCOME, now, NEW)
        assert effects[:2] == [say(Moving(), NEW), Disconnect(Link.SESSION, NEW)]
    else:
        effects = local(core, PeerUp(Link.SESSION, NEW), now)
        assert effects[0] == Disconnect(Link.SESSION, NEW)
    assert core.statistics()["session"] == core._connection.address
    assert core._conversation.peer == "session-2"


def test_a_welcome_that_comes_after_the_present_session_has_failed_is_not_taken() -> None:
    core = greeting()
    local(core, PeerLost(Link.SESSION, FORMER, "reset"), 1.0)

    effects = hear(core, NEW_WELCOME, 1.0, NEW)

    assert effects[:2] == [say(Moving(), NEW), Disconnect(Link.SESSION, NEW)]


# --- going back -----------------------------------------------------------------------------------


def went_back(reason: str) -> list[Effect]:
    return [
        failed(reason, address=B, back=A),
        Emit(SessionReached(A)),
        say(HELLO, FORMER),
    ]


def test_a_client_whose_new_session_is_lost_goes_back_and_is_connected_all_the_time() -> None:
    core = switched()

    assert local(core, PeerLost(Link.SESSION, NEW, "reset"), 2.0) == went_back("reset")
    assert hear(core, BACK, 2.0) == [
        Log(INFO, "client.session.reached", {"address": A, "session": str(SESSION)}),
        Emit(ConnectionChanged(ClientState.CONNECTED, A, f"welcomed by {SESSION}")),
        say(Subscribe(5, PAY, Scope.GLOBAL, V1, view_digest([publisher(P2)]))),
        say(Publish(6, P1, 3, PAY, b"x")),
        say(ReplayDone()),
    ]
    hear(core, Accepted((6,)), 2.0)
    assert end_turn(core, 2.0) == []


def test_a_client_whose_new_session_leaves_goes_back() -> None:
    assert hear(switched(), Bye(), 2.0, NEW) == [
        say(Moving(), NEW),
        Disconnect(Link.SESSION, NEW),
        *went_back("the session said goodbye"),
    ]


def test_a_client_whose_new_session_serves_nothing_more_for_a_while_goes_back() -> None:
    core = switched()
    hear_new(core, Accepted((4,)), 3.0)
    for now in (3.0, 4.0, 5.0, 6.0, 7.0):
        hear(core, Pong(), now, NEW)
        assert say(HELLO, FORMER) not in core.tick(now)

    hear(core, Pong(), 8.0, NEW)
    assert core.tick(8.0)[:5] == [
        say(Moving(), NEW),
        Disconnect(Link.SESSION, NEW),
        *went_back("it does not serve 1 of what was served"),
    ]


def test_a_publication_that_only_the_new_session_refuses_is_published_at_the_former_again() -> None:
    core = switched()
    hear(core, Refused(4, 2, "not here"), 1.0, NEW)
    hear(core, Push(PAY, Scope.GLOBAL, V1, V1, ()), 1.0, NEW)
    assert end_turn(core) == []
    local(core, PeerLost(Link.SESSION, NEW, "reset"), 2.0)

    assert say(Publish(6, P1, 3, PAY, b"x")) in hear(core, BACK, 2.0)


def test_a_client_that_cannot_go_back_looks_for_any_session() -> None:
    core = switched()
    local(core, PeerLost(Link.SESSION, NEW, "reset"), 2.0)

    assert local(core, PeerLost(Link.SESSION, FORMER, "reset"), 2.1) == [
        lost_line("reset"),
        lost("reset"),
    ]


# --- the end of the former session, and of the client ---------------------------------------------


def test_a_client_whose_former_session_is_lost_stays_at_the_new_one() -> None:
    core = switched()

    assert local(core, PeerLost(Link.SESSION, FORMER, "reset"), 2.0) == [
        Log(INFO, "client.session.moved", {"address": B, "former": A, "reason": "reset"})
    ]
    assert hear_new(core, Accepted((4,))) == [Emit(Registered((P1,)))]
    effects = local(core, PeerLost(Link.SESSION, NEW, "reset"), 3.0)
    assert effects == [lost_line("reset", B), lost("reset", address=B)]


def test_a_former_session_that_leaves_hears_that_the_client_lives() -> None:
    reason = "the session said goodbye"

    assert hear(switched(), Bye(), 2.0) == [
        say(Moving(), FORMER),
        LEFT,
        Log(INFO, "client.session.moved", {"address": B, "former": A, "reason": reason}),
    ]


def test_a_client_that_is_closed_in_the_middle_of_a_move_says_bye_to_both_sessions() -> None:
    assert local(switched(), Stop(), 2.0) == [
        say(Bye(), FORMER),
        say(Bye(), NEW),
        lost("the client was closed", address=B, state=ClientState.CLOSED),
    ]


def test_what_is_unpublished_before_the_move_is_unpublished_at_the_new_session_too() -> None:
    core = settled()
    local(core, WithdrawPublication(P1), 1.0)
    asked(core)
    local(core, PeerUp(Link.SESSION, NEW), 1.0)

    assert say(Unpublish(5, P1, 1, PAY), NEW) in hear(core, NEW_WELCOME, 1.0, NEW)


def test_a_push_that_does_not_fit_does_not_confirm_a_view() -> None:
    core = switched()
    hear(core, Accepted((4,)), 1.0, NEW)

    assert hear_new(core, Push(PAY, Scope.GLOBAL, V2, V2, ())) == [
        say(acked(V1, needs_snapshot=True), NEW)
    ]
    assert SETTLED in hear_new(core, snapshot(publisher(P2), version=V2))
