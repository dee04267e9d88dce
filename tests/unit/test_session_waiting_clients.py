"""Who waits at a session that is no member, and what data nodes are told of it."""

import math

from session_fakes import ALICE_ID, BOB_ID, CONFIG, D1, D2, bring_up, make_links

from zreg.effects import Effect, Link, Send
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.registered.waiting_clients import WaitingClients
from zreg.wire.records.data_messages import ClientWaits

LEASE = CONFIG.lease_seconds


def make_waiting() -> tuple[WaitingClients, DataLinks]:
    links = make_links(D1, D2, is_up=False)
    bring_up(links, D1)
    return WaitingClients(links, LEASE), links


def told(*changes: tuple[bytes, bool]) -> list[Effect]:
    return [Send(Link.DATA, D1, ClientWaits(*change)) for change in changes]


def test_each_data_node_that_is_up_is_told_each_change_once() -> None:
    waiting, _ = make_waiting()
    waiting.add(ALICE_ID)
    waiting.add(ALICE_ID)
    waiting.add(BOB_ID)

    assert waiting.settle(0.0) == told((ALICE_ID, True), (BOB_ID, True))
    assert waiting.settle(0.0) == []
    waiting.add(ALICE_ID)
    waiting.discard(BOB_ID)
    waiting.discard(BOB_ID)
    assert waiting.settle(0.0) == told((BOB_ID, False))
    waiting.discard(ALICE_ID)
    assert waiting.settle(0.0) == told((ALICE_ID, False))
    assert waiting.next_tick_at() == math.inf


def test_one_client_is_named_again_once_a_lease() -> None:
    """A data node that has forgotten this session refuses that, and is told of all then."""
    waiting, _ = make_waiting()
    waiting.add(ALICE_ID)
    waiting.add(BOB_ID)
    waiting.settle(1.0)

    assert waiting.next_tick_at() == 1.0 + LEASE
    assert waiting.settle(0.9 + LEASE) == []
    assert waiting.settle(1.0 + LEASE) == told((ALICE_ID, True))
    assert waiting.next_tick_at() == 1.0 + 2 * LEASE


def test_a_data_node_that_is_reached_later_is_told_of_all() -> None:
    waiting, links = make_waiting()
    waiting.add(ALICE_ID)
    waiting.settle(0.0)

    bring_up(links, D2)
    assert waiting.tell(D2) == [Send(Link.DATA, D2, ClientWaits(ALICE_ID))]


def test_a_client_without_a_connection_is_waited_for_two_leases() -> None:
    waiting, _ = make_waiting()
    waiting.add(ALICE_ID)
    waiting.await_return(ALICE_ID, 10.0)
    waiting.await_return(BOB_ID, 10.0)
    waiting.settle(10.0)

    waiting.settle(9.9 + 2 * LEASE)
    assert waiting.next_tick_at() == 10.0 + 2 * LEASE
    assert waiting.settle(10.0 + 2 * LEASE) == told((ALICE_ID, False))


def test_a_client_that_comes_back_is_waited_for_without_end() -> None:
    waiting, _ = make_waiting()
    waiting.add(ALICE_ID)
    waiting.await_return(ALICE_ID, 10.0)
    waiting.add(ALICE_ID)
    waiting.settle(10.0)

    assert waiting.settle(1000.0) == told((ALICE_ID, True))


def test_a_member_forgets_all_and_knows_until_when_each_may_come_back() -> None:
    waiting, _ = make_waiting()
    waiting.add(ALICE_ID)
    waiting.add(BOB_ID)
    waiting.await_return(BOB_ID, 10.0)

    assert waiting.take_all() == {ALICE_ID: None, BOB_ID: 10.0 + 2 * LEASE}
    assert waiting.take_all() == {}
    assert waiting.settle(1000.0) == []
    assert waiting.tell(D1) == []
