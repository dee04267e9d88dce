"""What became of a view, merged for a callback or an iterator that is slower than the changes."""

from collections.abc import Iterable
from typing import NamedTuple

from zreg.client.view.view import UNKNOWN_VIEW, Publisher, View
from zreg.model import same_to_subscribers


class ViewChange(NamedTuple):
    """What became of a view between two calls of a callback."""

    view: View
    """The view after the change."""
    added: tuple[Publisher, ...] = ()
    """The publishers that are new in it."""
    removed: tuple[Publisher, ...] = ()
    """The publishers that are not in it any more, as they were."""
    updated: tuple[Publisher, ...] = ()
    """The publishers whose values, attributes or labels are others now, as they are now."""


class PendingChange:
    """The changes that one callback or iterator has not got yet; the runtime's lock guards it.

    Invariant: it is ready exactly if the view became known, or publishers were touched, since the
    last `take`.
    """

    __slots__ = ("_seen", "_touched", "is_ready")

    def __init__(self) -> None:
        self._seen = UNKNOWN_VIEW
        # A dict, since it keeps the order.
        self._touched: dict[bytes, None] = {}
        self.is_ready = False

    def note(self, publisher_ids: Iterable[bytes]) -> None:
        """Note the publishers that a known view changed."""
        self._touched.update(dict.fromkeys(publisher_ids))
        self.is_ready = self.is_ready or bool(self._touched) or not self._seen.is_known

    def take(self, view: View) -> tuple[View, Iterable[bytes]]:
        """Return the view that was seen last and the publishers touched since; note this view."""
        seen, touched = self._seen, self._touched
        self._seen, self._touched, self.is_ready = view, {}, False
        return seen, touched


def change_since(seen: View, view: View, touched: Iterable[bytes]) -> ViewChange | None:
    """Return what is new to a program that saw the first view; None if nothing is."""
    if not seen.is_known:
        return ViewChange(view, added=tuple(view))
    change = change_between(seen, view, touched)
    return change if change.added or change.removed or change.updated else None


def change_between(old: View, new: View, touched: Iterable[bytes]) -> ViewChange:
    """Return what became of these publishers between two views."""
    added: list[Publisher] = []
    removed: list[Publisher] = []
    updated: list[Publisher] = []
    for publisher_id in sorted(touched):
        was, now = old.find(publisher_id), new.find(publisher_id)
        if was is None and now is not None:
            added.append(now)
        elif was is not None and now is None:
            removed.append(was)
        elif (
            was is not None and now is not None and not same_to_subscribers(now.record, was.record)
        ):
            updated.append(now)
    return ViewChange(new, tuple(added), tuple(removed), tuple(updated))
