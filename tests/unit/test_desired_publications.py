"""Publications: sent, replayed with higher versions, refused, withdrawn."""

from client_fakes import (
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
    PublicationRefused,
    Registered,
    SetPublication,
    Withdrawn,
    WithdrawPublication,
)
from zreg.effects import Emit, Link, PeerLost, PeerUp
from zreg.errors import DeniedError, NotReadyError
from zreg.model import ZERO, Scope
from zreg.wire.records.client_messages import Publish, ReplayDone, Subscribe, Unpublish
from zreg.wire.records.common_messages import Accepted, Ping, Refused


def test_a_publication_is_sent_and_the_api_is_told_of_its_acceptance() -> None:
    core = connected()

    assert local(core, SetPublication(P1, PAY, b"x")) == [say(Publish(1, P1, 1, PAY, b"x"))]
    assert hear(core, Accepted((1,))) == [Emit(Registered((P1,)))]
    assert hear(core, Accepted((1, 99))) == []


def test_what_is_published_before_a_session_is_reached_is_sent_by_the_replay() -> None:
    core = make_core()
    core.start(0.0)
    assert local(core, SetPublication(P1, PAY, b"old")) == []
    assert local(core, SetPublication(P1, PAY, b"new")) == []
    assert local(core, AddSubscription(1, PAY, Scope.GLOBAL)) == []
    local(core, PeerUp(Link.SESSION, "session-1"))

    assert replayed(hear(core, WELCOME)) == [
        say(Subscribe(1, PAY, Scope.GLOBAL, ZERO, 0)),
        say(Publish(2, P1, 1, PAY, b"new")),
        say(ReplayDone()),
    ]


def test_the_newest_body_wins_and_only_the_answer_to_it_counts() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))

    assert local(core, SetPublication(P1, PAY, b"y")) == [say(Publish(2, P1, 2, PAY, b"y"))]
    assert hear(core, Accepted((1,))) == []
    assert hear(core, Accepted((2,))) == [Emit(Registered((P1,)))]


def test_a_replay_raises_the_versions_of_publications_and_not_those_of_withdrawals() -> None:
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


def test_a_withdrawal_without_a_session_is_sent_by_the_replay() -> None:
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


def test_a_publication_that_was_never_sent_is_dropped_without_a_message() -> None:
    core = make_core()
    core.start(0.0)
    local(core, SetPublication(P1, PAY, b"x"))

    assert local(core, WithdrawPublication(P1)) == [Emit(Withdrawn((P1,)))]
    assert local(core, WithdrawPublication(P1)) == []
    assert core.statistics()["publications"] == 0


def test_publishing_again_cancels_a_withdrawal() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    local(core, WithdrawPublication(P1))

    assert local(core, SetPublication(P1, PAY, b"y")) == [say(Publish(3, P1, 2, PAY, b"y"))]
    assert hear(core, Accepted((2,))) == []
    assert hear(core, Accepted((3,))) == [Emit(Registered((P1,)))]


def test_a_publication_that_is_refused_for_now_is_repeated() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))

    assert hear(core, Refused(1, NotReadyError.code, "starting")) == [
        Emit(PublicationRefused(P1, NotReadyError.code, "starting", is_final=False))
    ]
    assert core.tick(1.0) == [say(Publish(1, P1, 1, PAY, b"x")), say(Ping())]


def test_a_final_refusal_stands_until_the_next_publish_or_the_next_session() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))

    assert hear(core, Refused(1, DeniedError.code, "not yours")) == [
        Emit(PublicationRefused(P1, DeniedError.code, "not yours", is_final=True))
    ]
    assert core.tick(1.0) == [say(Ping())]
    assert local(core, SetPublication(P1, PAY, b"y"), 1.0) == [say(Publish(2, P1, 2, PAY, b"y"))]
    hear(core, Refused(2, DeniedError.code, "not yours"), 1.0)
    assert reconnect(core, now=1.1)[0] == say(Publish(3, P1, 3, PAY, b"y"), "session-2")


def test_a_withdrawal_ends_with_a_final_refusal_and_not_with_one_for_now() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    local(core, WithdrawPublication(P1))

    assert hear(core, Refused(2, NotReadyError.code, "later")) == []
    assert hear(core, Refused(2, DeniedError.code, "never")) == [Emit(Withdrawn((P1,)))]
    assert hear(core, Refused(2, DeniedError.code, "never")) == []
    assert core.statistics()["publications"] == 0
