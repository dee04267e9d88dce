"""Endpoints: read from text, checked, and written as an address or as text."""

import copy
import pickle  # noqa: TID251 -- programs copy endpoints between their processes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.client.view.endpoint import Endpoint, published_endpoint
from zreg.errors import UsageError


def test_an_endpoint_is_read_from_text() -> None:
    assert Endpoint.parse("10.0.0.7:12200") == Endpoint("10.0.0.7", 12200)
    assert Endpoint.parse("h:1?weight=7&version=1.4&tag=a&tag=b&meta.x=y") == Endpoint(
        "h", 1, weight=7, version="1.4", tags={"a", "b"}, metadata={"x": "y"}
    )
    assert Endpoint.parse("h:1?version=1.4+b7&meta.a%20b=%C3%A9%26").metadata == {"a b": "é&"}
    assert Endpoint.parse("h:1?version=1.4+b7").version == "1.4+b7"
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
        {"port": 80, "metadata": "rack"},
        {"port": 80, "metadata": [("rack", "7")]},
        {"port": 80, "metadata": {"rack": 7}},
        {"port": 80, "metadata": {"": "7"}},
        {"port": 80, "metadata": {"rack": "a\nb"}},
        {"port": 80, "metadata": {"r" * 65: "7"}},
        {"port": 80, "metadata": {"rack": "7" * 257}},
        {"port": 80, "metadata": {str(n): "" for n in range(33)}},
        {"port": 80, "metadata": {str(n): "7" * 250 for n in range(9)}},
    ],
)
def test_an_endpoint_with_an_invalid_field_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Endpoint(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("http://h:1", "leave out the scheme, http://"),
        ("h:1/p", "leave out the path"),
        ("::1:80", r"write an IPv6 host in brackets, as in \[fd00::7\]:80"),
        ("h", "it has no port"),
        ("[::1]", "it has no port"),
        ("h:x", "'x' is no port"),
        ("h:99999", "port 99999 cannot be used: give one from 1 to 65535"),
        ("h:1?wieght=3", "option 'wieght' .* does not exist: did you mean weight?.*tag, meta.NAME"),
        ("h:1?tags=a", "did you mean tag?"),
        ("h:1?rack=7", "option 'rack' .* does not exist: the options are weight, version, tag"),
        ("h:1?meta.=7", "option 'meta.' .* does not exist"),
        ("h:1?weight=1&weight=2", "option 'weight' .* is given twice: give it once"),
        ("h:1?meta.a=1&meta.a=2", "option 'meta.a' .* is given twice: give it once"),
        ("h:1?weight", "option 'weight' .* has no value: write weight=VALUE"),
    ],
)
def test_the_error_of_a_text_says_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"port": "80"}, r"port '80' cannot be used: it is text: .* as a number, int\('80'\)"),
        ({"port": 99999}, "port 99999 cannot be used: give one from 1 to 65535"),
        ({"host": "http://x", "port": 80}, "leave out the scheme and all that follows the host"),
        ({"host": "h:80"}, "leave out the port"),
        ({"port": 80, "metadata": "rack"}, "give a mapping of text to text, such as {'rack': '7'}"),
    ],
)
def test_the_error_of_a_field_says_what_to_give(arguments: dict[str, object], advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        Endpoint(**arguments)  # type: ignore[arg-type]


def test_published_text_may_have_options_that_only_a_newer_program_knows() -> None:
    text = "10.0.0.7:12200?_TIMEOUT=3000&weight=3&weight=4&p&meta.=x&tag=&version="

    assert published_endpoint(text) == Endpoint("10.0.0.7", 12200, weight=4)


def test_metadata_are_a_copy_that_cannot_change() -> None:
    given_metadata = {"rack": "7", "disk": "ssd"}
    endpoint = Endpoint("h", 1, metadata=given_metadata)
    given_metadata["rack"] = "8"

    assert endpoint.metadata == {"rack": "7", "disk": "ssd"}
    assert repr(endpoint.metadata) == "{'rack': '7', 'disk': 'ssd'}"
    with pytest.raises(TypeError):
        endpoint.metadata["rack"] = "8"  # type: ignore[index]


def test_equal_endpoints_have_one_hash_and_their_copies_are_equal() -> None:
    one = Endpoint("h", 1, metadata={"a": "1", "b": "2"})
    two = Endpoint("h", 1, metadata={"b": "2", "a": "1"})

    assert one == two
    assert hash(one) == hash(two)
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one  # noqa: S301 -- its own


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20).filter(str.isprintable)


@given(
    weight=st.integers(0, 10_000),
    version=TEXTS,
    tags=st.sets(TEXTS.filter(bool), max_size=4),
    metadata=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=4),
)
def test_the_text_of_an_endpoint_is_read_as_the_same_endpoint(
    weight: int, version: str, tags: set[str], metadata: dict[str, str]
) -> None:
    endpoint = Endpoint("h", 1, weight=weight, version=version, tags=tags, metadata=metadata)

    assert Endpoint.parse(endpoint.text) == endpoint
    assert published_endpoint(endpoint.text) == endpoint
