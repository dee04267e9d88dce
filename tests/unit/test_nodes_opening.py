"""A node without an id gets one of its host name, which no other host has."""

import pytest

from zreg.model import checked_node_id
from zreg.nodes.opening import short_host_name

ROOM = 50
POD = "payments-registry-production-eu-central-data-7d4b9c7f6d-"


def test_a_host_name_that_fits_is_kept() -> None:
    for name in ("db-1", "x" * ROOM, "größe.example.org"):
        assert short_host_name(name, ROOM) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{POD}abcde", f"{POD}fghij"),
        ("a" + "x" * 60, "b" + "x" * 60),
        ("x" * 30 + "a" + "x" * 30, "x" * 30 + "b" + "x" * 30),
        ("a b", "a@b"),
        ("a\udcff", "a\udcfe"),
    ],
)
def test_two_host_names_stay_two(one: str, other: str) -> None:
    short = [short_host_name(name, ROOM) for name in (one, other)]

    assert short[0] != short[1]
    for each in short:
        assert len(checked_node_id(each)) <= ROOM


def test_a_long_name_keeps_both_ends_for_people() -> None:
    short = short_host_name(f"{POD}abcde", ROOM)

    assert short.startswith("payments-registry-production-")
    assert short.endswith("-9c7f6d-abcde")
