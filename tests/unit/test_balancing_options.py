"""The options of a service: which are taken, and what is said of the others."""

import pytest

from zreg.client.balancing.policy import Balancing, Ejection, Policy
from zreg.errors import UsageError


def test_all_options_can_be_given() -> None:
    balancing = Balancing(
        policy=Policy.TWO_CHOICES,
        zone_first=True,
        zone_min=2,
        ejection=Ejection(failures=3),
        version="1.4",
        tags=(tag for tag in ["a", "b"]),  # type: ignore[arg-type]  # read once
        zone="n",
        where=callable,
    )

    assert balancing.tags == frozenset({"a", "b"})
    assert balancing.ejection.failures == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"policy": "random"},
            "policy 'random' cannot be used: give one of zreg.Policy.ROUND_ROBIN",
        ),
        ({"zone_first": 1}, "zone_first 1 cannot be used: give True"),
        ({"zone_min": 0}, "zone_min 0 cannot be used: give a number from 1 on"),
        ({"zone_min": True}, "zone_min True cannot be used"),
        ({"ejection": 5}, r"ejection 5 cannot be used: give zreg.Ejection\(\)"),
        ({"version": 1}, "version 1 cannot be used: give text"),
        ({"tags": "blue"}, "tags 'blue' cannot be used: give a set of texts"),
        ({"zone": 1}, "zone 1 cannot be used: give text"),
        ({"where": "x"}, "where 'x' cannot be called: give a function that takes an endpoint"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        Balancing(**options)  # type: ignore[arg-type]


def test_an_unknown_option_is_a_type_error_as_with_any_call() -> None:
    with pytest.raises(TypeError, match="zone_last"):
        Balancing(zone_last=True)  # type: ignore[call-arg]
