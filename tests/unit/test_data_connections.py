"""The connections of a node to data nodes: made, made again, reported when they end."""

import pytest
from replica_fakes import CONFIG, D2, D3, A, B, NoJitter, data_member

from zreg.effects import (
    CLOSED,
    CLOSED_EARLY,
    HANDSHAKE_FAILED,
    REFUSED,
    TIMED_OUT,
    UNREACHABLE,
    Connect,
    Disconnect,
    Link,
    PeerLost,
    PeerUp,
)
from zreg.membership.data_connections import DataConnections
from zreg.model import Incarnation

TWO = [data_member(D2), data_member(D3)]


def make_connections(*, hears_changes: bool = True) -> DataConnections:
    """Return connections to two data nodes that are being made."""
    connections = DataConnections(CONFIG, hears_changes=hears_changes, rng=NoJitter())
    connections.follow(TWO)
    return connections


def lost(link: Link = Link.DATA, peer: str = A, reason: str = CLOSED) -> PeerLost:
    return PeerLost(link, peer, reason)


def test_a_follower_connects_to_both_sockets_of_each_data_node() -> None:
    connections = DataConnections(CONFIG, hears_changes=True, rng=NoJitter())

    assert connections.follow(TWO) == [
        Connect(Link.CHANGES, A, "tcp://d2:2"),
        Connect(Link.DATA, A, "tcp://d2:1"),
        Connect(Link.CHANGES, B, "tcp://d3:2"),
        Connect(Link.DATA, B, "tcp://d3:1"),
    ]

    assert connections.follow(TWO) == []
    assert connections.peers == {"d2": A, "d3": B}


def test_a_primary_connects_for_requests_alone() -> None:
    connections = DataConnections(CONFIG, hears_changes=False, rng=NoJitter())

    assert connections.follow(TWO[:1]) == [Connect(Link.DATA, A, "tcp://d2:1")]


def test_a_later_incarnation_has_connections_of_its_own() -> None:
    connections = make_connections()
    connections.on_peer_lost(lost(), 0.0)
    again = data_member(Incarnation(9, "d2"))

    assert connections.follow([again, TWO[1]]) == [
        Disconnect(Link.CHANGES, A),
        Disconnect(Link.DATA, A),
        Connect(Link.CHANGES, "d2@9", "tcp://d2:2"),
        Connect(Link.DATA, "d2@9", "tcp://d2:1"),
    ]

    assert connections.peers == {"d2": "d2@9", "d3": B}
    assert connections.next_tick_at() is None, "the former incarnation is not dialled again"


def test_only_the_connection_for_requests_makes_a_node_reachable() -> None:
    connections = make_connections()
    assert not connections.is_up(A)

    assert connections.on_peer_up(PeerUp(Link.CHANGES, A)) is None
    assert not connections.is_up(A)
    assert connections.on_peer_up(PeerUp(Link.DATA, A)) == A
    assert connections.is_up(A)
    assert connections.on_peer_lost(lost(Link.CHANGES), 0.0) is None
    assert connections.is_up(A)
    assert connections.on_peer_lost(lost(), 0.0) == A

    assert not connections.is_up(A)


def test_a_connection_of_a_node_that_is_not_followed_is_ignored() -> None:
    connections = make_connections()

    assert connections.on_peer_up(PeerUp(Link.DATA, "d9@9")) is None
    assert connections.on_peer_lost(lost(peer="d9@9"), 0.0) is None
    assert connections.unreported(lost(peer="d9@9"), "meta") is None

    assert not connections.is_up("d9@9")
    assert connections.next_tick_at() is None


def test_a_lost_connection_is_made_again_with_growing_pauses() -> None:
    connections = make_connections()
    now, pauses = 0.0, []
    for _ in range(7):
        connections.on_peer_lost(lost(), now)
        due = connections.next_tick_at()
        assert due is not None
        assert connections.tick(due - 0.001) == []
        assert connections.tick(due) == [Connect(Link.DATA, A, "tcp://d2:1")]
        assert connections.next_tick_at() is None
        pauses.append(round(due - now, 3))
        now = due

    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


def test_a_connection_that_stood_is_made_again_after_the_shortest_pause() -> None:
    connections = make_connections()
    connections.on_peer_lost(lost(), 0.0)
    connections.on_peer_lost(lost(), 0.0)

    connections.on_peer_up(PeerUp(Link.DATA, A))
    assert connections.next_tick_at() is None
    connections.on_peer_lost(lost(), 5.0)

    assert connections.next_tick_at() == 5.05


@pytest.mark.parametrize("reason", [REFUSED, CLOSED, CLOSED_EARLY, UNREACHABLE])
def test_a_connection_that_ended_is_reported(reason: str) -> None:
    connections = make_connections()

    assert connections.unreported(lost(reason=reason), "meta") == D2


@pytest.mark.parametrize("reason", [TIMED_OUT, HANDSHAKE_FAILED, "does not resolve: d2"])
def test_silence_is_not_reported(reason: str) -> None:
    connections = make_connections()

    assert connections.unreported(lost(reason=reason), "meta") is None


def test_each_leader_gets_one_report_of_a_loss() -> None:
    connections = make_connections()
    connections.note_reported(A, "meta")

    assert connections.unreported(lost(), "meta") is None
    assert connections.unreported(lost(), "meta-2") == D2
    assert connections.unreported(lost(peer=B), "meta") == D3

    connections.on_peer_up(PeerUp(Link.DATA, A))
    assert connections.unreported(lost(), "meta") == D2
