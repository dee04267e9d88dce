"""The connection to a session: made, judged by its lease, left and made again."""

import math
from collections.abc import Sequence

import pytest
from client_fakes import (
    CLUSTER,
    CONFIG,
    OTHER_CLUSTER,
    P1,
    PAY,
    SESSION,
    WELCOME,
    A,
    B,
    acts,
    connected,
    hear,
    local,
    lost,
    lost_line,
    make_core,
    next_act,
    say,
)
from msgspec.structs import replace

from zreg.client.core.commands import (
    Ask,
    ClientState,
    ConnectionChanged,
    SessionReached,
    SessionWelcomed,
    SetPublication,
)
from zreg.client.core.connection.connection import TRANSITIONS, Step
from zreg.client.core.core import ClientCore
from zreg.effects import (
    INFO,
    WARNING,
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    Log,
    PeerDelayed,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Send,
    Stop,
)
from zreg.errors import ForeignClusterError
from zreg.model import NO_INCARNATION
from zreg.wire.records.client_messages import Bye, Moving, Welcome, WhoAreYou
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.records.membership_messages import FetchMembership


def test_every_open_state_has_a_transition_for_every_step() -> None:
    for state in ClientState:
        expected = set() if state is ClientState.CLOSED else {*Step} - {Step.EXPIRED}
        if state is ClientState.SUSPENDED:
            expected.add(Step.EXPIRED)
        assert set(TRANSITIONS[state]) == expected


def test_after_a_failed_connection_the_next_address_is_dialled() -> None:
    core = make_core(A, B)
    core.start(0.0)

    effects = local(core, PeerLost(Link.SESSION, "session-1", "refused"), 0.2)

    assert effects == [lost("refused", address=B, state=ClientState.CONNECTING)]
    assert core.next_tick_at() == pytest.approx(0.21)
    assert core.tick(0.2) == []
    assert core.tick(core.next_tick_at() or 0.0) == [Connect(Link.SESSION, "session-2", A)]


def test_the_pause_grows_after_each_round_of_addresses() -> None:
    core = make_core(A)
    core.start(0.0)
    pauses = []
    now = 0.0
    for attempt in range(1, 9):
        local(core, PeerLost(Link.SESSION, f"session-{attempt}"), now)
        due_at, _ = next_act(core)
        pauses.append(due_at - now)
        now = due_at

    assert pauses[:3] == pytest.approx([0.0375, 0.075, 0.15])
    assert pauses[-1] == pytest.approx(CONFIG.reconnect_seconds_max * 0.75)


def test_a_connection_that_is_not_made_in_time_is_given_up() -> None:
    core = make_core(A)
    core.start(0.0)

    assert core.next_tick_at() == 0.2
    assert core.tick(0.2) == [
        Disconnect(Link.SESSION, "session-1"),
        lost("the connection could not be made in time", state=ClientState.CONNECTING),
    ]


def test_each_round_of_addresses_gives_attempts_twice_as_long() -> None:
    core = make_core(A)
    core.start(0.0)
    waits, now = [], 0.0
    for _ in range(6):
        due_at, _ = next_act(core)
        waits.append(due_at - now)
        now, _ = next_act(core)

    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_a_session_that_became_a_black_hole_is_left_before_the_grace_of_its_clients_ends() -> None:
    core = connected(A, B)
    here = core.statistics()["session"]
    elsewhere = B if here == A else A
    local(core, PeerLost(Link.SESSION, "session-1", "closed"), 0.0)
    first_at = core.next_tick_at()
    assert first_at is not None
    assert core.tick(first_at) == [Connect(Link.SESSION, "session-2", str(here))]
    given_up_at = core.next_tick_at()
    assert given_up_at is not None
    core.tick(given_up_at)
    second_at = core.next_tick_at()
    assert second_at is not None

    assert core.tick(second_at) == [Connect(Link.SESSION, "session-3", elsewhere)]
    assert second_at < CONFIG.disconnect_grace_seconds


def test_a_connection_is_given_up_when_no_welcome_comes() -> None:
    core = make_core(A)
    core.start(0.0)
    local(core, PeerUp(Link.SESSION, "session-1"), 0.5)

    assert core.next_tick_at() == 1.5
    for now in (1.5, 2.5):
        assert acts(core.tick(now)) == [say(Ping())], (
            "the session may know it: this keeps its lease"
        )
    assert core.tick(3.0) == []
    assert core.tick(3.5) == [
        say(Moving()),
        Disconnect(Link.SESSION, "session-1"),
        lost(
            "the greeting was not answered: check that a session runs there",
            state=ClientState.CONNECTING,
        ),
    ]


