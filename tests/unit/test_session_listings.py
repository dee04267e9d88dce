"""Listings: complete over all data nodes, or refused; never a part that looks complete."""

import pytest
from msgspec.structs import replace
from session_fakes import ALICE, BOB, D1, D2, V1, V2, make_links, to_client, to_data

from zreg.config import Limits
from zreg.effects import Effect, Link, PeerLost, Send
from zreg.errors import LimitError, NotReadyError
from zreg.model import data_info_id
from zreg.session.proxy.listings import Listing, Listings
from zreg.wire.codec import encode_frames
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import DatumsListed, DatumSummary, ListDatums

LIST = ListDatums(77, "*", "after", 2)


def lines(*names: str) -> tuple[DatumSummary, ...]:
    return tuple(DatumSummary(data_info_id(name), V1, 1) for name in names)


class Bench:
    """Listings with their connections."""

    def __init__(self, *data: str, outage_sentence: str = "") -> None:
        self.links = make_links(*data)
        self.listings = Listings(self.links)
        self.outage_sentence = outage_sentence

    def ask(self, peer: bytes = ALICE, now: float = 0.0) -> list[Effect]:
        return self.listings.ask(peer, LIST, now, outage_sentence=self.outage_sentence)

    def answer(self, node: str, answer: DatumsListed) -> list[Effect]:
        """Hand an answer to the owner of its request, as the core does."""
        owner = self.links.requests.owner(node, answer.request_id)
        if not isinstance(owner, Listing):
            return []
        return self.listings.on_datums_listed(node, owner, answer)

    def tick(self, now: float) -> list[Effect]:
        expired = [owner for _, _, owner in self.links.requests.take_expired(now)]
        listings = dict.fromkeys(owner for owner in expired if isinstance(owner, Listing))
        return self.listings.on_expired(listings, outage_sentence=self.outage_sentence)

    def next_tick_at(self) -> float | None:
        return self.links.requests.next_deadline_at()


def test_a_listing_is_asked_of_every_data_node() -> None:
    bench = Bench(D1, D2)

    effects = bench.ask()

    passed_on = ListDatums(1, "*", "after", 2)
    assert effects == [*to_data(D1, passed_on), *to_data(D2, passed_on)]


def test_the_client_is_answered_after_the_last_node_in_the_order_of_names() -> None:
    bench = Bench(D1, D2)
    bench.ask()

    assert bench.answer(D2, DatumsListed(1, lines("b"))) == []
    answer = bench.answer(D1, DatumsListed(1, lines("a")))

    assert answer == to_client(ALICE, DatumsListed(77, lines("a", "b"), is_complete=True))
    assert bench.next_tick_at() is None


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
    bench = Bench(D1, D2)
    bench.ask()

    bench.answer(D1, first)
    answer = bench.answer(D2, second)

    assert answer == to_client(ALICE, DatumsListed(77, lines("a", "b"), is_complete=False))


def test_a_page_ends_where_the_first_answer_was_cut() -> None:
    """A data node whose answer was cut by bytes has more names before those of another."""
    bench = Bench(D1, D2)
    bench.ask()

    bench.answer(D1, DatumsListed(1, lines("b"), is_complete=False))
    answer = bench.answer(D2, DatumsListed(1, lines("a", "c")))

    assert answer == to_client(ALICE, DatumsListed(77, lines("a", "b"), is_complete=False))


def test_names_after_the_end_of_a_cut_answer_are_left_for_the_next_page() -> None:
    bench = Bench(D1, D2)
    bench.ask()

    bench.answer(D1, DatumsListed(1, lines("a"), is_complete=False))
    answer = bench.answer(D2, DatumsListed(1, lines("b", "c"), is_complete=False))

    assert answer == to_client(ALICE, DatumsListed(77, lines("a"), is_complete=False))


def test_long_names_of_several_data_nodes_are_cut_to_one_record() -> None:
    names = [f"{number:03}" + "\U0001f98a" * 253 for number in range(240)]
    bench = Bench(D1, D2)
    asked = ListDatums(77, "*")
    bench.listings.ask(ALICE, asked, 0.0, outage_sentence="")

    bench.answer(D1, DatumsListed(1, lines(*names[::2])))
    (effect,) = bench.answer(D2, DatumsListed(1, lines(*names[1::2])))

    assert isinstance(effect, Send)
    listed = effect.message
    assert isinstance(listed, DatumsListed)
    assert len(encode_frames([listed])) == 1
    assert 0 < len(listed.datums) < 240
    assert listed == DatumsListed(77, lines(*names)[: len(listed.datums)], is_complete=False)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            DatumsListed(1, lines("a"), is_unsure=True, ring_epoch=5),
            DatumsListed(1, lines("b"), ring_epoch=5),
            id="a data node has just taken over",
        ),
        pytest.param(
            DatumsListed(1, lines("a"), ring_epoch=5),
            DatumsListed(1, lines("b"), ring_epoch=6),
            id="a data node has a newer ring",
        ),
        pytest.param(
            DatumsListed(1, lines("a"), ring_epoch=4),
            DatumsListed(1, lines("b")),
            id="a data node has an older ring",
        ),
    ],
)
def test_a_listing_says_that_names_may_be_missing(
    first: DatumsListed, second: DatumsListed
) -> None:
    bench = Bench(D1, D2)
    bench.links.ring_epoch = 5
    bench.ask()

    bench.answer(D1, first)
    answer = bench.answer(D2, second)

    assert answer == to_client(ALICE, DatumsListed(77, lines("a", "b"), is_unsure=True))


