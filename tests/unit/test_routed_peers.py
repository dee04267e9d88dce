"""Which peers of a ROUTER are probed, and when."""

import pytest

from zreg.reactor.sockets.bound.routed_peers import (
    PROBE_AGAIN_SECONDS,
    PROBES_MAX,
    ROUNDS,
    RoutedPeers,
)


def test_a_peer_whose_descriptor_closed_is_probed_a_few_times() -> None:
    peers = RoutedPeers()
    peers.add(b"a", 7)
    peers.add(b"b", 8)
    assert peers.next_due_at() is None
    peers.on_closed(7)
    probed_at = []
    now = 0.0
    while (due_at := peers.next_due_at()) is not None:
        now = max(now, due_at)
        assert peers.take_due(now) == [b"a"]
        assert peers.take_due(now) == []
        probed_at.append(now)
    expected = [sum(PROBE_AGAIN_SECONDS[:count]) for count in range(len(PROBE_AGAIN_SECONDS) + 1)]
    assert probed_at == pytest.approx(expected)
    assert b"a" in peers.descriptors


def test_the_former_peer_of_a_reused_descriptor_is_probed() -> None:
    peers = RoutedPeers()
    peers.add(b"a", 7)
    peers.add(b"b", 7)
    assert peers.take_due(0.0) == [b"a"]
    peers.forget(b"a")
    peers.on_closed(7)
    assert peers.take_due(0.0) == [b"b"]


def test_a_peer_that_is_heard_after_its_descriptor_closed_is_probed() -> None:
    peers = RoutedPeers()
    peers.on_closed(7)
    peers.add(b"a", 7)
    assert peers.take_due(0.0) == [b"a"]
    peers.on_accepted(7)
    peers.forget(b"a")
    peers.add(b"b", 7)
    assert peers.take_due(0.0) == []


def heard(peers: RoutedPeers, *routing_ids: bytes) -> None:
    for routing_id in routing_ids:
        peers.hear(routing_id)


def closing(*routing_ids: bytes) -> RoutedPeers:
    """Return peers of which the first one's descriptor has closed."""
    peers = RoutedPeers()
    for descriptor, routing_id in enumerate(routing_ids):
        peers.add(routing_id, descriptor)
    peers.on_closed(0)
    return peers


def test_a_round_ends_when_a_peer_is_heard_again() -> None:
    peers = RoutedPeers()
    heard(peers, b"a", b"b", b"c")
    assert peers.round_count == 0
    heard(peers, b"a", b"b", b"c", b"c", b"c")
    assert peers.round_count == 3


def test_a_peer_is_probed_at_once_when_there_is_no_input() -> None:
    peers = closing(b"a", b"b")
    assert peers.take_due(0.0, has_input=True) == []
    assert peers.take_due(0.0) == [b"a"]


def test_a_peer_is_probed_under_load_once_rounds_show_that_it_has_no_input() -> None:
    """A goodbye that waits behind the messages of others is read before its sender is lost."""
    peers = closing(b"a", b"b", b"c")
    assert peers.take_due(0.0, has_input=True) == []
    heard(peers, b"b", b"c", b"a")
    for _ in range(ROUNDS - 1):
        heard(peers, b"b", b"c")
        assert peers.take_due(0.0, has_input=True) == [], "it was heard since"
    heard(peers, b"b")
    assert peers.take_due(0.0, has_input=True) == [b"a"]
    assert peers.take_due(PROBE_AGAIN_SECONDS[0], has_input=True) == [], "as at first"


def test_a_forgotten_peer_is_not_probed() -> None:
    peers = RoutedPeers()
    peers.add(b"a", 7)
    peers.probe(b"a")
    peers.forget(b"a")
    peers.forget(b"a")
    assert (len(peers), peers.next_due_at()) == (0, None)


def test_a_turn_probes_some_of_the_peers_that_are_gone_and_the_next_turns_the_others() -> None:
    """Thousands of connections end at once when a switch fails; a bystander must not wait."""
    names = [number.to_bytes(4, "big") for number in range(3 * PROBES_MAX)]
    peers = RoutedPeers()
    for descriptor, name in enumerate(names):
        peers.add(name, descriptor)
    for descriptor in range(len(names)):
        peers.on_closed(descriptor)

    probed: list[bytes] = []
    for _ in range(3):
        assert peers.next_due_at() == 0.0
        some = peers.take_due(0.0)
        assert len(some) == PROBES_MAX
        for name in some:
            peers.forget(name)
        probed += some
    assert probed == names
    assert peers.next_due_at() is None


def test_a_peer_that_is_heard_all_the_time_is_probed_when_it_is_heard_no_more() -> None:
    peers = closing(b"a", b"b")
    for _ in range(5 * ROUNDS):
        heard(peers, b"a", b"b")
        assert peers.take_due(0.0, has_input=True) == []
    for _ in range(3 * ROUNDS):
        heard(peers, b"b")
        if due := peers.take_due(0.0, has_input=True):
            break
    assert due == [b"a"]


def test_a_probe_that_was_asked_for_again_begins_anew() -> None:
    peers = closing(b"a", b"b")
    assert peers.take_due(0.0) == [b"a"]
    peers.probe(b"a")
    assert peers.take_due(0.0) == [b"a"]
    assert peers.take_due(PROBE_AGAIN_SECONDS[0]) == [b"a"], "the outdated one is dropped"
    assert peers.take_due(PROBE_AGAIN_SECONDS[0]) == []
