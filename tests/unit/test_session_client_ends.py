"""When thousands of clients end at once, each turn of their session removes a share of them."""

from collections.abc import Iterator

import pytest
from session_client_fakes import GRACE, make_session
from session_fakes import CONFIG, PAY, Session

from zreg.effects import Disconnect, Effect, Link, Log, PeerLost
from zreg.model import Scope
from zreg.wire.records.client_messages import Publish, Subscribe

COUNT = 600
# Each client is removed with a publisher and a subscriber.
ENDS_PER_TURN = 86


def peer_of(number: int) -> bytes:
    return number.to_bytes(4)


def client_id_of(number: int) -> bytes:
    return number.to_bytes(16)


def come(session: Session, number: int) -> None:
    publish = Publish(1, number.to_bytes(16), 1, PAY, b"value")
    subscribe = Subscribe(2, PAY, Scope.GLOBAL)
    session.greet(peer_of(number), publish, subscribe, client_id=client_id_of(number))


def crowded() -> Session:
    session = make_session(clients_max=COUNT + 1)
    for number in range(COUNT):
        come(session, number)
    return session


def lose_crowd(session: Session) -> None:
    """Close all connections but that of one client more, which comes now."""
    come(session, COUNT)
    session.local(*(PeerLost(Link.CLIENTS, peer_of(number)) for number in range(COUNT)))


def turns(session: Session, seconds: float) -> Iterator[list[Effect]]:
    """Let time pass; yield the effects of each tick."""
    end = session.now + seconds
    while (at := session.core.next_tick_at()) is not None and at <= end:
        session.now = max(session.now, at)
        yield [*session.core.tick(session.now), *session.core.settle(session.now)]
    session.now = end


def ended(effects: list[Effect]) -> list[str]:
    """Return the ids of the clients that ended."""
    logs = [each for each in effects if isinstance(each, Log) and each.event == "client.off"]
    return [str(each.fields["client"]) for each in logs]


@pytest.mark.parametrize("cause", ["closed", "silent"])
def test_a_crowd_that_ends_at_once_is_removed_in_shares_without_a_pause(cause: str) -> None:
    session = crowded()
    if cause == "closed":
        lose_crowd(session)
    wait = GRACE if cause == "closed" else CONFIG.lease_seconds

    counts: list[tuple[float, int]] = []
    disconnect_count = 0
    for effects in turns(session, wait + 1.0):
        disconnect_count += sum(
            isinstance(each, Disconnect) and each.link is Link.CLIENTS for each in effects
        )
        if gone := ended(effects):
            counts.append((session.now, len(gone)))

    assert max(count for _, count in counts) == ENDS_PER_TURN
    assert sum(count for _, count in counts) == COUNT
    assert counts[-1][0] == counts[0][0], "each share has its turn at once"
    assert session.core.statistics()["clients"] == (1 if cause == "closed" else 0)
    assert disconnect_count == (COUNT if cause == "silent" else 0)


def test_a_client_that_returns_before_its_turn_has_not_ended() -> None:
    session = crowded()
    lose_crowd(session)

    gone: list[str] = []
    last = COUNT - 1
    for effects in turns(session, GRACE + 1.0):
        if ended(effects) and not gone:
            come(session, last)
        gone += ended(effects)

    assert client_id_of(last).hex() not in gone
    assert len(gone) == COUNT - 1
    assert session.core.statistics()["clients"] == 2
