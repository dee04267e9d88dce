"""Which peers of a ROUTER are probed, and when."""

import pytest

from zreg.reactor.sockets.bound.routed_peers import PROBE_AGAIN_SECONDS, RoutedPeers


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


def test_a_forgotten_peer_is_not_probed() -> None:
    peers = RoutedPeers()
    peers.add(b"a", 7)
    peers.probe(b"a")
    peers.forget(b"a")
    peers.forget(b"a")
    assert (len(peers), peers.next_due_at()) == (0, None)
