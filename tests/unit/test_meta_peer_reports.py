"""Operators are told once why a peer is not up, and of its return if they were told of its loss."""

from zreg.effects import INFO, WARNING, Effect, Log
from zreg.meta.peers.peer_reports import PeerReports

PEER = "m2"


def refused(detail: str) -> list[Effect]:
    return [Log(WARNING, "raft.peer.refused", {"peer": PEER, "detail": detail})]


def test_a_peer_without_a_reason_is_not_reached() -> None:
    assert PeerReports().reason(PEER) == "not reached"


def test_a_reason_is_logged_once_until_it_is_forgotten() -> None:
    reports = PeerReports()

    assert reports.on_not_accepted(PEER, "wrong cluster") == refused("wrong cluster")
    assert reports.on_not_accepted(PEER, "wrong cluster") == []
    assert reports.on_not_accepted(PEER, "removed") == refused("removed")
    assert reports.reason(PEER) == "removed"
    reports.forget_reason(PEER)
    assert reports.on_not_accepted(PEER, "removed") == refused("removed")
    assert repr(reports) == "<PeerReports reasons=1 lost=0>"


def test_the_return_of_a_peer_is_logged_exactly_if_its_loss_was() -> None:
    reports = PeerReports()

    assert reports.on_accepted(PEER) == []
    lost = Log(WARNING, "raft.peer.lost", {"peer": PEER, "more_may_fail": 1})
    assert reports.on_lost(PEER, 1) == lost
    reports.on_not_accepted(PEER, "removed")
    assert reports.on_accepted(PEER) == [Log(INFO, "raft.peer.restored", {"peer": PEER})]
    assert reports.on_accepted(PEER) == []
    assert reports.reason(PEER) == "not reached"


def test_the_return_of_a_peer_that_was_removed_meanwhile_is_not_logged() -> None:
    reports = PeerReports()
    reports.on_lost(PEER, 0)
    reports.forget(PEER)

    assert reports.on_accepted(PEER) == []
