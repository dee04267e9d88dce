"""Which values are on a host."""

import pytest

from zreg.primitives.host_match import HostMatch
from zreg.wire.body import pack_body


def body(*values: str | dict[str, object]) -> bytes:
    return pack_body(values, attributes={}, registered_at=1.0)


@pytest.mark.parametrize(
    "values",
    [
        ["10.0.0.7:80"],
        ["a", {"host": "10.0.0.7", "port": 80}],
        ["10.0.0.7"],
        ["10.0.0.7:80?weight=3"],
    ],
)
def test_a_value_that_names_the_host_is_on_it(values: list[str | dict[str, object]]) -> None:
    assert HostMatch("10.0.0.7").is_in(body(*values))


@pytest.mark.parametrize(
    "values", [["10.0.0.70:80"], ["x 10.0.0.7:1"], [{"name": "10.0.0.7", "port": 1}]]
)
def test_a_value_that_only_contains_the_text_is_not(values: list[str | dict[str, object]]) -> None:
    assert not HostMatch("10.0.0.7").is_in(body(*values))


def test_an_ipv6_address_is_found_with_a_port() -> None:
    assert HostMatch("::1").is_in(body("[::1]:80"))


def test_a_body_that_cannot_be_unpacked_is_on_no_host() -> None:
    assert not HostMatch("10.0.0.7").is_in(b"10.0.0.7")
