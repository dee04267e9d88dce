"""Members that are not reached at their own address are tried where they are said to be."""

from meta_fakes import PEERS, Cluster, running

from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.sightings import Sighted
from zreg.effects import HostChanged, Link, PeerLost, PeerUp
from zreg.meta.peers.suggested_addresses import SUGGESTED_MAX, SuggestedAddresses
from zreg.model import Role

HOME, ELSEWHERE = "tcp://10.0.0.1:9611", "tcp://10.0.0.2:9611"


def test_attempts_alternate_between_the_configured_and_a_suggested_address() -> None:
    suggested = SuggestedAddresses()
    assert suggested.next("m1", HOME, HOME) == HOME

    assert suggested.add("m1", ELSEWHERE)
    assert not suggested.add("m1", ELSEWHERE)
    assert suggested.next("m1", HOME, HOME) == ELSEWHERE
    assert suggested.next("m1", HOME, ELSEWHERE) == HOME
    suggested.forget("m1")
    assert suggested.next("m1", HOME, HOME) == HOME


def test_a_suggestion_that_was_not_tried_comes_before_those_that_failed() -> None:
    suggested = SuggestedAddresses()
    lies = [f"tcp://10.0.1.{number}:9611" for number in range(SUGGESTED_MAX)]
    for lie in lies:
        assert suggested.add("m1", lie)
    assert not suggested.add("m1", ELSEWHERE), "none of them has failed"

    suggested.note_failed("m1", lies[2])
    suggested.note_failed("m1", HOME)
    assert suggested.add("m1", ELSEWHERE)
    assert suggested.of("m1") == (lies[0], lies[1], lies[3], ELSEWHERE)
    for lie in (lies[0], lies[1], lies[3]):
        assert suggested.next("m1", HOME, None) == lie
        suggested.note_failed("m1", lie)
    assert suggested.next("m1", HOME, HOME) == ELSEWHERE


def test_of_a_member_that_is_up_the_latest_suggestions_are_kept() -> None:
    suggested = SuggestedAddresses()
    addresses = [f"tcp://10.0.1.{number}:9611" for number in range(9)]
    for address in addresses:
        assert suggested.add("m1", address, is_peer_up=True)

    assert suggested.of("m1") == tuple(addresses[-SUGGESTED_MAX:])


def run(nodes: Cluster, seconds: float) -> None:
    """Let time pass; attempts at addresses at which no node is end after half a second."""
    for _ in range(round(seconds / 0.5)):
        nodes.run(0.5)
        cores = nodes.cores.values()
        there = {core.raft_driver.peers.introductions.identity.address for core in cores}
        for (name, peer), address in list(nodes.wanted.items()):
            if address not in there and (name, peer) not in nodes.connected:
                nodes.give(name, Link.LOCAL, "", PeerLost(Link.RAFT_ASK, peer, "refused"))


def announce(nodes: Cluster, node_id: str, address: str, **changes: object) -> None:
    fields: dict[str, object] = {
        "role": Role.META,
        "node_id": node_id,
        "cluster": "zreg",
        "addresses": (),
        "raft_address": address,
        "journal_id": f"journal of {node_id}",
    }
    announcement = Announcement(**(fields | {"addresses": (address,)} | changes))  # type: ignore[arg-type]
    for name in nodes.cores:
        sighted = Sighted(node_id, Interface("eth0"), announcement)
        nodes.give(name, Link.LOCAL, "", sighted)


def move_all(cluster: Cluster) -> dict[str, str]:
    """Give all nodes other addresses at once; return them."""
    moved = {name: f"tcp://10.0.9.{number}:9611" for number, name in enumerate(PEERS, 1)}
    cluster.cut = set(PEERS)
    for name, peer in list(cluster.connected):
        cluster.connected.discard((name, peer))
        cluster.give(name, Link.LOCAL, "", PeerLost(Link.RAFT_ASK, peer, "closed"))
    for name, address in moved.items():
        host = address.removeprefix("tcp://").partition(":")[0]
        cluster.give(name, Link.LOCAL, "", HostChanged(host, f"again {name}".encode()))
    cluster.cut = set()
    return moved


def addresses(cluster: Cluster) -> list[dict[str, str]]:
    cores = cluster.cores.values()
    return [core.raft_driver.raft.configuration.addresses for core in cores]


def test_all_nodes_that_moved_at_once_find_each_other_by_their_announcements() -> None:
    cluster = running()
    moved = move_all(cluster)
    run(cluster, 5.0)
    assert cluster.connected == set(), "no node reaches another one"

    for node_id, address in moved.items():
        announce(cluster, node_id, address)
    run(cluster, 8.0)

    assert addresses(cluster) == [moved] * 3
    assert "raft.peer.found" in cluster.events()
    assert cluster.failed() == {}


def test_announcements_with_another_journal_cluster_or_name_are_not_followed() -> None:
    cluster = running()
    moved = move_all(cluster)
    for node_id, address in moved.items():
        announce(cluster, node_id, address, journal_id="another")
        announce(cluster, node_id, address, journal_id="")
        announce(cluster, node_id, address, cluster="other")
        announce(cluster, node_id, address, cluster_id=b"?" * 16)
        announce(cluster, node_id, "tcp://a-name:9611")
        announce(cluster, "m9", address)
    run(cluster, 5.0)

    assert cluster.connected == set()
    peers = cluster.cores["m1"].raft_driver.peers
    assert [peers._suggested.of(name) for name in (*PEERS, "m9")] == [()] * 4


def test_a_process_at_a_suggested_address_that_says_nothing_is_left() -> None:
    cluster = running()
    move_all(cluster)
    peers = cluster.cores["m1"].raft_driver.peers
    peers.suggest("m2", ELSEWHERE)
    for _ in range(20):
        run(cluster, 0.5)
        if cluster.wanted.get(("m1", "m2")) == ELSEWHERE:
            break
    cluster.cut = set(PEERS)
    cluster.give("m1", Link.LOCAL, "", PeerUp(Link.RAFT_ASK, "m2"))
    cluster.run(2.0)

    assert cluster.wanted.get(("m1", "m2")) == PEERS["m2"], "its own address has its turn again"