def test_a_session_of_another_cluster_is_left_at_once_with_the_reason() -> None:
    core = make_core(A)
    core.start(0.0)
    local(core, PeerUp(Link.SESSION, "session-1"), 0.5)
    why = "it is of cluster 'other'"

    assert local(core, PeerIncompatible(Link.SESSION, "session-9", why), 0.6) == []
    assert local(core, PeerIncompatible(Link.SESSION, "session-1", why), 0.6) == [
        Disconnect(Link.SESSION, "session-1"),
        lost(why, state=ClientState.CONNECTING),
    ]


def test_a_connection_is_given_up_when_the_hello_is_refused() -> None:
    core = make_core(A)
    core.start(0.0)
    local(core, PeerUp(Link.SESSION, "session-1"))

    assert hear(core, Refused(0, ForeignClusterError.code, "not ours")) == [
        Disconnect(Link.SESSION, "session-1"),
        lost("it refused the greeting: not ours", state=ClientState.CONNECTING),
    ]


def test_a_client_returns_to_the_same_session_first_and_then_tries_others() -> None:
    core = connected(A, B)

    assert local(core, PeerLost(Link.SESSION, "session-1"), 1.0) == [
        lost_line("the connection was closed", B),
        lost("the connection was closed", address=B),
    ]
    assert core.next_tick_at() == pytest.approx(1.05)
    assert core.tick(1.06) == [Connect(Link.SESSION, "session-2", B)]
    local(core, PeerLost(Link.SESSION, "session-2", "refused"), 1.1)
    assert core.tick(1.2) == [Connect(Link.SESSION, "session-3", A)]


def test_a_session_that_says_bye_is_tried_last() -> None:
    core = connected(A, B)

    assert hear(core, Bye(), 1.0) == [
        say(Moving()),
        Disconnect(Link.SESSION, "session-1"),
        lost_line("the session said goodbye", B),
        lost("the session said goodbye", address=B),
    ]
    assert core.tick(1.06) == [Connect(Link.SESSION, "session-2", A)]
    local(core, PeerLost(Link.SESSION, "session-2", "refused"), 1.1)
    assert core.tick(1.2) == [Connect(Link.SESSION, "session-3", B)]


def test_a_session_that_is_silent_for_a_lease_is_left() -> None:
    core = connected(A)
    now = 0.0
    effects: list[Effect] = []
    while now < 2.9:
        now += 0.1
        effects += core.tick(now)

    assert effects == [say(Ping())] * 2
    assert core.tick(3.05) == [
        say(Moving()),
        Disconnect(Link.SESSION, "session-1"),
        lost_line("the session was silent for a whole lease"),
        lost("the session was silent for a whole lease"),
    ]


def test_a_session_that_meta_has_not_admitted_is_left_for_one_that_can_register() -> None:
    not_admitted = Welcome(1, NO_INCARNATION, CLUSTER, 3.0, 1.0)
    core = connected(A, B, welcome=not_admitted)

    assert core.state is ClientState.CONNECTING
    assert core.tick(0.02) == [Connect(Link.SESSION, "session-2", A)]
    local(core, PeerUp(Link.SESSION, "session-2"), 0.1)
    hear(core, WELCOME, 0.1, peer="session-2")
    assert core.state is ClientState.CONNECTED


def test_the_last_session_of_a_round_serves_although_meta_has_not_admitted_it() -> None:
    core = connected(A, welcome=Welcome(1, NO_INCARNATION, CLUSTER, 3.0, 1.0))

    assert core.state is ClientState.CONNECTED


def after_pings(core: ClientCore, seconds: float) -> list[Effect]:
    """Let time pass from 0.0 on while the session answers each ping; return the last effects."""
    now = 0.0
    effects: list[Effect] = []
    while now < seconds and effects in ([], [say(Ping())]):
        now += 0.5
        effects = [*core.tick(now)]
        hear(core, Pong(), now)
    return effects


def test_a_session_that_meta_does_not_admit_for_long_is_left_if_another_one_is_known() -> None:
    """It registers nothing, and what the client published at another one has a grace only."""
    core = connected(A, welcome=Welcome(1, NO_INCARNATION, CLUSTER, 3.0, 1.0, (A, B)))
    reason = "meta has not admitted the session for long: trying others"

    assert core.next_tick_at() <= 10.0
    assert lost_line(reason) not in after_pings(core, 9.5)
    assert core.tick(10.0) == [
        say(Moving()),
        Disconnect(Link.SESSION, "session-1"),
        lost_line(reason),
        lost(reason),
    ]
    assert core.tick(10.1) == [Connect(Link.SESSION, "session-2", B)]


