"""An introduction is repeated until it is answered, and only answers that can be to it count."""

from random import Random

from meta_fakes import PEERS, identity_of

from zreg.effects import Effect, Link, Send
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.peers.identity import first_save, persisted_of
from zreg.meta.peers.introduction_requests import IntroductionRequests
from zreg.meta.peers.introductions import Introductions
from zreg.wire.records.meta_messages import IntroduceMeta


def make() -> tuple[IntroductionRequests, Introductions]:
    raft = new_raft("m1", persisted_of(first_save(PEERS)), Random(1))
    introductions = Introductions(identity_of("m1"), raft, {})
    return IntroductionRequests(introductions), introductions


def introduction(introductions: Introductions, peer: str, request_id: int) -> Effect:
    about = introductions.about_me(peer)
    return Send(Link.RAFT_ASK, peer, IntroduceMeta(request_id, *about))


def test_an_introduction_is_repeated_each_second_under_a_new_id() -> None:
    requests, introductions = make()
    assert requests.next_tick_at() is None
    assert requests.send("m2", 5.0) == introduction(introductions, "m2", 1)
    assert requests.send("m3", 5.5) == introduction(introductions, "m3", 2)

    assert requests.next_tick_at() == 6.0
    assert requests.tick(5.9) == []
    assert requests.tick(6.0) == [introduction(introductions, "m2", 3)]
    assert requests.next_tick_at() == 6.5
    assert repr(requests) == "<IntroductionRequests to m2, m3>"


def test_an_answer_counts_while_its_introduction_waits() -> None:
    requests, _ = make()
    assert not requests.awaits("m2", 0)
    requests.send("m2", 5.0)

    assert requests.awaits("m2", 1)
    assert not requests.awaits("m3", 1)
    requests.end("m2")
    assert not requests.awaits("m2", 1)
    assert requests.tick(9.0) == []


def test_an_answer_to_an_id_that_was_not_used_yet_does_not_count() -> None:
    """An earlier process at this address introduced itself more often."""
    requests, _ = make()
    requests.send("m2", 5.0)

    assert not requests.awaits("m2", 2)
