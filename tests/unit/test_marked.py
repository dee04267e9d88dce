"""What subscribers see of an instance that takes no calls now."""

from zreg.client.view.endpoint import Endpoint
from zreg.client.view.marked import has_endpoint, marked_unhealthy, without_weight
from zreg.client.view.values import Payload, Value


def payload_of(*values: Value, **attributes: str) -> Payload:
    return Payload(values, attributes, registered_at=1.0)


def test_endpoints_have_no_weight_and_keep_all_else() -> None:
    endpoint = Endpoint("10.0.0.7", 80, 70, "1.4", {"blue"})
    payload = without_weight(payload_of(endpoint, b"raw", rack="7"))

    assert payload.values == (Endpoint("10.0.0.7", 80, 0, "1.4", {"blue"}), b"raw")
    assert payload.attributes == {"rack": "7"}


def test_a_text_that_a_service_reads_as_an_endpoint_has_no_weight_either() -> None:
    payload = without_weight(
        payload_of("10.0.0.7:80", "[fe80::1]:80?weight=70&tag=a", "no endpoint")
    )

    assert payload.values == (
        "10.0.0.7:80?weight=0",
        "[fe80::1]:80?tag=a&weight=0",
        "no endpoint",
    )
    first, second = (Endpoint.parse(str(value)) for value in payload.values[:2])
    assert (first.weight, second.weight, second.tags) == (0, 0, {"a"})


def test_a_mark_says_why_and_keeps_the_attributes_and_the_time() -> None:
    payload = payload_of("text", rack="7")
    marked = marked_unhealthy(payload, "no database")

    assert marked.attributes == {"rack": "7", "zreg.health": "no database"}
    assert payload.attributes == {"rack": "7"}
    assert marked.changed(payload.values, payload.attributes).body == payload.body


def test_which_values_have_a_weight() -> None:
    assert has_endpoint(payload_of(b"x", Endpoint(port=80)))
    assert has_endpoint(payload_of("10.0.0.7:80"))
    assert not has_endpoint(payload_of("text", b"10.0.0.7:80"))
