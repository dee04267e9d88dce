"""Values: packed into a body, checked against the limits, unpacked as they were given."""

from collections.abc import Iterator, Mapping
from typing import cast

import msgspec
import pytest

from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Payload, Value, pack_values, unpack_value
from zreg.config import Limits
from zreg.errors import UsageError
from zreg.hosts import HOST_CHARACTERS_MAX
from zreg.wire.body import unpack_body


def unpacked(body: bytes) -> list[Value]:
    return [unpack_value(value) for value in unpack_body(body).values]


def test_a_payload_is_packed_once_if_it_needs_no_host() -> None:
    payload = Payload(["a", b"b", Endpoint("h", 1)], {"k": "v"}, registered_at=1.0)

    assert not payload.needs_host
    assert payload.values == ("a", b"b", Endpoint("h", 1))
    assert payload.attributes == {"k": "v"}
    assert unpacked(payload.body) == ["a", b"b", Endpoint("h", 1)]
    assert unpack_body(payload.body).registered_at == 1.0


def test_a_payload_that_needs_a_host_gets_it_later() -> None:
    payload = Payload(["a", Endpoint(port=1)], {}, registered_at=1.0)

    assert payload.needs_host
    assert unpacked(payload.body_with("here")) == ["a", Endpoint("here", 1)]


def test_a_payload_over_a_limit_is_refused_before_its_host_is_known() -> None:
    with pytest.raises(UsageError, match="limit"):
        Payload([b"x" * 70_000, Endpoint(port=1)], {}, registered_at=1.0)


def test_endpoints_without_a_host_get_the_one_that_is_given() -> None:
    body = pack_values(
        [Endpoint(port=1), Endpoint("h", 2)], attributes={}, host="here", registered_at=1.0
    )

    assert unpacked(body) == [Endpoint("here", 1), Endpoint("h", 2)]


def test_an_object_that_is_not_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="give text, bytes or an Endpoint"):
        pack_values([1], attributes={}, host=None, registered_at=1.0)  # type: ignore[list-item]


def test_a_payload_keeps_copies_of_what_it_was_given() -> None:
    values: list[Value] = ["a"]
    attributes = {"k": "v"}
    payload = Payload(values, attributes, registered_at=1.0)
    values.append("b")
    attributes["k"] = "w"

    assert payload.values == ("a",)
    assert payload.attributes == {"k": "v"}
    assert Payload(["a"], None, registered_at=1.0).attributes == {}


class Changing(Mapping[str, str]):
    """A mapping that answers differently each time."""

    def __init__(self) -> None:
        self._answers = iter(["v", 5, 6])

    def __getitem__(self, name: str) -> str:
        return cast("str", next(self._answers))

    def __iter__(self) -> Iterator[str]:
        return iter(("k",))

    def __len__(self) -> int:
        return 1


def test_the_copy_of_the_attributes_is_what_is_checked_and_packed() -> None:
    payload = Payload([Endpoint(port=1)], Changing(), registered_at=1.0)

    assert payload.attributes == {"k": "v"}
    assert unpack_body(payload.body_with("here")).attributes == {"k": "v"}


@pytest.mark.parametrize("attributes", [["a"], [], "k", 0, ("k", "v"), {"k"}])
def test_attributes_that_are_no_mapping_are_refused(attributes: object) -> None:
    with pytest.raises(UsageError, match="give a mapping of text to text"):
        Payload(["a"], attributes, registered_at=1.0)  # type: ignore[arg-type]


def test_a_payload_within_the_limit_is_within_it_with_any_host() -> None:
    """Otherwise the limit would be met on the thread of the connection, where no call is told."""
    filling = b"x" * (Limits.body_bytes_max - HOST_CHARACTERS_MAX - 100)
    payload = Payload([filling, Endpoint(port=1)], {}, registered_at=1.0)
    assert payload.body_with("h" * HOST_CHARACTERS_MAX)

    with pytest.raises(UsageError, match="limit"):
        Payload([filling + b"x" * 60, Endpoint(port=1)], {}, registered_at=1.0)


class OwnEndpoint(Endpoint, frozen=True):
    """A program's own kind of endpoint."""


def test_an_endpoint_of_a_class_of_the_program_gets_its_host_too() -> None:
    payload = Payload([OwnEndpoint(port=1)], {}, registered_at=1.0)

    assert payload.needs_host
    assert unpacked(payload.body_with("here")) == [Endpoint("here", 1)]


def test_metadata_travel_in_the_body() -> None:
    endpoint = Endpoint("h", 1, metadata={"rack": "7"})
    body = pack_values([endpoint], attributes={}, host=None, registered_at=1.0)

    assert unpacked(body) == [endpoint]
    assert unpack_body(body).values == (
        {
            "host": "h",
            "port": 1,
            "weight": 100,
            "version": "",
            "tags": [],
            "metadata": {"rack": "7"},
        },
    )


def test_an_endpoint_without_metadata_is_packed_as_it_was_before_there_were_any() -> None:
    body = pack_values([Endpoint("h", 1)], attributes={}, host=None, registered_at=1.0)

    assert [list(value) for value in unpack_body(body).values] == [
        ["host", "port", "weight", "version", "tags"]
    ]


@pytest.mark.parametrize(
    ("packed", "endpoint"),
    [
        ({"host": "h", "port": 1}, Endpoint("h", 1)),
        ({"host": "h", "port": 1, "later": {"a": 1}, "slot": None}, Endpoint("h", 1)),
        ({"port": 1, "metadata": {"a": "b"}}, Endpoint(port=1, metadata={"a": "b"})),
    ],
)
def test_a_packed_endpoint_may_lack_fields_and_have_unknown_ones(
    packed: dict[str, object], endpoint: Endpoint
) -> None:
    assert unpack_value(packed) == endpoint


@pytest.mark.parametrize("metadata", [3, ["a"], {"a": 1}, {"": "a"}, {"a": "x" * 300}])
def test_a_packed_endpoint_with_metadata_that_are_none_is_refused(metadata: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        unpack_value({"host": "h", "port": 1, "metadata": metadata})