def test_a_listing_is_sure_by_one_ring_and_of_nodes_that_tell_none() -> None:
    bench = Bench(D1, D2)
    bench.links.ring_epoch = 5
    bench.ask()

    bench.answer(D1, DatumsListed(1, lines("a"), ring_epoch=5))
    answer = bench.answer(D2, DatumsListed(1, lines("b")))

    assert answer == to_client(ALICE, DatumsListed(77, lines("a", "b")))


def test_a_name_of_two_data_nodes_is_listed_once_at_its_higher_version() -> None:
    older, newer = lines("a")[0], replace(lines("a")[0], version=V2)
    for first, second in ((older, newer), (newer, older)):
        bench = Bench(D1, D2)
        bench.ask()
        bench.answer(D1, DatumsListed(1, (first,)))
        answer = bench.answer(D2, DatumsListed(1, (second,)))
        assert answer == to_client(ALICE, DatumsListed(77, (newer,)))


def test_answers_that_come_twice_or_late_or_from_another_node_are_ignored() -> None:
    bench = Bench(D1, D2)
    bench.ask()

    assert bench.answer("d9@9", DatumsListed(1, lines("x"))) == []
    assert bench.answer(D1, DatumsListed(1, lines("a"))) == []
    assert bench.answer(D1, DatumsListed(1, lines("a"))) == []
    assert bench.answer(D1, DatumsListed(5, lines("x"))) == []

    answer = bench.answer(D2, DatumsListed(1, ()))
    assert answer == to_client(ALICE, DatumsListed(77, lines("a"), is_complete=True))
    assert bench.answer(D2, DatumsListed(1, ())) == []


def test_a_listing_is_refused_while_a_data_node_cannot_be_asked() -> None:
    bench = Bench(D1, D2)
    bench.links.connections.on_peer_lost(PeerLost(Link.DATA, D2), 0.0)

    detail = "no connection to d2@2: a listing would not be complete, try again"
    refused = Refused(77, NotReadyError.code, detail)
    assert bench.ask() == to_client(ALICE, refused)


def test_a_listing_is_refused_while_there_is_no_data_node() -> None:
    bench = Bench()

    detail = "no connection to any data node: a listing would not be complete, try again"
    refused = Refused(77, NotReadyError.code, detail)
    assert bench.ask() == to_client(ALICE, refused)


def test_a_listing_that_takes_too_long_is_refused_and_names_the_nodes_that_did_not_answer() -> None:
    bench = Bench(D1, D2)
    bench.ask(ALICE, 10.0)
    bench.ask(BOB, 11.0)
    bench.answer(D1, DatumsListed(1, ()))
    assert bench.next_tick_at() == 12.0

    assert bench.tick(11.9) == []
    detail = "no answer from d2@2: a listing would not be complete, try again"
    assert bench.tick(12.0) == to_client(ALICE, Refused(77, NotReadyError.code, detail))

    assert bench.next_tick_at() == 13.0
    assert bench.answer(D2, DatumsListed(1, ())) == [], "too late"


def test_listings_under_way_are_bounded() -> None:
    bench = Bench(D1)
    for _ in range(100):
        assert len(bench.ask()) == 1

    refused = Refused(77, LimitError.code, "this session has 100 listings under way: try again")
    assert bench.ask() == to_client(ALICE, refused)


def test_a_listing_shares_its_ids_with_no_other_request_to_a_data_node() -> None:
    """Otherwise a refusal of one would be taken for a refusal of the other."""
    bench = Bench(D1)
    taken = bench.links.requests.next_id()

    effects = bench.ask()

    assert effects == to_data(D1, ListDatums(taken + 1, "*", "after", 2))


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_refused_listing_says_when_meta_is_away_too(*, is_lost: bool) -> None:
    """No other node takes the place of a data node meanwhile: trying again would not help."""
    outage = "meta is away: " + "x" * Limits.detail_characters_max
    bench = Bench(D1, outage_sentence=outage)
    if is_lost:
        bench.links.connections.on_peer_lost(PeerLost(Link.DATA, D1, "closed"), 0.0)
        (effect,) = bench.ask()
    else:
        bench.ask()
        (effect,) = bench.tick(10.0)

    assert isinstance(effect, Send)
    assert isinstance(effect.message, Refused)
    what = f"no connection to {D1}" if is_lost else f"no answer from {D1}"
    assert effect.message.detail.startswith(f"{what}, and meta is away: ")
    assert len(effect.message.detail) == Limits.detail_characters_max


def test_a_refusal_by_one_data_node_ends_the_listing() -> None:
    bench = Bench(D1, D2)
    bench.ask()
    listing = bench.links.requests.owner(D2, 1)
    assert isinstance(listing, Listing)

    refused = Refused(77, NotReadyError.code, "d2@2: no")
    no = Refused(1, NotReadyError.code, "no")
    assert bench.listings.on_refused(D2, listing, no) == to_client(ALICE, refused)

    assert len(bench.links.requests) == 0
    assert bench.answer(D1, DatumsListed(1, ())) == []


def test_a_data_node_that_has_answered_cannot_refuse_the_listing() -> None:
    bench = Bench(D1, D2)
    bench.ask()
    bench.answer(D1, DatumsListed(1, ()))

    assert bench.links.requests.owner(D1, 1) is None
    assert bench.links.requests.owner(D2, 1) is not None
