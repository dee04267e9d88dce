"""What is published outside of a scope, for the error of a wait."""

import pytest
from view_fakes import A, B, C, make_record, make_view

from zreg import model
from zreg.client.view.outside_scope import what_is_outside
from zreg.client.view.view import UNKNOWN_VIEW, View
from zreg.model import Incarnation, Scope


def record_in(publisher_id: bytes, data_center: str, zone: str) -> model.Publisher:
    body = make_record().body
    return model.Publisher(
        publisher_id, 1, b"m" * 16, Incarnation(1, "s"), zone, data_center, "app", body
    )


def sentence(view: View, everywhere: View, scope: Scope = Scope.DATA_CENTER) -> str:
    return what_is_outside(view, everywhere, scope=scope, zone="z1", data_center="")


EMPTY = make_view()


@pytest.mark.parametrize(
    ("view", "everywhere"),
    [
        (UNKNOWN_VIEW, make_view(record_in(A, "d2", "z"))),
        (EMPTY, UNKNOWN_VIEW),
        (make_view(record_in(A, "d", "z")), make_view(record_in(A, "d", "z"))),
    ],
)
def test_nothing_is_said_of_what_is_not_known_or_not_outside(view: View, everywhere: View) -> None:
    assert sentence(view, everywhere) == ""


def test_it_says_that_no_program_publishes_the_id() -> None:
    assert sentence(EMPTY, EMPTY) == "no program publishes this id, in any data center"


def test_it_names_the_data_centers_and_zones_and_the_wider_scope() -> None:
    inside = record_in(A, "d1", "z1")
    everywhere = make_view(inside, record_in(B, "d2", "z"), record_in(C, "d2", "z"))

    assert sentence(make_view(inside), everywhere) == (
        "2 more outside of scope DATA_CENTER: 2 in data center 'd2', zone 'z'; this client is in "
        "the data center of its session: use scope=zreg.Scope.GLOBAL to get them, or check the "
        "labels"
    )


def test_from_a_zone_the_data_center_is_wide_enough_if_all_are_there() -> None:
    near = make_view(record_in(A, "", "z2"))
    far = make_view(record_in(A, "", "z2"), record_in(B, "d2", "z2"))

    assert "the data center of its session, zone 'z1': use scope=zreg.Scope.DATA_CENTER" in (
        sentence(EMPTY, near, Scope.ZONE)
    )
    assert "use scope=zreg.Scope.GLOBAL" in sentence(EMPTY, far, Scope.ZONE)


def test_it_names_only_some_of_many_places() -> None:
    everywhere = make_view(*(record_in(bytes([n]) * 16, "d2", f"z{n}") for n in range(9)))

    assert "1 in data center 'd2', zone 'z2', the others in 6 more zones" in (
        sentence(EMPTY, everywhere)
    )
