"""Listings: complete over all data nodes, or refused; never a part that looks like the whole."""

import pytest
from session_fakes import ALICE, BOB, D1, D2, V1, make_links, to_client, to_data

from zreg.config import Limits
from zreg.effects import Link, PeerLost, Send
from zreg.errors import LimitError, NotReadyError
from zreg.model import data_info_id
from zreg.session.proxy.listings import Listings
from zreg.session.upstream.data_links import DataLinks
from zreg.wire.common_messages import Refused
from zreg.wire.data_messages import DatumsListed, DatumSummary, ListDatums

LIST = ListDatums(77, "*", "after", 2)


def lines(*names: str) -> tuple[DatumSummary, ...]:
    return tuple(DatumSummary(data_info_id(name), V1, 1) for name in names)


def make_queries(*data: str) -> tuple[DataLinks, Listings]:
    links = make_links(*data)
    return links, Listings(links, lambda: "")


def test_a_listing_is_asked_of_every_data_node() -> None:
    _, queries = make_queries(D1, D2)

    effects = queries.ask(ALICE, LIST, 0.0)

    passed_on = ListDatums(1, "*", "after", 2)
    assert effects == [*to_data(D1, passed_on), *to_data(D2, passed_on)]


def test_the_client_is_answered_after_the_last_node_in_the_order_of_names() -> None:
    _, queries = make_queries(D1, D2)
    queries.ask(ALICE, LIST, 0.0)

    assert queries.listed(D2, DatumsListed(1, lines("b"))) == []
    answer = queries.listed(D1, DatumsListed(1, lines("a")))

    assert answer == to_client(ALICE, DatumsListed(77, lines("a", "b"), is_complete=True))
    assert queries.next_tick_at() is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            DatumsListed(1, lines("a", "c")), DatumsListed(1, lines("b")), id="more than asked for"
        ),
        pytest.param(
            DatumsListed(1, lines("a", "b"), is_complete=False),
            DatumsListed(1, ()),
            id="a node stopped at the limit",
        ),
    ],
)
def test_a_page_says_when_there_is_more(first: DatumsListed, second: DatumsListed) -> None:
    _, queries = make_queries(D1, D2)
    queries.ask(ALICE, LIST, 0.0)

    queries.listed(D1, first)
    answer = queries.listed(D2, second)

    assert answer == to_client(ALICE, DatumsListed(77, lines("a", "b"), is_complete=False))


def test_answers_that_come_twice_late_or_from_a_stranger_are_nobodys() -> None:
    _, queries = make_queries(D1, D2)
    queries.ask(ALICE, LIST, 0.0)

    assert queries.listed("d9@9", DatumsListed(1, lines("x"))) == []
    assert queries.listed(D1, DatumsListed(1, lines("a"))) == []
    assert queries.listed(D1, DatumsListed(1, lines("a"))) == []
    assert queries.listed(D1, DatumsListed(5, lines("x"))) == []

    answer = queries.listed(D2, DatumsListed(1, ()))
    assert answer == to_client(ALICE, DatumsListed(77, lines("a"), is_complete=True))
    assert queries.listed(D2, DatumsListed(1, ())) == []


def test_a_listing_is_refused_while_a_data_node_cannot_be_asked() -> None:
    links, queries = make_queries(D1, D2)
    links.went_down(PeerLost(Link.DATA, D2), 0.0)

    detail = "no connection to d2@2: a listing would not be complete, try again"
    refused = Refused(77, NotReadyError.code, detail)
    assert queries.ask(ALICE, LIST, 0.0) == to_client(ALICE, refused)


def test_a_listing_is_refused_while_there_is_no_data_node() -> None:
    _, queries = make_queries()

    detail = "no connection to any data node: a listing would not be complete, try again"
    refused = Refused(77, NotReadyError.code, detail)
    assert queries.ask(ALICE, LIST, 0.0) == to_client(ALICE, refused)


def test_a_listing_that_takes_too_long_is_refused_and_names_who_did_not_answer() -> None:
    _, queries = make_queries(D1, D2)
    queries.ask(ALICE, LIST, 10.0)
    queries.ask(BOB, LIST, 11.0)
    queries.listed(D1, DatumsListed(1, ()))
    assert queries.next_tick_at() == 12.0

    assert queries.tick(11.9) == []
    detail = "no answer from d2@2: a listing would not be complete, try again"
    assert queries.tick(12.0) == to_client(ALICE, Refused(77, NotReadyError.code, detail))

    assert queries.next_tick_at() == 13.0
    assert queries.listed(D2, DatumsListed(1, ())) == [], "too late"


def test_listings_under_way_are_bounded() -> None:
    _, queries = make_queries(D1)
    for _ in range(100):
        assert len(queries.ask(ALICE, LIST, 0.0)) == 1

    refused = Refused(77, LimitError.code, "too many listings at a time")
    assert queries.ask(ALICE, LIST, 0.0) == to_client(ALICE, refused)


def test_a_listing_shares_its_ids_with_no_other_request_to_a_data_node() -> None:
    """Or a refusal of the one would be taken for a refusal of the other."""
    links, queries = make_queries(D1)
    taken = links.next_request_id()

    effects = queries.ask(ALICE, LIST, 0.0)

    assert effects == to_data(D1, ListDatums(taken + 1, "*", "after", 2))


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_listing_that_cannot_be_names_meta_where_meta_is_away(*, is_lost: bool) -> None:
    """Nobody takes the place of a data node meanwhile: to try again is no use."""
    links = make_links(D1)
    queries = Listings(links, lambda: "meta is away: " + "x" * Limits.detail_characters_max)
    if is_lost:
        links.went_down(PeerLost(Link.DATA, D1, "closed"), 0.0)
        (effect,) = queries.ask(ALICE, LIST, 0.0)
    else:
        queries.ask(ALICE, LIST, 0.0)
        (effect,) = queries.tick(10.0)

    assert isinstance(effect, Send)
    assert isinstance(effect.message, Refused)
    what = f"no connection to {D1}" if is_lost else f"no answer from {D1}"
    assert effect.message.detail.startswith(f"{what}, and meta is away: ")
    assert len(effect.message.detail) == Limits.detail_characters_max
