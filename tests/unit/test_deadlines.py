"""Deadlines by key: the earliest first, without those that were replaced or dropped."""

from hypothesis import given
from hypothesis import strategies as st

from zreg.primitives.timing.deadlines import Deadlines


def test_deadlines_are_taken_in_order_when_they_have_come() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key, at in (("b", 2.0), ("a", 1.0), ("c", 3.0), ("d", 2.0)):
        deadlines.set(key, at)

    assert deadlines.next_at() == 1.0
    assert deadlines.take_due(2.0) == ["a", "b", "d"]
    assert deadlines.take_due(2.0) == []
    assert deadlines.next_at() == 3.0


def test_a_deadline_that_was_replaced_or_dropped_does_not_come() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("b", 2.0)
    deadlines.set("a", 3.0)
    deadlines.drop("b")
    deadlines.drop("never set")

    assert len(deadlines) == 1
    assert "a" in deadlines
    assert "b" not in deadlines
    assert deadlines.next_at() == 3.0
    assert deadlines.take_due(2.5) == []
    assert deadlines.take_due(3.0) == ["a"]
    assert deadlines.next_at() is None


def test_a_deadline_that_is_replaced_again_and_again_takes_no_memory() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for number in range(10_000):
        deadlines.set("a", float(number))

    assert len(deadlines._heap) < 100
    assert deadlines.take_due(9999.0) == ["a"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.booleans()), max_size=200))
def test_they_do_what_a_dict_does(steps: list[tuple[int, int, bool]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    model: dict[int, float] = {}
    for key, at, is_set in steps:
        if is_set:
            deadlines.set(key, at)
            model[key] = at
        else:
            deadlines.drop(key)
            model.pop(key, None)
        assert deadlines.next_at() == min(model.values(), default=None)
    due = deadlines.take_due(10)
    assert sorted(due) == sorted(key for key, at in model.items() if at <= 10)
    assert [model[key] for key in due] == sorted(model[key] for key in due)
