"""Endpoints: read from text, checked, and written as an address."""

import pytest

from zreg.client.view.endpoint import Endpoint
from zreg.errors import UsageError


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
def test_text_that_is_not_an_endpoint_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Endpoint.parse(text)


def test_an_endpoint_has_an_address_and_a_url() -> None:
    endpoint = Endpoint("h", 8080)

    assert endpoint.address == str(endpoint) == "h:8080"
    assert endpoint.url() == "http://h:8080/"
    assert endpoint.url(scheme="https", path="/v1/x") == "https://h:8080/v1/x"
    assert hash(Endpoint("h", 1, tags={"a"})) == hash(Endpoint("h", 1, tags=frozenset({"a"})))


def test_an_endpoint_without_a_host_has_no_address_yet() -> None:
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
def test_an_endpoint_with_an_invalid_field_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Endpoint(**arguments)  # type: ignore[arg-type]