@pytest.mark.parametrize(
    ("known", "then"),
    [((A,), None), ((A, B), WELCOME)],
    ids=["no other session is known", "meta admits it"],
)
def test_a_session_that_meta_has_not_admitted_is_not_left_without_reason(
    known: tuple[str, ...], then: Welcome | None
) -> None:
    core = connected(A, welcome=Welcome(1, NO_INCARNATION, CLUSTER, 3.0, 1.0, known))
    if then is not None:
        hear(core, WhoAreYou(), 0.1)
        hear(core, then, 0.1)

    after_pings(core, 30.0)

    assert core.state is ClientState.CONNECTED


def test_a_session_that_lost_its_incarnation_is_not_left_for_that() -> None:
    core = connected(A, B)
    hear(core, WhoAreYou(), 1.0)
    hear(core, Welcome(1, NO_INCARNATION, CLUSTER, 3.0, 1.0), 1.0)

    assert core.state is ClientState.CONNECTED


def test_after_a_stall_of_the_client_the_lease_starts_afresh() -> None:
    core = connected(A)

    assert core.tick(60.0) == [say(Ping())]
    assert core.statistics()["stalls"] == 1


def test_the_count_of_stalls_survives_a_new_welcome() -> None:
    core = connected()
    core.tick(60.0)
    hear(core, WhoAreYou(), 60.0)
    hear(core, WELCOME, 60.0)

    assert core.statistics()["stalls"] == 1


def test_any_record_renews_the_lease() -> None:
    core = connected(A)
    now = 0.0
    while now < 6.0:
        now += 0.1
        assert hear(core, Pong(), now) == []
        assert core.tick(now) in ([], [say(Ping())])

    assert core.state is ClientState.CONNECTED


def test_no_ping_is_due_while_the_client_sends_and_hears() -> None:
    core = connected(A)
    local(core, SetPublication(P1, PAY, b"x"), 0.9)
    hear(core, Accepted((1,)), 0.9)

    assert core.tick(1.0) == []
    assert core.tick(1.9) == [say(Ping())]


def test_a_client_that_only_repeats_unanswered_requests_pings() -> None:
    """A session whose data nodes are away answers no publish, and lives: it must not be left."""
    core = connected(A)
    local(core, SetPublication(P1, PAY, b"x"), 0.5)
    now, pings = 0.5, 0
    while now < 9.0:
        now += 0.1
        effects = core.tick(now)
        if say(Ping()) in effects:
            pings += 1
            hear(core, Pong(), now + 0.01)
        assert all(isinstance(effect, Send) for effect in effects)

    assert core.state is ClientState.CONNECTED
    assert pings == 8


@pytest.mark.parametrize("lease", [(math.nan, 1.0), (-1.0, 1.0), (1e9, 1.0), (3.0, 2.0), (3.0, 0)])
def test_an_invalid_lease_in_a_welcome_is_ignored(lease: tuple[float, float]) -> None:
    core = connected(welcome=Welcome(1, SESSION, CLUSTER, *lease))

    assert core._connection._leases.lease_seconds == CONFIG.lease_seconds
    assert core._connection.ping_seconds == CONFIG.ping_seconds


def test_the_session_addresses_of_a_welcome_are_tried_too() -> None:
    core = connected(A, welcome=Welcome(1, SESSION, CLUSTER, 3.0, 1.0, (B, "udp://x:1", A)))

    local(core, PeerLost(Link.SESSION, "session-1"), 1.0)
    assert core.tick(1.06) == [Connect(Link.SESSION, "session-2", A)]
    local(core, PeerLost(Link.SESSION, "session-2"), 1.1)
    assert core.tick(1.2) == [Connect(Link.SESSION, "session-3", B)]


def test_what_an_attempt_waits_for_is_the_reason_of_its_end() -> None:
    core = make_core(A, B)
    core.start(0.0)
    local(core, PeerDelayed(Link.SESSION, "session-1", "b is still being looked up"))

    assert core.tick(0.2) == [
        Disconnect(Link.SESSION, "session-1"),
        lost("b is still being looked up", address=B, state=ClientState.CONNECTING),
    ]
    core.tick(0.3)
    assert core.tick(0.6)[-1] == lost(
        "the connection could not be made in time", address=A, state=ClientState.CONNECTING
    )


