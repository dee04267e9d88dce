"""Bodies: readers get the published values back, and a bad body raises nothing but PeerError."""

import contextlib
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import every_flip, plain_values, texts

from zreg.config import Limits
from zreg.errors import MalformedError, PeerError, UsageError
from zreg.wire.body import Body, pack_body, unpack_body

endpoints = st.dictionaries(texts, plain_values, max_size=4)
values = st.lists(texts | st.binary(max_size=20) | endpoints, min_size=1, max_size=4)
attributes = st.dictionaries(texts, texts, max_size=4)
times = st.floats(allow_nan=False, allow_infinity=False)


@given(values, attributes, times)
def test_a_body_round_trips(
    given_values: list[Any], given_attributes: dict[str, str], registered_at: float
) -> None:
    packed = pack_body(given_values, attributes=given_attributes, registered_at=registered_at)

    assert unpack_body(packed) == Body(registered_at, given_attributes, tuple(given_values))


@given(
    st.lists(plain_values, max_size=4),
    st.dictionaries(
        plain_values.filter(lambda value: not isinstance(value, list | dict)),
        plain_values,
        max_size=3,
    ),
)
def test_every_body_that_can_be_packed_can_be_unpacked(
    given_values: list[Any], endpoint: dict[Any, Any]
) -> None:
    """The client that publishes gets the error, not its readers."""
    try:
        packed = pack_body([*given_values, endpoint], attributes={}, registered_at=0.0)
    except UsageError:
        return

    assert unpack_body(packed).values == (*given_values, endpoint)


def test_a_registration_time_can_be_a_whole_number() -> None:
    assert unpack_body(pack_body(["x"], attributes={}, registered_at=5)).registered_at == 5.0


@pytest.mark.parametrize("count", [0, Limits.values_per_publisher_max + 1])
def test_the_number_of_values_is_limited(count: int) -> None:
    with pytest.raises(UsageError, match="1 to 64 values"):
        pack_body(["x"] * count, attributes={}, registered_at=0.0)


def test_the_most_values_and_attributes_travel() -> None:
    many = {f"k{number}": "v" for number in range(Limits.attributes_per_publisher_max)}
    most = ["x"] * Limits.values_per_publisher_max

    body = unpack_body(pack_body(most, attributes=many, registered_at=0.0))

    assert (list(body.values), body.attributes) == (most, many)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({f"k{number}": "v" for number in range(65)}, "65 attributes are too many"),
        ({"key": 1}, "keys and values are text"),
        ({1: "value"}, "keys and values are text"),
        ({"k" * 1000: "v" * 25}, "longer than 1024 characters"),
    ],
    ids=["many", "value", "key", "long"],
)
def test_attributes_are_limited(bad: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        pack_body(["x"], attributes=bad, registered_at=0.0)


@pytest.mark.parametrize(
    "value", [5, None, 1.5, ["x"], pytest.param(object(), id="object")], ids=repr
)
def test_a_value_is_text_bytes_or_an_endpoint(value: Any) -> None:
    with pytest.raises(UsageError, match="text, bytes or an endpoint"):
        pack_body(["fine", value], attributes={}, registered_at=0.0)


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"tags": {1, 2}}, {"n": 2**64}, {"deep": [[[]]] * 67}, {5: "key"}, {"k": {5: 1}}],
    ids=repr,
)
def test_a_value_that_readers_could_not_unpack_is_refused_when_published(value: Any) -> None:
    with pytest.raises(UsageError, match="what is published"):
        pack_body([value], attributes={}, registered_at=0.0)


def test_a_body_over_the_limit_of_bytes_is_refused() -> None:
    overhead = len(pack_body(["x" * 60_000], attributes={}, registered_at=0.0)) - 60_000
    longest = "x" * (Limits.body_bytes_max - overhead)
    assert len(pack_body([longest], attributes={}, registered_at=0.0)) == Limits.body_bytes_max

    with pytest.raises(UsageError, match="takes 65537 bytes, the limit is 65536"):
        pack_body([longest + "x"], attributes={}, registered_at=0.0)


@given(values, attributes)
def test_every_cut_of_a_body_is_refused(
    given_values: list[Any], given_attr: dict[str, str]
) -> None:
    packed = pack_body(given_values, attributes=given_attr, registered_at=0.0)

    for length in range(len(packed)):
        with pytest.raises(PeerError) as caught:
            unpack_body(packed[:length])
        assert caught.value.code == MalformedError.code


@given(st.binary(max_size=100))
def test_garbage_raises_nothing_but_peer_error(garbage: bytes) -> None:
    with contextlib.suppress(PeerError):
        unpack_body(garbage)


@given(values)
def test_a_flipped_bit_raises_nothing_but_peer_error(given_values: list[Any]) -> None:
    for flipped in every_flip(pack_body(given_values[:2], attributes={}, registered_at=1.5)):
        try:
            body = unpack_body(flipped)
        except PeerError:
            continue
        assert isinstance(body.registered_at, float)
        assert all(isinstance(value, str | bytes | dict) for value in body.values)


@pytest.mark.parametrize(
    "opened",
    [
        None,
        5,
        "abc",
        {},
        [],
        [1.0],
        [1.0, {}],
        [1, {}, "x"],
        [1.0, [], "x"],
        [1.0, {"a": 1}, "x"],
        [1.0, {b"a": "b"}, "x"],
        [1.0, {}, 5],
        [1.0, {}, None],
        [1.0, {}, ["x"]],
        [1.0, {}, {b"host": "x"}],
        [1.0, {}, {5: "x"}],
        [1.0, {}, *["x"] * 65],
        [1.0, {}, {str(number): 1 for number in range(65)}],
        [1.0, {}, msgpack.ExtType(5, b"x")],
        [1.0, {}, msgpack.Timestamp(1)],
    ],
    ids=lambda opened: repr(opened)[:40],
)
def test_bytes_that_are_no_body_are_refused(opened: object) -> None:
    with pytest.raises(PeerError, match="not a body") as caught:
        unpack_body(msgpack.packb(opened))

    assert caught.value.code == MalformedError.code


@pytest.mark.parametrize("start", [b"\x91", b"\x81\xa1x"])
def test_depth_is_limited(start: bytes) -> None:
    with pytest.raises(PeerError):
        unpack_body(b"\x93\xcb" + bytes(8) + b"\x80" + start * 50_000 + b"\xc0")


def test_a_registration_time_that_is_not_finite_is_refused() -> None:
    """Readers show the time as a date and sort by it."""
    for registered_at in (math.nan, math.inf):
        with pytest.raises(PeerError, match="not a body"):
            unpack_body(msgpack.packb([registered_at, {}, "x"]))
