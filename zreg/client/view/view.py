"""What a subscriber sees: frozen views, whose publishers are ordered by publisher id.

A publisher's body is unpacked when it is first read. A view leaves out a body that cannot be
unpacked, and counts it: what one client publishes must not break another.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, overload

import msgspec

from zreg import model
from zreg.client.view.values import Value, unpack_value
from zreg.errors import PeerError
from zreg.model import ZERO, Version
from zreg.wire.body import Body, unpack_body


class Publisher:
    """One registration by one client, as subscribers see it."""

    __slots__ = ("_body", "_record", "_values")

    def __init__(self, record: model.Publisher) -> None:
        self._record = record
        self._body: Body | None = None
        self._values: tuple[Value, ...] = ()

    @property
    def publisher_id(self) -> bytes:
        """The random identity of the registration."""
        return self._record.publisher_id

    @property
    def client_id(self) -> bytes:
        """The random identity of the client that published it."""
        return self._record.client_id

    @property
    def values(self) -> tuple[Value, ...]:
        """The published values, each of the type that was given."""
        self._unpack()
        return self._values

    @property
    def zone(self) -> str:
        """The zone of the publishing client."""
        return self._record.zone

    @property
    def data_center(self) -> str:
        """The data center of the publishing client."""
        return self._record.data_center

    @property
    def app(self) -> str:
        """The application that published it."""
        return self._record.app

    @property
    def attributes(self) -> Mapping[str, str]:
        """The attributes that were published with the values."""
        return dict(self._unpack().attributes)

    @property
    def registered_at(self) -> float:
        """When it was published, in seconds since 1970 by the publisher's clock."""
        return self._unpack().registered_at

    @property
    def is_suspect(self) -> bool:
        """Whether its client fell silent and protection holds it back from removal."""
        # Protection is not built yet, so nothing marks a publisher as suspect.
        return False

    @property
    def is_readable(self) -> bool:
        """Whether its body can be unpacked; views leave out a publisher whose body cannot."""
        return self._unpack() is not _UNREADABLE

    @property
    def record(self) -> model.Publisher:
        """The registration as it travels, its body still packed."""
        return self._record

    def __repr__(self) -> str:
        """Show id, app and values."""
        return f"<Publisher {self.publisher_id.hex()[:8]} app={self.app!r} values={self.values}>"

    def _unpack(self) -> Body:
        if self._body is None:
            try:
                body = unpack_body(self._record.body)
                self._values = tuple(map(unpack_value, body.values))
            except (PeerError, msgspec.ValidationError):
                body = _UNREADABLE
            self._body = body
        return self._body


_UNREADABLE: Final = Body(0.0, {}, ())


