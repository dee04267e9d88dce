"""Values: packed into a body, checked against the limits, unpacked as they were given."""

import pytest

from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Payload, Value, pack_values, unpack_value
from zreg.errors import UsageError
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
