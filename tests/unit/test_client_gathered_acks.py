"""When a client acknowledges pushes: one by one, or several at once."""

import msgspec
import pytest
from client_fakes import (
    ORDERS,
    PAY,
    WELCOME,
    acked,
    connected,
    hear,
    local,
    publisher,
    reconnect,
    say,
    snapshot,
)

from zreg.client.core.commands import AddSubscription, DropSubscription, ViewChanged
from zreg.client.core.core import ClientCore
from zreg.config import Limits
from zreg.effects import Effect, Emit, Link, Send
from zreg.model import Publisher, Scope, Version
from zreg.wire.records.client_messages import CAPABILITIES, Push, PushAck, Welcome, WhoAreYou
from zreg.wire.records.common_messages import Accepted, Ping, Pong

GATHERING = msgspec.structs.replace(WELCOME, capabilities=CAPABILITIES)
# The ping interval of the welcome is 1 s; an acknowledgement waits for half of it.
WAIT_SECONDS = 0.5


def following(welcome: Welcome = GATHERING) -> ClientCore:
    """Return a core with the view of one datum at version 0, at time 0."""
    core = connected(welcome=welcome)
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))
    hear(core, Accepted((1,)))
    hear(core, snapshot(publisher(), version=Version(1, 0)))
    return core


def change(number: int, *publishers: Publisher) -> Push:
    return Push(PAY, Scope.GLOBAL, Version(1, number - 1), Version(1, number), publishers)


def sent(effects: list[Effect]) -> list[object]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def versions(effects: list[Effect]) -> list[Version]:
    events = [effect.event for effect in effects if isinstance(effect, Emit)]
    return [event.difference.version for event in events if isinstance(event, ViewChanged)]


def test_a_snapshot_is_acknowledged_at_once() -> None:
    core = connected(welcome=GATHERING)
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))

    assert sent(hear(core, snapshot())) == [acked()]


def test_the_view_changes_at_once_and_the_fourth_push_is_acknowledged_for_all() -> None:
    core = following()

    for number in range(1, Limits.pushes_gathered_max):
        effects = hear(core, change(number))
        assert versions(effects) == [Version(1, number)]
        assert sent(effects) == []
    last = Limits.pushes_gathered_max

    assert sent(hear(core, change(last))) == [acked(Version(1, last))]
    assert core.next_tick_at() is not None
    assert sent(list(core.tick(0.6))) == [], "nothing is left to acknowledge"


def test_an_acknowledgement_waits_for_half_a_ping_interval() -> None:
    core = following()
    hear(core, change(1), 0.1)
    hear(core, change(2), 0.2)

    assert core.next_tick_at() <= 0.1 + WAIT_SECONDS  # type: ignore[operator]
    assert sent(list(core.tick(0.1 + WAIT_SECONDS - 0.01))) == []
    assert sent(list(core.tick(0.1 + WAIT_SECONDS))) == [acked(Version(1, 2))]


def test_a_ping_interval_that_the_client_does_not_follow_is_no_reason_to_wait() -> None:
    core = following(msgspec.structs.replace(GATHERING, ping_seconds=86_400.0))
    hear(core, change(1), 0.5)
    hear(core, Pong(), 0.9)
    local(core, AddSubscription(2, ORDERS, Scope.GLOBAL), 0.9)

    assert sent(list(core.tick(0.5 + WAIT_SECONDS))) == [acked(Version(1, 1))]


def test_what_waits_leaves_before_a_ping() -> None:
    core = following()
    hear(core, Pong(), 0.9)
    hear(core, change(1), 0.95)

    assert sent(list(core.tick(1.0))) == [acked(Version(1, 1)), Ping()]


def test_large_pushes_are_acknowledged_at_once() -> None:
    core = following()
    body = b"x" * (Limits.push_bytes_gathered_max // 2)
    half = msgspec.structs.replace(publisher(), body=body)

    assert sent(hear(core, change(1, half))) == []
    newer = msgspec.structs.replace(half, version=half.version + 1)
    assert sent(hear(core, change(2, newer))) == [acked(Version(1, 2))]


def test_a_session_that_keeps_one_push_in_flight_is_acknowledged_at_once() -> None:
    core = following(WELCOME)

    assert sent(hear(core, change(1))) == [acked(Version(1, 1))]


def test_after_a_push_that_does_not_fit_the_client_is_silent_until_the_snapshot() -> None:
    core = following()
    hear(core, change(1))
    refusal = PushAck(PAY, Scope.GLOBAL, Version(1, 1), needs_snapshot=True)

    assert sent(hear(core, change(3))) == [refusal]
    assert hear(core, change(4)) == []
    assert hear(core, change(2)) == [], "it would fit, but the session starts anew"
    assert sent(list(core.tick(0.9))) == [], "what waited left with the refusal"

    whole = snapshot(publisher(), version=Version(1, 4))
    assert sent(hear(core, whole, 0.9)) == [acked(Version(1, 4))]
    assert versions(hear(core, change(5), 0.9)) == [Version(1, 5)]


def test_nothing_of_before_a_reconnect_is_acknowledged_and_pushes_are_taken_again() -> None:
    core = following()
    hear(core, change(1))
    hear(core, change(3))

    reconnect(core, GATHERING)

    assert [m for m in sent(list(core.tick(0.7))) if isinstance(m, PushAck)] == []
    fits = change(2)
    assert versions(hear(core, fits, 0.7, peer="session-2")) == [Version(1, 2)]


def test_nothing_is_acknowledged_between_a_new_hello_and_its_welcome() -> None:
    """The session dropped the subscribers at Hello: the replay names what the client has."""
    core = following()
    hear(core, change(1))

    hear(core, WhoAreYou(), 0.1)

    until_ping = [m for at in (0.6, 1.2) for m in sent(list(core.tick(at)))]
    assert until_ping == [Ping()]


def test_a_subscription_that_is_dropped_acknowledges_nothing() -> None:
    core = following()
    hear(core, change(1))

    local(core, DropSubscription(1))

    assert [m for m in sent(list(core.tick(0.6))) if isinstance(m, PushAck)] == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_tick_looks_at_waiting_acknowledgements_only(count: int) -> None:
    """However many views wait, the first that is due takes all of them along."""
    core = connected(welcome=GATHERING)
    names = [msgspec.convert(f"id-{number}#@#I#@#G", type(PAY)) for number in range(count)]
    for number, name in enumerate(names, 1):
        local(core, AddSubscription(number, name, Scope.GLOBAL))
        hear(core, msgspec.structs.replace(snapshot(version=Version(1, 0)), data_info_id=name))
        hear(core, msgspec.structs.replace(change(1), data_info_id=name), 0.1 * number)

    effects = list(core.tick(0.1 + WAIT_SECONDS))

    assert effects == [say(PushAck(name, Scope.GLOBAL, Version(1, 1))) for name in names]
    assert all(effect.link is Link.SESSION for effect in effects if isinstance(effect, Send))
