"""The client's core: one session at a time, everything replayed, nothing lost while it lives."""

import math
from collections.abc import Sequence
from random import Random

import msgspec
import pytest

from zreg.client.core.addresses import SessionAddresses
from zreg.client.core.commands import (
    AddSubscription,
    Answered,
    Ask,
    AskRefused,
    ClientState,
    ConnectionChanged,
    DropSubscription,
    PublicationRefused,
    Registered,
    SessionReached,
    SetPublication,
    SubscriptionRefused,
    Unanswered,
    ViewChanged,
    Withdrawn,
    WithdrawPublication,
)
from zreg.client.core.connection import TRANSITIONS, Step
from zreg.client.core.core import LIBRARY, ClientCore
from zreg.config import Config
from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    EpochSeen,
    Link,
    Local,
    Log,
    PeerIncompatible,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
    Stop,
)
from zreg.errors import (
    DeniedError,
    ForeignClusterError,
    LimitError,
    NotReadyError,
    UnknownClientError,
)
from zreg.model import (
    EMPTY_MEMBERSHIP,
    ZERO,
    Cause,
    DataInfoId,
    Incarnation,
    Publisher,
    Removal,
    Scope,
    Version,
)
from zreg.primitives.digest import UNSURE_DIGEST, view_digest
from zreg.primitives.mirror import Difference
from zreg.wire.client_messages import (
    Bye,
    Hello,
    Publish,
    Push,
    PushAck,
    ReplayDone,
    Subscribe,
    Unpublish,
    Unsubscribe,
    Welcome,
    WhoAreYou,
)
from zreg.wire.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.data_messages import Beat, DatumsListed, ListDatums
from zreg.wire.membership_messages import FetchMembership, MembershipReply
from zreg.wire.messages import Message

ME = b"m" * 16
P1, P2 = b"1" * 16, b"2" * 16
PAY = DataInfoId("pay#@#I#@#G")
ORDERS = DataInfoId("orders#@#I#@#G")
A, B = "tcp://a:9600", "tcp://b:9600"
CLUSTER, OTHER_CLUSTER = b"c" * 16, b"o" * 16
SESSION = Incarnation(3, "s1")
V1, V2 = Version(1, 1), Version(1, 2)
CONFIG = Config(zone="z", data_center="d", request_retry_seconds=1.0)
HELLO = Hello(1, ME, "app", "z", "d", LIBRARY)
WELCOME = Welcome(1, SESSION, CLUSTER, 3.0, 1.0)


class FixedRandom(Random):
    """Shuffles nothing and draws the middle, so that effects and times are known."""

    def random(self) -> float:
        return 0.5

    def shuffle(self, x: object) -> None:
        return


def make_core(*addresses: str, config: Config = CONFIG) -> ClientCore:
    return ClientCore(
        config, client_id=ME, addresses=addresses or (A,), app="app", rng=FixedRandom()
    )


def local(core: ClientCore, message: Local, now: float = 0.0) -> list[Effect]:
    return list(core.receive(Link.LOCAL, "", message, now))


def hear(
    core: ClientCore, message: Message, now: float = 0.0, peer: str = "session-1"
) -> list[Effect]:
    return list(core.receive(Link.SESSION, peer, message, now))


def connected(*addresses: str, config: Config = CONFIG, welcome: Welcome = WELCOME) -> ClientCore:
    """Return a core whose session has welcomed it at 0.0, and that wants nothing yet."""
    core = make_core(*addresses, config=config)
    core.start(0.0)
    local(core, PeerUp(Link.SESSION, "session-1"))
    hear(core, welcome)
    return core


def reconnect(
    core: ClientCore, welcome: Welcome = WELCOME, now: float = 1.0, peer: str = "session-2"
) -> list[Effect]:
    """Lose the connection and make the next one; return what the Welcome leads to."""
    before = f"session-{int(peer.removeprefix('session-')) - 1}"
    local(core, PeerLost(Link.SESSION, before, "gone"), now)
    core.tick(now + 0.1)
    local(core, PeerUp(Link.SESSION, peer), now + 0.1)
    return replayed(hear(core, welcome, now + 0.1, peer=peer))


