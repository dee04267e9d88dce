"""Views: ordered, immutable, and robust against what other clients publish."""

import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg import model
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Value, pack_values
from zreg.client.view.view import UNKNOWN_VIEW, Publisher, View
from zreg.client.view.view_change import ViewChange, change_between
from zreg.errors import UsageError
from zreg.model import ZERO, Incarnation, Version

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def make_record(
    publisher_id: bytes = A, *values: Value, body: bytes | None = None, zone: str = "z"
) -> model.Publisher:
    if body is None:
        body = pack_values(values or ("x",), attributes={"k": "v"}, host=None, registered_at=5.0)
    return model.Publisher(publisher_id, 1, b"m" * 16, Incarnation(1, "s"), zone, "dc", "app", body)


def make_view(*records: model.Publisher) -> View:
    upserts = {record.publisher_id: record for record in records}
    return UNKNOWN_VIEW.with_changes(upserts, (), version=Version(1, 1), stale_since=None)


def test_a_publisher_shows_everything_that_was_said() -> None:
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


def test_a_stale_view_ages_and_keeps_what_it_showed() -> None:
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
def test_what_cannot_be_opened_is_left_out_and_counted(body: bytes) -> None:
    view = make_view(make_record(A, body=body), make_record(B, "b"))

    assert view.values == ("b",)
    assert view.skipped_count == 1
    assert (view.find(A), view.find(C)) == (None, None)
    assert Publisher(make_record(A, body=body)).values == ()


@given(st.binary(max_size=80))
def test_whatever_a_body_holds_nothing_is_raised(body: bytes) -> None:
    view = make_view(make_record(A, body=body))

    assert len(view) + view.skipped_count == 1


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists, max_leaves=5))
def test_whatever_an_endpoint_holds_nothing_is_raised(inside: object) -> None:
    try:
        body = msgpack.packb([1.0, {}, {"host": "h", "port": inside, "tags": inside}])
    except (OverflowError, UnicodeEncodeError):
        return
    view = make_view(make_record(A, body=body))

    assert len(view) + view.skipped_count == 1


def test_a_newer_version_of_the_map_may_know_more() -> None:
    body = msgpack.packb([1.0, {}, {"host": "h", "port": 1, "color": "green"}])

    assert make_view(make_record(A, body=body)).values == (Endpoint("h", 1),)


def test_changes_make_a_new_view_and_leave_the_old_one() -> None:
    old = make_view(make_record(A, "a"), make_record(B, "b"))
    new = old.with_changes(
        {B: make_record(B, "bb"), C: make_record(C, "c")},
        [A, b"unknown"],
        version=Version(1, 2),
        stale_since=None,
    )

    assert old.values == ("a", "b")
    assert new.values == ("bb", "c")
    assert change_between(old, new, [C, B, A]) == ViewChange(
        new, added=(new[1],), removed=(old[0],), updated=(new[0],), temporary=()
    )


def test_what_came_and_went_or_stayed_the_same_is_no_change() -> None:
    old = make_view(make_record(A, "a"))
    new = old.with_changes({A: make_record(A, "a")}, [], version=Version(1, 2), stale_since=None)

    assert change_between(old, new, [A, B]) == ViewChange(new)


# --- endpoints -------------------------------------------------------------------------------


def test_an_endpoint_is_read_from_text() -> None:
    assert Endpoint.parse("10.0.0.7:12200") == Endpoint("10.0.0.7", 12200)
    assert Endpoint.parse("h:1?weight=7&version=1.4&tag=a&tag=b&x=y") == Endpoint(
        "h", 1, weight=7, version="1.4", tags={"a", "b"}
    )
    assert Endpoint.parse("[::1]:80").address == "[::1]:80"


@pytest.mark.parametrize(
    "text",
    [
        *("", "h", "h:", ":80", "h:0", "h:65536", "h:x", "http://h:1", "h:1/p", "a b:1", "::1:80"),
        *("h:1?weight=x", "h:1?weight=-1", "h:1?weight=99999", "h:1?weight=" + "9" * 1999),
        "h:1?" + "&".join(f"tag={number}" for number in range(40)),
        "h:1?" + "a=b&" * 600,
    ],
)
def test_text_that_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Endpoint.parse(text)


def test_an_endpoint_says_how_to_reach_it() -> None:
    endpoint = Endpoint("h", 8080)

    assert endpoint.address == str(endpoint) == "h:8080"
    assert endpoint.url() == "http://h:8080/"
    assert endpoint.url(scheme="https", path="/v1/x") == "https://h:8080/v1/x"
    assert hash(Endpoint("h", 1, tags={"a"})) == hash(Endpoint("h", 1, tags=frozenset({"a"})))


def test_an_endpoint_without_host_cannot_be_reached_yet() -> None:
    endpoint = Endpoint(port=8080)

    assert str(endpoint) == ":8080"
    with pytest.raises(UsageError, match="no host yet"):
        _ = endpoint.address


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"port": 0},
        {"port": 70_000},
        {"port": "80"},
        {"port": True},
        {"port": 80, "weight": -1},
        {"port": 80, "weight": 1.5},
        {"port": 80, "host": ""},
        {"port": 80, "host": "a\nb"},
        {"port": 80, "version": "x" * 300},
        {"port": 80, "tags": "blue"},
        {"port": 80, "tags": {1}},
        {"port": 80, "tags": {str(n) for n in range(40)}},
    ],
)
def test_an_endpoint_that_nobody_could_use_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Endpoint(**arguments)  # type: ignore[arg-type]


def test_a_host_stands_in_for_endpoints_that_have_none() -> None:
    body = pack_values(
        [Endpoint(port=1), Endpoint("h", 2)], attributes={}, host="here", registered_at=1.0
    )

    assert make_view(make_record(A, body=body)).values == (Endpoint("here", 1), Endpoint("h", 2))


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(UsageError, match="give text, bytes or an Endpoint"):
        pack_values([1], attributes={}, host=None, registered_at=1.0)  # type: ignore[list-item]