def test_the_local_host_of_a_connection_is_told_with_every_greeting() -> None:
    core = make_core()
    core.start(0.0)
    effects = local(core, PeerUp(Link.SESSION, "session-1", "10.0.0.1"))
    assert effects[0] == Emit(SessionReached(A, "10.0.0.1"))
    hear(core, WELCOME)
    assert hear(core, WhoAreYou(), 1.0)[0] == Emit(SessionReached(A, "10.0.0.1"))

    local(core, PeerLost(Link.SESSION, "session-1", "gone"), 2.0)
    core.tick(2.1)
    assert local(core, PeerUp(Link.SESSION, "session-2"), 2.1)[0] == Emit(SessionReached(A))


def test_a_session_that_is_reached_over_loopback_tells_which_sessions_there_are() -> None:
    for local_host, is_told in (("127.0.0.1", True), ("::1", True), ("10.0.0.1", False)):
        core = make_core()
        core.start(0.0)
        local(core, PeerUp(Link.SESSION, "session-1", local_host))
        unadmitted = replace(WELCOME, session=NO_INCARNATION, sessions=(A, B))

        welcomed = Emit(SessionWelcomed((A, B)))
        assert welcomed not in hear(core, unadmitted)
        hear(core, WhoAreYou(), 1.0)
        assert (welcomed in hear(core, replace(WELCOME, sessions=(A, B)))) is is_told


@pytest.mark.parametrize("seconds", [0.0, 0.2, 3.0, 100.0])
@pytest.mark.parametrize("events", [(), (PeerUp(Link.SESSION, "session-1"),)])
def test_timers_that_are_due_after_the_end_change_nothing(
    seconds: float, events: tuple[Local, ...]
) -> None:
    """The turn that tells the core to stop may have a tick that is due."""
    core = make_core()
    core.start(0.0)
    local(core, Ask(1, FetchMembership(0), 0.5))
    for event in events:
        local(core, event)
    local(core, Stop())

    assert core.tick(seconds) == ()
    assert core.settle(seconds) == ()
    assert core.state is ClientState.CLOSED
    assert core.next_tick_at() is None


# --- clusters of one name ------------------------------------------------------------------------

OTHER_WELCOME = Welcome(1, SESSION, OTHER_CLUSTER, 3.0, 1.0)


def cluster_lines(effects: Sequence[Effect]) -> list[dict[str, str | int | float]]:
    return [
        effect.fields
        for effect in effects
        if isinstance(effect, Log) and effect.event == "client.cluster.changed"
    ]


def test_a_move_to_another_cluster_of_the_same_name_is_logged() -> None:
    core = connected()
    local(core, PeerLost(Link.SESSION, "session-1", "gone"), 1.0)
    core.tick(1.1)
    local(core, PeerUp(Link.SESSION, "session-2"), 1.1)

    (fields,) = cluster_lines(hear(core, OTHER_WELCOME, 1.1, peer="session-2"))

    assert (fields["cluster"], fields["before"]) == ("6f6f6f6f", "63636363")
    assert "another cluster of the same name" in str(fields["detail"])
    assert core.state is ClientState.CONNECTED


def test_sessions_of_one_cluster_and_sessions_that_do_not_know_theirs_are_not_logged() -> None:
    core = connected()
    for number, cluster in enumerate([CLUSTER, b"", CLUSTER], start=2):
        local(core, PeerLost(Link.SESSION, f"session-{number - 1}", "gone"), float(number))
        core.tick(number + 0.1)
        local(core, PeerUp(Link.SESSION, f"session-{number}"), number + 0.1)
        welcome = Welcome(1, SESSION, cluster, 3.0, 1.0)
        assert cluster_lines(hear(core, welcome, number + 0.1, peer=f"session-{number}")) == []


def test_a_session_of_another_cluster_is_left_while_one_of_its_own_may_be_reached() -> None:
    core = connected(A, B)
    assert core.statistics()["session"] == B
    local(core, PeerLost(Link.SESSION, "session-1", "gone"), 1.0)
    core.tick(1.1)
    local(core, PeerUp(Link.SESSION, "session-2"), 1.1)

    effects = hear(core, OTHER_WELCOME, 1.1, peer="session-2")

    detail = "the session is of another cluster of the same name: trying others"
    assert effects[-1] == lost(detail, address=B)
    core.tick(1.2)
    local(core, PeerUp(Link.SESSION, "session-3"), 1.2)
    assert cluster_lines(hear(core, WELCOME, 1.2, peer="session-3")) == []
    assert core.state is ClientState.CONNECTED