def replayed(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects of a Welcome after its log line and its event."""
    assert [type(effect) for effect in effects[:2]] == [Log, Emit]
    return list(effects[2:])


def say(message: Message, peer: str = "session-1") -> Send:
    return Send(Link.SESSION, peer, message)


def publisher(publisher_id: bytes = P1, version: int = 1, body: bytes = b"body") -> Publisher:
    return Publisher(publisher_id, version, ME, SESSION, "z", "d", "app", body)


def snapshot(*publishers: Publisher, version: Version = V1, name: DataInfoId = PAY) -> Push:
    return Push(name, Scope.GLOBAL, None, version, publishers)


def acked(version: Version = V1, *, needs_snapshot: bool = False) -> PushAck:
    return PushAck(PAY, Scope.GLOBAL, version, needs_snapshot)


def changed(
    *publishers: Publisher,
    feed_id: int = 1,
    source: Version = ZERO,
    version: Version = V1,
    removals: dict[bytes, Removal | None] | None = None,
    former: dict[bytes, Publisher] | None = None,
) -> Emit:
    upserts = {each.publisher_id: each for each in publishers}
    difference = Difference(source, version, upserts, removals or {}, former or {})
    return Emit(ViewChanged(feed_id, difference, is_confirmed=True))


def lost(detail: str, *, address: str = A, state: ClientState = ClientState.SUSPENDED) -> Emit:
    return Emit(ConnectionChanged(state, address, detail))


def lost_line(reason: str, address: str = A) -> Log:
    return Log(30, "client.session.lost", {"address": address, "reason": reason})


def following() -> ClientCore:
    """Return a core that follows PAY and knows one publisher of it, at version 1.1."""
    core = connected()
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))
    hear(core, Accepted((1,)))
    hear(core, snapshot(publisher()))
    return core


# --- the connection ---------------------------------------------------------------------------


def test_it_dials_greets_and_replays_nothing() -> None:
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


def test_every_state_says_where_each_step_leads() -> None:
    for state in ClientState:
        expected = set() if state is ClientState.CLOSED else set(Step)
        assert set(TRANSITIONS[state]) == expected


def test_a_connection_that_cannot_be_made_leads_to_the_next_address() -> None:
    core = make_core(A, B)
    core.start(0.0)

    effects = local(core, PeerLost(Link.SESSION, "session-1", "refused"), 0.2)

    assert effects == [lost("refused", address=B, state=ClientState.CONNECTING)]
    assert core.next_tick_at() == pytest.approx(0.25)
    assert core.tick(0.2) == []
    assert core.tick(0.25) == [Connect(Link.SESSION, "session-2", A)]


def test_after_a_whole_round_the_pause_grows() -> None:
    core = make_core(A)
    core.start(0.0)
    pauses = []
    now = 0.0
    for attempt in range(1, 9):
        local(core, PeerLost(Link.SESSION, f"session-{attempt}"), now)
        due_at = core.next_tick_at()
        assert due_at is not None
        pauses.append(due_at - now)
        now = due_at
        core.tick(now)

    assert pauses[:3] == pytest.approx([0.0375, 0.075, 0.15])
    assert pauses[-1] == pytest.approx(CONFIG.reconnect_seconds_max * 0.75)


def test_a_connection_that_is_not_made_in_time_is_given_up() -> None:
    core = make_core(A)
    core.start(0.0)

    assert core.next_tick_at() == 1.0
    assert core.tick(1.0) == [
        Disconnect(Link.SESSION, "session-1"),
        lost("the connection could not be made in time", state=ClientState.CONNECTING),
    ]


def test_a_greeting_that_nobody_answers_is_given_up() -> None:
    core = make_core(A)
    core.start(0.0)
    local(core, PeerUp(Link.SESSION, "session-1"), 0.5)

    assert core.tick(3.0) == []
    assert core.tick(3.5) == [
        Disconnect(Link.SESSION, "session-1"),
        lost(
            "the greeting was not answered; is a session there?",
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


def test_a_greeting_that_is_refused_is_given_up() -> None:
    core = make_core(A)
    core.start(0.0)
    local(core, PeerUp(Link.SESSION, "session-1"))

    assert hear(core, Refused(0, ForeignClusterError.code, "not ours")) == [
        Disconnect(Link.SESSION, "session-1"),
        lost("the session refused the greeting: not ours", state=ClientState.CONNECTING),
    ]


def test_a_closed_connection_is_made_again_with_the_same_session_and_then_with_others() -> None:
    core = connected(A, B)

    assert local(core, PeerLost(Link.SESSION, "session-1"), 1.0) == [
        lost_line("the connection was closed", B),
        lost("the connection was closed", address=B),
    ]
    assert core.next_tick_at() == pytest.approx(1.05)
    assert core.tick(1.06) == [Connect(Link.SESSION, "session-2", B)]
    local(core, PeerLost(Link.SESSION, "session-2", "refused"), 1.1)
    assert core.tick(1.2) == [Connect(Link.SESSION, "session-3", A)]


def test_a_session_that_leaves_is_left_and_tried_last() -> None:
    core = connected(A, B)

    assert hear(core, Bye(), 1.0) == [
        Disconnect(Link.SESSION, "session-1"),
        lost_line("the session said goodbye", B),
        lost("the session said goodbye", address=B),
    ]
    assert core.tick(1.06) == [Connect(Link.SESSION, "session-2", A)]
    local(core, PeerLost(Link.SESSION, "session-2", "refused"), 1.1)
    assert core.tick(1.2) == [Connect(Link.SESSION, "session-3", B)]


def test_a_silent_session_is_left_after_a_lease_of_waking_ticks() -> None:
    core = connected(A)
    now = 0.0
    effects: list[Effect] = []
    while now < 2.9:
        now += 0.1
        effects += core.tick(now)

    assert effects == [say(Ping())] * 2
    assert core.tick(3.05) == [
        Disconnect(Link.SESSION, "session-1"),
        lost_line("the session was silent for a whole lease"),
        lost("the session was silent for a whole lease"),
    ]


def test_a_client_that_was_stalled_judges_afresh() -> None:
    core = connected(A)

    assert core.tick(60.0) == [say(Ping())]
    assert core.statistics()["stalls"] == 1


def test_any_traffic_is_life() -> None:
    core = connected(A)
    now = 0.0
    while now < 6.0:
        now += 0.1
        assert hear(core, Pong(), now) == []
        assert core.tick(now) in ([], [say(Ping())])

    assert core.state is ClientState.CONNECTED


def test_whoever_said_something_does_not_ping() -> None:
    core = connected(A)
    local(core, SetPublication(P1, PAY, b"x"), 0.9)
    hear(core, Accepted((1,)), 0.9)

    assert core.tick(1.0) == []
    assert core.tick(1.9) == [say(Ping())]


def test_whoever_only_repeats_what_is_not_answered_yet_asks_for_a_sign_of_life() -> None:
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


def test_a_ping_is_answered() -> None:
    assert hear(connected(), Ping()) == [say(Pong())]


@pytest.mark.parametrize("lease", [(math.nan, 1.0), (-1.0, 1.0), (1e9, 1.0), (3.0, 2.0), (3.0, 0)])
def test_a_welcome_with_a_senseless_lease_is_not_believed(lease: tuple[float, float]) -> None:
    core = connected(welcome=Welcome(1, SESSION, CLUSTER, *lease))

    assert core._connection._leases.lease_seconds == CONFIG.lease_seconds
    assert core._connection._ping_seconds == CONFIG.ping_seconds


def test_the_sessions_of_the_welcome_are_tried_too() -> None:
    core = connected(A, welcome=Welcome(1, SESSION, CLUSTER, 3.0, 1.0, (B, "udp://x:1", A)))

    local(core, PeerLost(Link.SESSION, "session-1"), 1.0)
    assert core.tick(1.06) == [Connect(Link.SESSION, "session-2", A)]
    local(core, PeerLost(Link.SESSION, "session-2"), 1.1)
    assert core.tick(1.2) == [Connect(Link.SESSION, "session-3", B)]


def test_addresses_that_are_known_no_more_are_tried_once_more() -> None:
    addresses = SessionAddresses([A], rng=FixedRandom())
    addresses.try_last(B)
    assert (addresses.next(), addresses.is_round_over) == (A, True)
    addresses.try_first(B)
    assert [addresses.next(), addresses.next(), addresses.next()] == [B, A, A]


def test_what_an_earlier_connection_still_brings_is_ignored() -> None:
    core = connected()
    reconnect(core)

    assert hear(core, Bye(), peer="session-1") == []
    assert local(core, PeerLost(Link.SESSION, "session-1")) == []
    assert local(core, PeerUp(Link.SESSION, "session-2")) == []
    assert core.receive(Link.CLIENTS, "session-2", Bye(), 2.0) == ()
    assert core.state is ClientState.CONNECTED


def test_messages_that_mean_nothing_here_are_counted() -> None:
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
    }
    assert repr(core) == (
        "<ClientCore connected 'tcp://a:9600' publications=0 subscriptions=0 questions=0>"
    )


def test_a_refusal_of_nothing_in_particular_is_logged() -> None:
    fields: dict[str, str | int | float] = {"address": A, "code": 4, "detail": "too much"}

    assert hear(connected(), Refused(0, LimitError.code, "too much")) == [
        Log(30, "client.session.refused", fields)
    ]


def test_stop_says_goodbye_and_nothing_is_done_after_it() -> None:
    core = connected()

    assert local(core, Stop()) == [
        say(Bye()),
        Emit(ConnectionChanged(ClientState.CLOSED, A, "the client was closed")),
    ]
    assert core.next_tick_at() is None
    assert hear(core, Ping()) == []
    assert local(core, SetPublication(P1, PAY, b"x")) == []


def test_stop_without_a_session_says_goodbye_to_nobody() -> None:
    core = make_core()
    core.start(0.0)

    assert local(core, Stop()) == [
        Emit(ConnectionChanged(ClientState.CLOSED, A, "the client was closed"))
    ]


# --- publications -----------------------------------------------------------------------------


def test_a_publication_is_sent_and_its_acceptance_told() -> None:
    core = connected()

    assert local(core, SetPublication(P1, PAY, b"x")) == [say(Publish(1, P1, 1, PAY, b"x"))]
    assert hear(core, Accepted((1,))) == [Emit(Registered((P1,)))]
    assert hear(core, Accepted((1, 99))) == []


def test_what_is_published_before_a_session_is_there_goes_with_the_replay() -> None:
    core = make_core()
    core.start(0.0)
    assert local(core, SetPublication(P1, PAY, b"old")) == []
    assert local(core, SetPublication(P1, PAY, b"new")) == []
    assert local(core, AddSubscription(1, PAY, Scope.GLOBAL)) == []
    local(core, PeerUp(Link.SESSION, "session-1"))

    assert replayed(hear(core, WELCOME)) == [
        say(Publish(1, P1, 1, PAY, b"new")),
        say(Subscribe(2, PAY, Scope.GLOBAL, ZERO, 0)),
        say(ReplayDone()),
    ]


def test_the_newest_state_wins_and_only_its_answer_counts() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))

    assert local(core, SetPublication(P1, PAY, b"y")) == [say(Publish(2, P1, 2, PAY, b"y"))]
    assert hear(core, Accepted((1,))) == []
    assert hear(core, Accepted((2,))) == [Emit(Registered((P1,)))]


def test_a_replay_raises_versions_and_repeats_withdrawals_at_theirs() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    local(core, SetPublication(P2, PAY, b"y"))
    assert local(core, WithdrawPublication(P1)) == [say(Unpublish(3, P1, 1, PAY))]
    assert local(core, WithdrawPublication(P1)) == []

    assert reconnect(core) == [
        say(Publish(4, P2, 2, PAY, b"y"), "session-2"),
        say(Unpublish(5, P1, 1, PAY), "session-2"),
        say(ReplayDone(), "session-2"),
    ]
    assert hear(core, Accepted((5, 4)), peer="session-2") == [
        Emit(Registered((P2,))),
        Emit(Withdrawn((P1,))),
    ]
    assert reconnect(core, now=2.0, peer="session-3") == [
        say(Publish(6, P2, 3, PAY, b"y"), "session-3"),
        say(ReplayDone(), "session-3"),
    ]


def test_a_withdrawal_without_a_session_waits_for_one() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    local(core, PeerLost(Link.SESSION, "session-1"), 1.0)

    assert local(core, WithdrawPublication(P1), 1.0) == []
    core.tick(1.1)
    local(core, PeerUp(Link.SESSION, "session-2"), 1.1)
    assert replayed(hear(core, WELCOME, 1.1, peer="session-2")) == [
        say(Unpublish(2, P1, 1, PAY), "session-2"),
        say(ReplayDone(), "session-2"),
    ]


def test_what_was_never_sent_just_disappears() -> None:
    core = make_core()
    core.start(0.0)
    local(core, SetPublication(P1, PAY, b"x"))

    assert local(core, WithdrawPublication(P1)) == [Emit(Withdrawn((P1,)))]
    assert local(core, WithdrawPublication(P1)) == []
    assert core.statistics()["publications"] == 0


def test_publishing_after_a_withdrawal_takes_it_back() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    local(core, WithdrawPublication(P1))

    assert local(core, SetPublication(P1, PAY, b"y")) == [say(Publish(3, P1, 2, PAY, b"y"))]
    assert hear(core, Accepted((2,))) == []
    assert hear(core, Accepted((3,))) == [Emit(Registered((P1,)))]


def test_what_is_not_answered_is_asked_again_with_growing_pauses() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    sent_at = []
    now = 0.0
    while now < 70.0:
        now += 0.5
        hear(core, Pong(), now)
        effects = [e for e in core.tick(now) if e != say(Ping())]
        if effects:
            sent_at.append(now)
            assert effects == [say(Publish(len(sent_at) + 1, P1, 1, PAY, b"x"))]

    assert sent_at == [1.0, 3.0, 7.0, 15.0, 23.0, 31.0, 39.0, 47.0, 55.0, 63.0]


def test_each_request_has_a_pause_of_its_own() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"), 0.0)
    local(core, SetPublication(P2, PAY, b"y"), 0.5)

    assert core.tick(1.0) == [say(Publish(3, P1, 1, PAY, b"x")), say(Ping())]
    assert core.next_tick_at() == pytest.approx(1.0 + 3.0 / 16)
    assert core.tick(1.5) == [say(Publish(4, P2, 1, PAY, b"y"))]


def test_not_now_is_asked_again_later() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))

    assert hear(core, Refused(1, NotReadyError.code, "starting")) == [
        Emit(PublicationRefused(P1, NotReadyError.code, "starting", is_final=False))
    ]
    assert core.tick(1.0) == [say(Publish(2, P1, 1, PAY, b"x")), say(Ping())]


def test_no_is_not_asked_again_before_it_is_published_anew_or_elsewhere() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))

    assert hear(core, Refused(1, DeniedError.code, "not yours")) == [
        Emit(PublicationRefused(P1, DeniedError.code, "not yours", is_final=True))
    ]
    assert core.tick(1.0) == [say(Ping())]
    assert local(core, SetPublication(P1, PAY, b"y"), 1.0) == [say(Publish(2, P1, 2, PAY, b"y"))]
    hear(core, Refused(2, DeniedError.code, "not yours"), 1.0)
    assert reconnect(core, now=1.1)[0] == say(Publish(3, P1, 3, PAY, b"y"), "session-2")


def test_a_withdrawal_that_is_refused_is_over_and_one_that_is_put_off_is_not() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    local(core, WithdrawPublication(P1))

    assert hear(core, Refused(2, NotReadyError.code, "later")) == []
    assert hear(core, Refused(2, DeniedError.code, "never")) == [Emit(Withdrawn((P1,)))]
    assert hear(core, Refused(2, DeniedError.code, "never")) == []
    assert core.statistics()["publications"] == 0


# --- a session that does not know us ------------------------------------------------------------


@pytest.mark.parametrize("question", [WhoAreYou(), Refused(7, UnknownClientError.code, "who?")])
def test_whoever_is_asked_who_he_is_greets_again_and_replays_with_higher_versions(
    question: Message,
) -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))

    assert hear(core, question, 0.5) == [Emit(SessionReached(A)), say(HELLO)]
    assert hear(core, question, 0.5) == []
    assert local(core, SetPublication(P2, PAY, b"y"), 0.5) == []
    assert core.state is ClientState.CONNECTED
    assert replayed(hear(core, WELCOME, 0.6)) == [
        say(Publish(2, P1, 2, PAY, b"x")),
        say(Publish(3, P2, 1, PAY, b"y")),
        say(ReplayDone()),
    ]


def test_a_lease_that_is_renewed_by_a_new_welcome_keeps_count_of_stalls() -> None:
    core = connected()
    core.tick(60.0)
    hear(core, WhoAreYou(), 60.0)
    hear(core, WELCOME, 60.0)

    assert core.statistics()["stalls"] == 1


# --- views --------------------------------------------------------------------------------------


def test_the_first_push_makes_the_view_known() -> None:
    core = connected()

    assert local(core, AddSubscription(1, PAY, Scope.GLOBAL)) == [
        say(Subscribe(1, PAY, Scope.GLOBAL, ZERO, 0))
    ]
    assert hear(core, Accepted((1,))) == []
    assert hear(core, snapshot(publisher())) == [say(acked()), changed(publisher())]


def test_an_empty_view_becomes_known_too() -> None:
    core = connected()
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))

    assert hear(core, snapshot()) == [say(acked()), changed()]


def test_a_delta_that_fits_is_applied() -> None:
    core = following()
    gone = Removal(P1, 1, Cause.UNPUBLISHED)
    delta = Push(PAY, Scope.GLOBAL, V1, V2, (publisher(P2),), (gone,))

    assert hear(core, delta) == [
        say(acked(V2)),
        changed(
            publisher(P2),
            source=V1,
            version=V2,
            removals={P1: gone},
            former={P1: publisher()},
        ),
    ]
    assert hear(core, delta) == [say(acked(V2))]


def test_a_delta_that_does_not_fit_is_answered_with_the_wish_for_a_snapshot() -> None:
    core = following()
    delta = Push(PAY, Scope.GLOBAL, Version(1, 5), Version(1, 6), (publisher(P2),))

    assert hear(core, delta) == [say(acked(needs_snapshot=True))]


def test_a_view_that_is_confirmed_after_a_reconnect_is_told_so_once() -> None:
    core = following()
    digest = view_digest([publisher()])
    assert reconnect(core) == [
        say(Subscribe(2, PAY, Scope.GLOBAL, V1, digest), "session-2"),
        say(ReplayDone(), "session-2"),
    ]
    current = Push(PAY, Scope.GLOBAL, V1, V1, ())

    assert hear(core, current, peer="session-2") == [
        say(acked(), "session-2"),
        changed(source=V1),
    ]
    assert hear(core, current, peer="session-2") == [say(acked(), "session-2")]


def test_a_view_of_another_cluster_is_replaced_whole() -> None:
    core = following()
    other = Welcome(1, SESSION, OTHER_CLUSTER, 3.0, 1.0)
    assert reconnect(core, other) == [
        say(Subscribe(2, PAY, Scope.GLOBAL, ZERO, 0), "session-2"),
        say(ReplayDone(), "session-2"),
    ]
    delta = Push(PAY, Scope.GLOBAL, V1, V2, ())

    assert hear(core, delta, peer="session-2") == [say(acked(needs_snapshot=True), "session-2")]
    lower = Version(0, 9)
    assert hear(core, snapshot(publisher(P2), version=lower), peer="session-2") == [
        say(acked(lower), "session-2"),
        changed(publisher(P2), version=lower, removals={P1: None}, former={P1: publisher()}),
    ]


def test_a_reset_starts_from_nothing_even_at_a_lower_version() -> None:
    core = following()
    lower = Version(0, 1)
    reset = msgspec.structs.replace(snapshot(publisher(), version=lower), is_reset=True)

    effects = hear(core, reset)

    assert effects[0] == say(acked(lower))
    assert isinstance(effects[1], Emit)
    assert isinstance(effects[1].event, ViewChanged)
    assert effects[1].event.difference.removals == {}


def test_an_older_snapshot_changes_nothing_and_confirms_nothing() -> None:
    core = following()
    reconnect(core)

    assert hear(core, snapshot(version=Version(1, 0)), peer="session-2") == [
        say(acked(), "session-2")
    ]


def test_a_snapshot_of_an_unreconciled_primary_drops_nothing_and_is_never_called_current() -> None:
    core = following()
    partial = msgspec.structs.replace(snapshot(publisher(P2), version=V2), is_unreconciled=True)

    assert hear(core, partial) == [
        say(acked(V2)),
        changed(publisher(P2), source=V1, version=V2),
    ]
    subscribe = Subscribe(2, PAY, Scope.GLOBAL, V2, UNSURE_DIGEST)
    assert reconnect(core)[0] == say(subscribe, "session-2")


def part(*publishers: Publisher, left: int, version: Version = V2) -> Push:
    return msgspec.structs.replace(snapshot(*publishers, version=version), parts_left=left)


def test_a_snapshot_in_parts_is_taken_when_it_is_whole() -> None:
    core = following()

    assert hear(core, part(publisher(), left=2)) == []
    assert hear(core, part(publisher(P2), left=1)) == []
    assert hear(core, part(left=0)) == [
        say(acked(V2)),
        changed(publisher(P2), source=V1, version=V2),
    ]


def test_a_snapshot_that_lacks_a_part_is_not_taken() -> None:
    core = following()
    hear(core, part(publisher(), left=3))

    assert hear(core, part(left=1)) == []
    assert hear(core, part(left=0)) == [say(acked(needs_snapshot=True))]


def test_a_snapshot_that_begins_again_replaces_the_half_of_the_one_before() -> None:
    core = following()
    hear(core, part(publisher(P2), left=2))
    hear(core, part(publisher(P2), left=1, version=Version(1, 3)))

    assert hear(core, part(publisher(), left=1, version=Version(1, 3))) == []
    assert hear(core, part(left=0, version=Version(1, 3))) == [
        say(acked(Version(1, 3))),
        changed(source=V1, version=Version(1, 3)),
    ]


def test_a_snapshot_of_absurdly_many_parts_is_not_gathered() -> None:
    core = following()
    for left in (4096, 4095):
        assert hear(core, part(publisher(P2), left=left)) == []

    assert core._subscriptions._records[PAY, Scope.GLOBAL]._parts._publishers == []


def test_half_a_snapshot_does_not_survive_its_connection() -> None:
    core = following()
    hear(core, part(publisher(), left=1))
    reconnect(core)

    assert hear(core, part(publisher(P2), left=0), peer="session-2") == [
        say(acked(V2), "session-2"),
        changed(
            publisher(P2),
            source=V1,
            version=V2,
            removals={P1: None},
            former={P1: publisher()},
        ),
    ]


def test_subscriptions_of_the_same_share_one_and_the_last_one_ends_it() -> None:
    core = following()

    assert local(core, AddSubscription(2, PAY, Scope.GLOBAL)) == [changed(publisher(), feed_id=2)]
    assert local(core, DropSubscription(1)) == []
    assert local(core, DropSubscription(2)) == [say(Unsubscribe(2, PAY, Scope.GLOBAL))]
    assert local(core, DropSubscription(2)) == []


def test_a_second_subscription_to_what_is_not_known_yet_is_told_nothing() -> None:
    core = connected()
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))

    assert local(core, AddSubscription(2, PAY, Scope.GLOBAL)) == []
    assert hear(core, snapshot()) == [say(acked()), changed(), changed(feed_id=2)]


def test_a_subscription_that_ends_without_a_session_is_not_replayed() -> None:
    core = make_core()
    core.start(0.0)
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))

    assert local(core, DropSubscription(1)) == []
    local(core, PeerUp(Link.SESSION, "session-1"))
    assert replayed(hear(core, WELCOME)) == [say(ReplayDone())]


def test_a_push_that_nobody_asked_for_is_answered_with_unsubscribe() -> None:
    assert hear(connected(), snapshot()) == [say(Unsubscribe(1, PAY, Scope.GLOBAL))]


def test_a_push_before_the_welcome_is_ignored() -> None:
    core = following()
    hear(core, WhoAreYou())

    assert hear(core, snapshot(publisher(P2), version=V2)) == []


def test_a_refused_subscription_is_told_to_all_who_share_it() -> None:
    core = connected()
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))
    local(core, AddSubscription(2, PAY, Scope.GLOBAL))

    assert hear(core, Refused(1, LimitError.code, "full")) == [
        Emit(SubscriptionRefused(1, LimitError.code, "full", is_final=True)),
        Emit(SubscriptionRefused(2, LimitError.code, "full", is_final=True)),
    ]


# --- a session that does not read ----------------------------------------------------------------


def test_a_replay_that_was_dropped_in_part_is_ended_again_once_all_is_answered() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    assert local(core, PeerSlow(Link.SESSION, "session-1")) == []

    assert core.tick(0.1) == []
    hear(core, Accepted((1,)), 0.2)
    assert core.tick(0.3) == [say(ReplayDone())]
    assert core.tick(0.4) == []


# --- questions -----------------------------------------------------------------------------------


def test_a_question_is_passed_on_and_its_answer_handed_back() -> None:
    core = connected()

    assert local(core, Ask(5, ListDatums(0, "*"), 2.0)) == [say(ListDatums(1, "*"))]
    answer = DatumsListed(1, ())
    assert hear(core, answer) == [Emit(Answered(5, answer))]
    assert hear(core, answer) == []
    assert hear(core, MembershipReply(9, EMPTY_MEMBERSHIP)) == []


def test_a_question_waits_for_a_session_and_is_given_up_in_the_end() -> None:
    core = make_core()
    core.start(0.0)
    assert local(core, Ask(5, FetchMembership(0), 0.5)) == []
    assert core.next_tick_at() == 0.5
    local(core, PeerUp(Link.SESSION, "session-1"))
    assert replayed(hear(core, WELCOME)) == [say(ReplayDone()), say(FetchMembership(1))]

    assert core.tick(0.5) == [Emit(Unanswered(5))]
    assert hear(core, Refused(1, DeniedError.code, "late")) == []


def test_a_refused_question_is_told_and_one_put_off_is_asked_again() -> None:
    core = connected()
    local(core, Ask(5, FetchMembership(0), 9.0))

    assert hear(core, Refused(1, NotReadyError.code, "later")) == []
    assert core.tick(1.0) == [
        say(FetchMembership(2)),
        say(Ping()),
    ]
    assert hear(core, Refused(2, DeniedError.code, "never"), 1.0) == [
        Emit(AskRefused(5, DeniedError.code, "never"))
    ]
    assert core.statistics()["asks"] == 0


def test_questions_are_bounded() -> None:
    core = make_core()
    for ask_id in range(1024):
        assert local(core, Ask(ask_id, FetchMembership(0), 1.0)) == []

    (effect,) = local(core, Ask(1024, FetchMembership(0), 1.0))

    assert isinstance(effect, Emit)
    assert isinstance(effect.event, AskRefused)
    assert (effect.event.ask_id, effect.event.code) == (1024, LimitError.code)
