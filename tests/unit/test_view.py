"""Views: ordered, immutable, and robust against what other clients publish."""

import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from view_fakes import A, B, C, make_record, make_view

from zreg.client.view.endpoint import Endpoint
from zreg.client.view.view import UNKNOWN_VIEW, Publisher
from zreg.model import ZERO, Version


def test_a_publisher_shows_everything_that_was_published() -> None:
    publisher = Publisher(make_record(A, "x", b"y", Endpoint("h", 1, tags={"blue"})))

    assert publisher.publisher_id == A
    assert publisher.client_id == b"m" * 16
    assert publisher.values == ("x", b"y", Endpoint("h", 1, tags=frozenset({"blue"})))
    assert (publisher.zone, publisher.data_center, publisher.app) == ("z", "dc", "app")
    assert publisher.attributes == {"k": "v"}
    assert publisher.registered_at == 5.0
    assert not publisher.is_suspect
    assert publisher.is_readable
    assert repr(Publisher(make_record())) == "<Publisher 61616161 app='app' values=('x',)>"


def test_a_view_is_a_sequence_in_the_order_of_publisher_ids() -> None:
    view = make_view(make_record(C, "c"), make_record(A, "a", "aa"), make_record(B, "b", zone="y"))

    assert [publisher.publisher_id for publisher in view] == [A, B, C]
    assert view[0].publisher_id == A
    assert [publisher.publisher_id for publisher in view[1:]] == [B, C]
    assert view.values == ("a", "aa", "b", "c")
    assert {zone: len(publishers) for zone, publishers in view.by_zone.items()} == {"y": 1, "z": 2}
    assert (view.version, view.is_known, view.is_stale) == (Version(1, 1), True, False)
    assert repr(view) == "<View 1.1 publishers=3>"


def test_a_view_that_is_not_known_says_so() -> None:
    assert (len(UNKNOWN_VIEW), UNKNOWN_VIEW.is_known, UNKNOWN_VIEW.version) == (0, False, ZERO)
    assert UNKNOWN_VIEW.age_seconds == math.inf
    assert repr(UNKNOWN_VIEW) == "<View 0.0 publishers=0 not known>"


def test_a_stale_view_ages_and_keeps_its_unpacked_publishers() -> None:
    view = make_view(make_record())
    opened = view[0]
    stale = view.with_staleness(0.0)

    assert (view.age_seconds, view.is_stale) == (0.0, False)
    assert stale.is_stale
    assert stale.age_seconds > 0
    assert stale[0] is opened
    assert repr(stale) == "<View 1.1 publishers=1 is_stale>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        msgpack.packb([1.0, {}, {"port": 0}]),
        msgpack.packb([1.0, {}, {"host": "h", "port": 1, "tags": 3}]),
        msgpack.packb([1.0, {}, {"host": "h", "port": 1, "tags": [3]}]),
        msgpack.packb([1.0, {}, {"host": 7, "port": 1}]),
        msgpack.packb([1.0, {}, {"host": "h", "port": 1, "weight": -1}]),
    ],
)
def test_a_publisher_whose_body_cannot_be_unpacked_is_left_out_and_counted(body: bytes) -> None:
    view = make_view(make_record(A, body=body), make_record(B, "b"))

    assert view.values == ("b",)
    assert view.skipped_count == 1
    assert (view.find(A), view.find(C)) == (None, None)
    assert Publisher(make_record(A, body=body)).values == ()


@given(st.binary(max_size=80))
def test_no_body_makes_a_view_raise(body: bytes) -> None:
    view = make_view(make_record(A, body=body))

    assert len(view) + view.skipped_count == 1


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists, max_leaves=5))
def test_no_endpoint_map_makes_a_view_raise(inside: object) -> None:
    try:
        body = msgpack.packb([1.0, {}, {"host": "h", "port": inside, "tags": inside}])
    except (OverflowError, UnicodeEncodeError):
        return
    view = make_view(make_record(A, body=body))

    assert len(view) + view.skipped_count == 1


def test_unknown_fields_of_an_endpoint_map_are_ignored() -> None:
    body = msgpack.packb([1.0, {}, {"host": "h", "port": 1, "color": "green"}])

    assert make_view(make_record(A, body=body)).values == (Endpoint("h", 1),)
