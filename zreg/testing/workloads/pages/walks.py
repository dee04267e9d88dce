"""One way through the pages of a list: everything that stays meanwhile is on exactly one page."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from zreg.model import DataInfoId
from zreg.session.core import SessionCore
from zreg.session.pages.page_questions import (
    ClientsRead,
    ReadClients,
    ReadService,
    ReadSubscribers,
    ServiceRead,
    SubscribersRead,
)
from zreg.wire.records.data_messages import DatumsListed, ListDatums

Key = bytes | str
Page = ServiceRead | SubscribersRead | ClientsRead | DatumsListed


class Walk:
    """The pages that were read so far, and what was there at each of them.

    `present` returns what is in the list now, each with a mark of its own, so that what goes and
    comes back does not count as staying. `is_at_once` says that the session answers in the turn in
    which it is asked, so that `present` is looked at in that turn.
    """

    def __init__(
        self,
        what: str,
        question_after: Callable[[Key], msgspec.Struct],
        present: Callable[[], Iterable[tuple[Key, object]]],
        *,
        first: Key = b"",
        is_at_once: bool = True,
    ) -> None:
        self.what: Final = what
        self.is_at_once: Final = is_at_once
        self.after: Key | None = first
        self.seen: list[Key] = []
        self._question_after = question_after
        self._present = present
        self._stays = set(present())
        # Whether a page said that something may be missing, as data nodes could not say yet.
        self.is_unsure = False

    def look(self) -> None:
        """Note what is there now."""
        self._stays &= set(self._present())

    def question(self) -> msgspec.Struct:
        """Return the question for the next page."""
        assert self.after is not None
        return self._question_after(self.after)

    def take(self, page: Page) -> None:
        """Take the answer; the last page has no `after`."""
        keys, self.after = _keys_and_next(page)
        self.seen += keys
        match page:
            case ServiceRead():
                self.is_unsure |= not page.is_complete
            case DatumsListed():
                self.is_unsure |= page.is_unsure
            case _:
                pass

    def violations(self) -> list[str]:
        """Return a line for each thing that is on two pages, and for each that is on none."""
        found = [
            f"{key!r} is {count} times" for key, count in Counter(self.seen).items() if count > 1
        ]
        if not self.is_unsure:
            missing = {key for key, _ in self._stays}.difference(self.seen)
            found += [f"{key!r} is nowhere" for key in sorted(missing, key=repr)]
        return [f"{self.what}: {line} in {self.seen}" for line in found]


def _keys_and_next(page: Page) -> tuple[list[Key], Key | None]:
    match page:
        case ServiceRead():
            return [each.publisher_id for each in page.publishers], page.next_after
        case SubscribersRead():
            return [each.client_id for each in page.subscribers], page.next_after
        case ClientsRead():
            return [each.client_id for each in page.clients], page.next_after
        case DatumsListed():
            names: list[Key] = [each.data_info_id for each in page.datums]
            return names, None if page.is_complete else names[-1]


def service_walk(core: SessionCore, name: DataInfoId, limit: int) -> Walk | None:
    """Return a walk through the publishers of a datum; None unless the session has them now."""
    datums = core._data.followed  # noqa: SLF001 -- no public name

    def present() -> list[tuple[Key, object]]:
        followed = datums.find(name)
        return [] if followed is None else [(each, None) for each in followed.mirror.content]

    followed = datums.find(name)
    if followed is None or not followed.mirror.is_known:
        return None
    what = f"the instances of {name}"
    return Walk(what, lambda after: ReadService(name, _bytes(after), limit), present)


def subscribers_walk(core: SessionCore, name: DataInfoId, limit: int) -> Walk:
    """Return a walk through the clients that subscribe to a datum."""
    pusher = core._clients.subscriptions.pusher  # noqa: SLF001
    return Walk(
        f"the subscribers of {name}",
        lambda after: ReadSubscribers(name, _bytes(after), limit),
        lambda: [(each.client.client_id, None) for each in pusher.of(name)],
    )


def clients_walk(core: SessionCore, limit: int) -> Walk:
    """Return a walk through the clients of a session."""
    table = core._clients.table  # noqa: SLF001
    return Walk(
        "the clients",
        lambda after: ReadClients(_bytes(after), limit),
        lambda: [(client.client_id, None) for client in table.all()],
    )


def datums_walk(present: Callable[[], Iterable[tuple[DataInfoId, bytes]]], limit: int) -> Walk:
    """Return a walk through the ids of the cluster; `present` has those of lasting publishers."""
    return Walk(
        "the ids",
        lambda after: ListDatums(0, "*", str(after), limit),
        present,
        first="",
        is_at_once=False,
    )


def _bytes(key: Key) -> bytes:
    assert isinstance(key, bytes)
    return key
