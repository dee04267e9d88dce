"""The client's core: one session at a time, and the whole desired state for each new one."""

from client_fakes import (
    HELLO,
    P1,
    P2,
    PAY,
    SESSION,
    WELCOME,
    A,
    B,
    connected,
    hear,
    local,
    make_core,
    reconnect,
    replayed,
    say,
)

from zreg.client.core.commands import ClientState, ConnectionChanged, SessionReached, SetPublication
from zreg.effects import Connect, Emit, EpochSeen, Link, Log, PeerLost, PeerUp, Stop
from zreg.errors import LimitError
from zreg.wire.records.client_messages import Bye, Publish, ReplayDone, WhoAreYou
from zreg.wire.records.common_messages import Ping, Pong, Refused
from zreg.wire.records.data_messages import Beat


def test_a_client_without_publications_dials_says_hello_and_ends_an_empty_replay() -> None:
    core = make_core(A, B)

    assert core.start(0.0) == [Connect(Link.SESSION, "session-1", B)]
    assert local(core, PeerUp(Link.SESSION, "session-1")) == [
        Emit(SessionReached(B)),
        say(HELLO),
    ]
    assert hear(core, WELCOME) == [
        Log(20, "client.session.reached", {"address": B, "session": "s1@3"}),
        Emit(ConnectionChanged(ClientState.CONNECTED, B, "welcomed by s1@3")),
        say(ReplayDone()),
    ]
    assert core.state is ClientState.CONNECTED
    assert core.epoch == 0


def test_a_ping_is_answered() -> None:
    assert hear(connected(), Ping()) == [say(Pong())]


def test_messages_of_an_earlier_connection_are_ignored() -> None:
    core = connected()
    reconnect(core)

    assert hear(core, Bye(), peer="session-1") == []
    assert local(core, PeerLost(Link.SESSION, "session-1")) == []
    assert local(core, PeerUp(Link.SESSION, "session-2")) == []
    assert core.receive(Link.CLIENTS, "session-2", Bye(), 2.0) == ()
    assert core.state is ClientState.CONNECTED


def test_records_that_no_session_sends_are_counted() -> None:
    core = connected()

    assert hear(core, Beat(SESSION, ())) == []
    assert local(core, EpochSeen(7)) == []
    assert hear(core, WELCOME) == []
    assert core.settle(0.0) == ()
    assert core.statistics() == {
        "state": "connected",
        "phase": "open",
        "session": A,
        "sessions_known": 1,
        "publications": 0,
        "subscriptions": 0,
        "publishers_seen": 0,
        "asks": 0,
        "unanswered": 0,
        "dials": 1,
        "stalls": 0,
        "strange_messages": 1,
        "moves": 0,
    }
    assert repr(core) == (
        "<ClientCore connected 'tcp://a:9600' publications=0 subscriptions=0 questions=0>"
    )


def test_a_refusal_that_names_no_request_is_logged() -> None:
    fields: dict[str, str | int | float] = {"address": A, "code": 4, "detail": "too much"}

    assert hear(connected(), Refused(0, LimitError.code, "too much")) == [
        Log(30, "client.session.refused", fields)
    ]


def test_a_client_that_the_session_does_not_know_replays_with_higher_versions() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))

    assert hear(core, WhoAreYou(), 0.5) == [Emit(SessionReached(A)), say(HELLO)]
    assert hear(core, WhoAreYou(), 0.5) == []
    assert local(core, SetPublication(P2, PAY, b"y"), 0.5) == []
    assert core.state is ClientState.CONNECTED
    assert replayed(hear(core, WELCOME, 0.6)) == [
        say(Publish(2, P1, 2, PAY, b"x")),
        say(Publish(3, P2, 1, PAY, b"y")),
        say(ReplayDone()),
    ]


def test_stop_says_bye_and_a_closed_client_does_nothing() -> None:
    core = connected()

    assert local(core, Stop()) == [
        say(Bye()),
        Emit(ConnectionChanged(ClientState.CLOSED, A, "the client was closed")),
    ]
    assert core.next_tick_at() is None
    assert hear(core, Ping()) == []
    assert local(core, SetPublication(P1, PAY, b"x")) == []


def test_stop_without_a_session_sends_nothing() -> None:
    core = make_core()
    core.start(0.0)

    assert local(core, Stop()) == [
        Emit(ConnectionChanged(ClientState.CLOSED, A, "the client was closed"))
    ]
