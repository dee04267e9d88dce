"""Fields of the endpoints of a publication change, and all else stays."""

import msgspec
import pytest

from zreg.client.view.endpoint import Endpoint
from zreg.client.view.updated import EndpointChanges, updated
from zreg.client.view.values import Payload, Value
from zreg.errors import UsageError


def payload_of(*values: Value) -> Payload:
    return Payload(values, {"rack": "7"}, registered_at=1.0)


def test_the_given_fields_change_in_all_endpoints() -> None:
    payload = payload_of(Endpoint("a", 80, 70, "1", {"x"}), "text", Endpoint(port=81))

    changed = updated(payload, None, {"weight": 5, "version": "2"})

    assert changed.values == (
        Endpoint("a", 80, 5, "2", {"x"}),
        "text",
        Endpoint(port=81, weight=5, version="2"),
    )
    assert changed.attributes == {"rack": "7"}


def test_attributes_replace_the_former_ones_also_without_an_endpoint() -> None:
    changed = updated(payload_of("text"), {"room": "1"}, {})

    assert (changed.values, changed.attributes) == (("text",), {"room": "1"})


@pytest.mark.parametrize(
    ("values", "fields", "error"),
    [
        ((Endpoint(port=80),), {"colour": 5}, "no field 'colour': its fields are host, port"),
        (("10.0.0.7:80",), {"weight": 5}, "no value of this publication is a zreg.Endpoint"),
        ((Endpoint(port=80),), {}, "changes nothing"),
        ((Endpoint(port=80),), {"weight": -1}, "weight -1 cannot be used"),
        ((Endpoint(port=80),), {"tags": "blue"}, "tags 'blue' cannot be used"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    values: tuple[Value, ...], fields: dict[str, object], error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        updated(payload_of(*values), None, fields)


def test_type_checkers_know_all_fields_of_an_endpoint() -> None:
    names = [field.name for field in msgspec.structs.fields(Endpoint)]

    assert list(EndpointChanges.__annotations__) == names
