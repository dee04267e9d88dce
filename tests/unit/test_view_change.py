"""What became of a view, and what a slow callback gets of it."""

from view_fakes import A, B, C, make_record, make_view

from zreg.client.view.view_change import PendingChange, ViewChange, change_between, change_since
from zreg.model import Version


def test_changes_make_a_new_view_and_leave_the_old_one() -> None:
    old = make_view(make_record(A, "a"), make_record(B, "b"))
    new = old.with_changes(
        {B: make_record(B, "bb"), C: make_record(C, "c")},
        [A, b"unknown"],
        version=Version(1, 2),
        stale_since=None,
    )

    assert old.values == ("a", "b")
    assert new.values == ("bb", "c")
    assert change_between(old, new, [C, B, A]) == ViewChange(
        new, added=(new[1],), removed=(old[0],), updated=(new[0],)
    )


def test_a_publisher_that_stayed_the_same_or_left_again_is_no_change() -> None:
    old = make_view(make_record(A, "a"))
    new = old.with_changes({A: make_record(A, "a")}, [], version=Version(1, 2), stale_since=None)

    assert change_between(old, new, [A, B]) == ViewChange(new)


def test_a_pending_change_merges_what_happens_until_it_is_taken() -> None:
    first, second = make_view(make_record(A, "a")), make_view(make_record(A, "a"), make_record(B))
    pending = PendingChange()
    assert not pending.is_ready

    pending.note([A])
    pending.note([B])
    assert pending.is_ready
    seen, touched = pending.take(second)
    assert (seen.is_known, list(touched), pending.is_ready) == (False, [A, B], False)
    assert change_since(seen, second, touched) == ViewChange(second, added=(second[0], second[1]))

    pending.note([B])
    seen, touched = pending.take(first)
    assert change_since(seen, first, touched) == ViewChange(first, removed=(second[1],))


def test_the_first_known_view_is_a_change_even_if_it_is_empty() -> None:
    pending, empty = PendingChange(), make_view()
    pending.note(())
    assert pending.is_ready
    seen, touched = pending.take(empty)

    assert change_since(seen, empty, touched) == ViewChange(empty)
    pending.note(())
    assert not pending.is_ready


def test_changes_that_cancel_each_other_are_no_change() -> None:
    view = make_view(make_record(A, "a"))

    assert change_since(view, view, [A, B]) is None