class View(Sequence[Publisher]):
    """All publishers of a datum in scope, at one version; never changes.

    `is_known`: a session has sent the publishers. Before that a view is empty, which does not mean
    that there are none. `is_stale`: that session is gone, and no other one has
    confirmed the view yet. `is_cached`: it was kept in the cache directory, and no session has sent
    this client the publishers yet; it is stale as well.
    """

    __slots__ = (
        "_by_id",
        "_publishers",
        "is_cached",
        "is_known",
        "is_stale",
        "stale_since",
        "version",
    )

    def __init__(
        self,
        by_id: Mapping[bytes, Publisher],
        *,
        version: Version = ZERO,
        is_known: bool = True,
        stale_since: float | None = None,
        is_cached: bool = False,
    ) -> None:
        self._by_id = by_id
        self._publishers: tuple[Publisher, ...] | None = None
        self.version = version
        self.is_known = is_known
        self.is_stale = stale_since is not None
        self.is_cached = is_cached
        # In monotonic seconds.
        self.stale_since = stale_since

    @overload
    def __getitem__(self, index: int) -> Publisher: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Publisher, ...]: ...

    def __getitem__(self, index: int | slice) -> Publisher | tuple[Publisher, ...]:
        """Return a publisher, or several, in the order of their ids."""
        return self._ordered()[index]

    def __len__(self) -> int:
        """Return how many publishers there are."""
        return len(self._ordered())

    def __iter__(self) -> Iterator[Publisher]:
        """Yield the publishers in the order of their ids."""
        return iter(self._ordered())

    @property
    def values(self) -> tuple[Value, ...]:
        """All values of all publishers."""
        return tuple(value for publisher in self for value in publisher.values)

    @property
    def by_zone(self) -> dict[str, tuple[Publisher, ...]]:
        """The publishers by their zone."""
        zones: dict[str, list[Publisher]] = {}
        for publisher in self:
            zones.setdefault(publisher.zone, []).append(publisher)
        return {zone: tuple(zones[zone]) for zone in sorted(zones)}

    @property
    def age_seconds(self) -> float:
        """How many seconds no session has confirmed it; 0.0 if one does, infinite if not known."""
        if not self.is_known:
            return math.inf
        return 0.0 if self.stale_since is None else time.monotonic() - self.stale_since

    @property
    def skipped_count(self) -> int:
        """How many publishers are left out because their body cannot be unpacked."""
        return len(self._by_id) - len(self)

    def publisher_ids(self) -> AbstractSet[bytes]:
        """Return the ids of all publishers, also of those whose body cannot be unpacked."""
        return self._by_id.keys()

    def find(self, publisher_id: bytes) -> Publisher | None:
        """Return the publisher with this id; None if there is none, or its body is unreadable."""
        found = self._by_id.get(publisher_id)
        return found if found is not None and found.is_readable else None

    def with_changes(
        self,
        upserts: Mapping[bytes, model.Publisher],
        removals: Iterable[bytes],
        *,
        version: Version,
        stale_since: float | None,
    ) -> "View":
        """Return this view with the changes applied."""
        by_id = dict(self._by_id)
        for publisher_id, record in upserts.items():
            by_id[publisher_id] = Publisher(record)
        for publisher_id in removals:
            by_id.pop(publisher_id, None)
        return View(by_id, version=version, stale_since=stale_since)

    def with_staleness(self, stale_since: float | None) -> "View":
        """Return the same view, stale since this time, or not stale."""
        view = View(
            self._by_id,
            version=self.version,
            is_known=self.is_known,
            stale_since=stale_since,
            is_cached=self.is_cached,
        )
        view._publishers = self._publishers
        return view

    # --- for the cache on disk ----------------------------------------------------------------

    @classmethod
    def from_records(cls, records: Iterable[model.Publisher], version: Version) -> "View":
        """Return the view of these registrations."""
        return cls({each.publisher_id: Publisher(each) for each in records}, version=version)

    def as_cached(self, stale_since: float) -> "View":
        """Return the same view as one that comes from the cache, stale since this time."""
        return View(self._by_id, version=self.version, stale_since=stale_since, is_cached=True)

    @property
    def records(self) -> tuple[model.Publisher, ...]:
        """The registrations as they travel, also those whose body cannot be unpacked."""
        return tuple(each.record for each in self._by_id.values())

    def has_publishers_of(self, other: "View") -> bool:
        """Return whether no publisher changed between the two views of one subscription."""
        return self._by_id is other._by_id  # noqa: SLF001 -- another view

    def __repr__(self) -> str:
        """Show version and size, and whether it is stale, cached or not known."""
        doubts = (" is_stale" if self.is_stale else "") + ("" if self.is_known else " not known")
        doubts += " is_cached" if self.is_cached else ""
        return f"<View {self.version} publishers={len(self)}{doubts}>"

    def _ordered(self) -> tuple[Publisher, ...]:
        if self._publishers is None:
            by_id = self._by_id
            ordered = (by_id[publisher_id] for publisher_id in sorted(by_id))
            self._publishers = tuple(each for each in ordered if each.is_readable)
        return self._publishers


UNKNOWN_VIEW: Final = View({}, is_known=False)