# --- outages ---------------------------------------------------------------------------------


def lines(effects: Sequence[Effect]) -> list[Log]:
    return [effect for effect in effects if isinstance(effect, Log)]


def test_a_client_that_reaches_no_session_says_why_within_three_seconds_and_once_a_minute() -> None:
    core = make_core(A, B)
    core.start(0.0)
    warned: list[tuple[float, Log]] = []
    while (now := core.next_tick_at() or 0.0) < 130:
        warned += [(now, line) for line in lines(core.tick(now))]
        peer = f"session-{core.statistics()['dials']}"
        if core.statistics()["phase"] == "dialling":
            local(core, PeerLost(Link.SESSION, peer, "refused"), now)

    assert [round(at) for at, _ in warned] == [2, 62, 122]
    _, first = warned[0]
    assert (first.level, first.event) == (WARNING, "client.session.unreachable")
    assert first.fields["reason"] == "a:9600: refused; b:9600: refused"
    assert "check host and port" in str(first.fields["advice"])
    assert warned[1][1].fields["seconds"] == pytest.approx(62, abs=1)


def test_a_new_reason_is_said_again_and_the_end_of_the_outage_too() -> None:
    core = make_core(A)
    core.start(0.0)
    local(core, PeerLost(Link.SESSION, "session-1", "refused"), 0.0)
    seen: list[Log] = []
    while (now := core.next_tick_at() or 0.0) < 20:
        seen += lines(core.tick(now))
        if core.statistics()["phase"] == "dialling":
            peer = f"session-{core.statistics()['dials']}"
            reason = "refused" if now < 8 else "it is of cluster 'other'"
            seen += lines(local(core, PeerIncompatible(Link.SESSION, peer, reason), now))
    assert [line.fields["reason"] for line in seen] == [
        "a:9600: refused",
        "a:9600: it is of cluster 'other'",
    ]

    now, effects = next_act(core)
    while not any(isinstance(effect, Connect) for effect in effects):
        now, effects = next_act(core)
    local(core, PeerUp(Link.SESSION, f"session-{core.statistics()['dials']}"), now)
    welcomed = hear(core, WELCOME, now, peer=f"session-{core.statistics()['dials']}")
    assert lines(welcomed)[0].event == "client.session.reachable"
    assert lines(welcomed)[0].level == INFO


def test_a_short_outage_writes_no_line_of_its_own() -> None:
    core = connected()
    local(core, PeerLost(Link.SESSION, "session-1", "closed"), 10.0)
    core.tick(10.1)
    local(core, PeerUp(Link.SESSION, "session-2"), 10.2)
    assert [line.event for line in lines(hear(core, WELCOME, 10.2, peer="session-2"))] == [
        "client.session.reached"
    ]


def test_a_client_without_a_session_for_a_whole_lease_is_lost_until_it_finds_one() -> None:
    core = connected()
    local(core, PeerLost(Link.SESSION, "session-1", "closed"), 10.0)
    states: list[tuple[float, ClientState]] = []
    while (now := core.next_tick_at() or 0.0) < 16:
        states += [
            (now, effect.event.state)
            for effect in core.tick(now)
            if isinstance(effect, Emit) and isinstance(effect.event, ConnectionChanged)
        ]
    assert states[0][1] is ClientState.SUSPENDED
    first_lost = next(at for at, state in states if state is ClientState.LOST)
    assert first_lost == pytest.approx(10.0 + WELCOME.lease_seconds)
    assert {state for at, state in states if at > first_lost} == {ClientState.LOST}

    now, effects = next_act(core)
    while not any(isinstance(effect, Connect) for effect in effects):
        now, effects = next_act(core)
    peer = f"session-{core.statistics()['dials']}"
    local(core, PeerUp(Link.SESSION, peer), now)
    hear(core, WELCOME, now, peer=peer)
    assert core.state is ClientState.CONNECTED
    local(core, PeerLost(Link.SESSION, peer, "closed"), now + 1)
    assert core.state is ClientState.SUSPENDED


def test_the_round_trip_of_greetings_and_pings_is_known() -> None:
    core = make_core(A)
    core.start(0.0)
    local(core, PeerUp(Link.SESSION, "session-1"), 1.0)
    hear(core, WELCOME, 1.25)
    assert (core.round_trip_seconds, core.heard_at) == (0.25, 1.25)
    _, effects = next_act(core)
    assert effects == [say(Ping())]
    hear(core, Pong(), 2.5)
    assert core.round_trip_seconds == pytest.approx(0.25)
