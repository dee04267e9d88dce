"""For each session, the publishers in the store that it registered, and the digest of them."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from zreg.data.store.datum import Datum
from zreg.model import Incarnation, Publisher
from zreg.primitives.digest import DigestSum

# A session with more publishers than this has them in one dict for each first byte of their ids, so
# that a comparison of a range of ids looks at that range only.
_ONE_DICT_MAX: Final = 2048


class SessionPublishers(DigestSum):
    """The datums of one session's publishers by publisher id, and the digest of all of them.

    Invariant: each publisher id is in the dict of its first byte, or in the only dict there is.
    """

    __slots__ = ("_is_split", "_parts")

    def __init__(self) -> None:
        super().__init__()
        self._parts: tuple[dict[bytes, Datum], ...] = ({},)
        self._is_split = False

    def put(self, publisher: Publisher, datum: Datum) -> None:
        """Take in a publisher that is not here."""
        publisher_id = publisher.publisher_id
        self.add(publisher_id, publisher.version)
        if self._is_split:
            self._parts[publisher_id[0]][publisher_id] = datum
            return
        self._parts[0][publisher_id] = datum
        if self.count > _ONE_DICT_MAX:
            self._split()

    def take_out(self, publisher: Publisher) -> None:
        """Take out a publisher that is here."""
        publisher_id = publisher.publisher_id
        self.discard(publisher_id, publisher.version)
        del self._parts[publisher_id[0] if self._is_split else 0][publisher_id]

    def find(self, publisher_id: bytes) -> Publisher | None:
        """Return a publisher of this session."""
        datum = self._parts[publisher_id[0] if self._is_split else 0].get(publisher_id)
        return None if datum is None else datum.publishers[publisher_id]

    def first(self, count: int) -> list[tuple[Publisher, Datum]]:
        """Return so many publishers, each with its datum."""
        held = chain.from_iterable(part.items() for part in self._parts)
        return [(datum.publishers[each], datum) for each, datum in islice(held, count)]

    def in_range(self, byte_min: int, byte_max: int) -> Iterator[tuple[bytes, Datum]]:
        """Yield the publisher ids that begin with a byte of this range, each with its datum."""
        for part in self._parts[byte_min : byte_max + 1] if self._is_split else self._parts:
            for publisher_id, datum in part.items():
                if byte_min <= publisher_id[0] <= byte_max:
                    yield publisher_id, datum

    def _split(self) -> None:
        (held,) = self._parts
        parts: tuple[dict[bytes, Datum], ...] = tuple({} for _ in range(256))
        for publisher_id, datum in held.items():
            parts[publisher_id[0]][publisher_id] = datum
        self._parts = parts
        self._is_split = True


class SessionIndex:
    """The publishers in the store by the session incarnation that registered them.

    Invariant: a session's entry has exactly the publishers in the store that it registered; a
    session without any has no entry.
    """

    def __init__(self) -> None:
        self._entries: dict[Incarnation, SessionPublishers] = {}

    def of(self, session: Incarnation) -> SessionPublishers:
        """Return what one session registered; an empty entry if it registered nothing here."""
        return self._entries.get(session) or SessionPublishers()

    def sessions(self) -> list[Incarnation]:
        """Return the sessions that registered something here, in order."""
        return sorted(self._entries)

    def add(self, publisher: Publisher, datum: Datum) -> None:
        """Take in a new publisher of a datum."""
        entry = self._entries.get(publisher.session)
        if entry is None:
            entry = self._entries[publisher.session] = SessionPublishers()
        entry.put(publisher, datum)

    def discard(self, publisher: Publisher) -> None:
        """Take out a publisher."""
        entry = self._entries[publisher.session]
        entry.take_out(publisher)
        if not entry.count:
            # Its dicts keep the size that they had: each life of a session would leave some.
            del self._entries[publisher.session]

    def replace(self, old: Publisher, new: Publisher, datum: Datum) -> None:
        """Exchange a publisher for its new state, which another session may have registered."""
        if new.session == old.session:
            entry = self._entries[new.session]
            entry.replace(new.publisher_id, old.version, new.version)
        else:
            self.discard(old)
            self.add(new, datum)

    def forget(self, session: Incarnation) -> None:
        """Drop the entry of a session that has no publishers here any more."""
        self._entries.pop(session, None)
