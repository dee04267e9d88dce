"""Connections to data nodes: one pair per incarnation, made again until the node is gone."""

from random import Random

import pytest
from session_fakes import CONFIG, D1, D2, PAY, bring_up, make_links, make_membership, names_at

from zreg.effects import ENDED, TIMED_OUT, Connect, Disconnect, Link, PeerLost, PeerUp
from zreg.model import Incarnation
from zreg.session.upstream.data_links import DataLinks


def connects(peer: str) -> list[Connect]:
    node_id = peer.partition("@")[0]
    return [
        Connect(Link.CHANGES, peer, f"tcp://{node_id}:2"),
        Connect(Link.DATA, peer, f"tcp://{node_id}:1"),
    ]


def test_every_data_node_gets_a_connection_for_requests_and_one_for_hints() -> None:
    links = DataLinks(CONFIG, rng=Random(1))
    assert (links.peers(), links.primary(PAY)) == ([], "")

    has_new_ring, effects = links.follow(make_membership(D1, D2))

    assert has_new_ring
    assert effects == [*connects(D1), *connects(D2)]
    assert links.peers() == [D1, D2]
    assert links.ring_epoch == 3


def test_the_same_membership_again_connects_nothing() -> None:
    links = make_links(D1)

    assert links.follow(make_membership(D1)) == (False, [])


def test_a_membership_with_the_same_ring_keeps_ring_and_connections() -> None:
    links = make_links(D1)
    ring = links.ring

    assert links.follow(make_membership(D1, epoch=9, ring_epoch=3)) == (False, [])

    assert links.ring is ring
    assert links.ring_epoch == 3
    assert links.epoch == 9
    assert links.is_up(D1)


def test_a_node_that_is_gone_is_disconnected() -> None:
    links = make_links(D1, D2)

    has_new_ring, effects = links.follow(make_membership(D2, epoch=4))

    assert has_new_ring
    assert effects == [Disconnect(Link.CHANGES, D1), Disconnect(Link.DATA, D1)]
    assert not links.is_up(D1)
    assert links.peers() == [D2]
    assert links.primary(PAY) == D2


def test_another_incarnation_of_a_node_has_connections_of_its_own() -> None:
    """An answer of a predecessor must never be taken for one of its successor."""
    links = make_links(D1)

    has_new_ring, effects = links.follow(make_membership("d1@4", epoch=4))

    assert has_new_ring
    assert effects == [
        Disconnect(Link.CHANGES, D1),
        Disconnect(Link.DATA, D1),
        *connects("d1@4"),
    ]
    assert links.primary(PAY) == "d1@4"
    assert not links.is_up("d1@4")


def test_every_id_has_one_primary_among_the_nodes() -> None:
    links = make_links(D1, D2)

    owners = {links.primary(name) for peer in (D1, D2) for name in names_at(links, peer, 5)}

    assert owners == {D1, D2}


def test_requests_can_be_sent_once_their_connection_stands_and_until_it_breaks() -> None:
    links = make_links(D1, is_up=False)
    assert not links.is_up(D1)

    bring_up(links, D1)
    assert links.is_up(D1)

    assert links.connections.on_peer_lost(PeerLost(Link.DATA, D1), 5.0) == D1
    assert not links.is_up(D1)


def test_a_lost_connection_for_hints_does_not_stop_requests() -> None:
    links = make_links(D1)

    assert links.connections.on_peer_lost(PeerLost(Link.CHANGES, D1), 5.0) is None

    assert links.is_up(D1)
    assert links.connections.next_tick_at() is not None


@pytest.mark.parametrize("link", [Link.DATA, Link.CHANGES])
def test_connections_of_unknown_data_nodes_are_ignored(link: Link) -> None:
    links = make_links(D1)

    assert links.connections.on_peer_up(PeerUp(link, "d1@9")) is None
    assert links.connections.on_peer_lost(PeerLost(link, "d1@9"), 5.0) is None
    assert links.connections.next_tick_at() is None


def test_a_lost_connection_is_made_again_after_a_pause_and_once() -> None:
    links = make_links(D1)
    links.connections.on_peer_lost(PeerLost(Link.DATA, D1), 5.0)
    due = links.connections.next_tick_at()
    assert due is not None
    assert 5.0 < due <= 5.0 + CONFIG.reconnect_seconds_max

    assert links.connections.tick(due - 0.001) == []
    assert links.connections.tick(due) == [Connect(Link.DATA, D1, "tcp://d1:1")]
    assert links.connections.tick(due + 10.0) == []
    assert links.connections.next_tick_at() is None


def pauses(links: DataLinks, count: int) -> list[float]:
    """Let a connection fail so often; return the pauses before the next attempts."""
    now, found = 0.0, []
    for _ in range(count):
        links.connections.on_peer_lost(PeerLost(Link.DATA, D1), now)
        due = links.connections.next_tick_at()
        assert due is not None
        found.append(due - now)
        now = due
        links.connections.tick(now)
    return found


def test_pauses_grow_while_a_node_cannot_be_reached_and_begin_again_when_it_was() -> None:
    links = make_links(D1)
    grown = pauses(links, 8)
    assert max(grown) <= CONFIG.reconnect_seconds_max
    assert max(grown[4:]) > 4 * CONFIG.reconnect_seconds_min

    bring_up(links, D1)

    assert pauses(links, 1)[0] <= 2 * CONFIG.reconnect_seconds_min


def test_a_node_that_left_is_not_connected_to_again() -> None:
    links = make_links(D1)
    links.connections.on_peer_lost(PeerLost(Link.DATA, D1), 5.0)

    links.follow(make_membership(epoch=4))

    assert links.connections.next_tick_at() is None
    assert links.connections.tick(100.0) == []
    assert links.primary(PAY) == ""


def test_no_two_requests_have_the_same_id() -> None:
    links = make_links()

    assert [links.requests.next_id() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("reason", ENDED)
def test_a_connection_that_ended_is_reported_once_until_it_has_stood_again(reason: str) -> None:
    links = make_links(D1, is_up=False)
    lost = PeerLost(Link.DATA, D1, reason)

    assert links.connections.unreported(lost, "m1") == Incarnation(1, "d1")
    assert links.connections.unreported(lost, "m1") == Incarnation(1, "d1"), "it could not be said"
    links.connections.note_reported(D1, "m1")
    assert links.connections.unreported(lost, "m1") is None
    assert links.connections.unreported(lost, "m2") == Incarnation(1, "d1"), (
        "the next leader knows nothing"
    )

    bring_up(links, D1)
    assert links.connections.unreported(lost, "m1") == Incarnation(1, "d1")


@pytest.mark.parametrize(
    "lost",
    [
        PeerLost(Link.DATA, D1, TIMED_OUT),
        PeerLost(Link.DATA, D1, "handshake failed"),
        PeerLost(Link.DATA, "d1@9", ENDED[0]),
    ],
)
def test_a_silent_or_unknown_data_node_is_not_reported(lost: PeerLost) -> None:
    assert make_links(D1).connections.unreported(lost, "m1") is None
