"""What a subscriber sees: frozen values, ordered by publisher id.

What others published is opened when somebody looks at it. A body that cannot be opened is left out
and counted: what one client publishes must not break another.
"""

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, overload
from urllib.parse import parse_qsl

import msgspec

from zreg import model
from zreg.errors import PeerError, UsageError
from zreg.model import ZERO, Version, same_to_subscribers
from zreg.wire.body import Body, pack_body, unpack_body

PORT_MAX: Final = 65535
_WEIGHT_MAX: Final = 10_000
_TAGS_MAX: Final = 32
_TEXT_CHARACTERS_MAX: Final = 256
_ENDPOINT_CHARACTERS_MAX: Final = 2048
_WEIGHT_TEXT: Final = re.compile(r"\d{1,9}\Z", re.ASCII)
_ENDPOINT_TEXT: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:/?#@\[\]]+)):(\d{1,5})(?:\?(.*))?\Z", re.ASCII
)


class Endpoint(msgspec.Struct, frozen=True):
    """Where an instance can be reached. Publish without a host to let zreg find yours."""

    host: str | None = None
    port: int = 0
    weight: int = 100
    version: str = ""
    tags: AbstractSet[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what nobody could connect to."""
        if not _is_whole(self.port, 1, PORT_MAX):
            raise UsageError(f"port {self.port!r} cannot be used: give one from 1 to {PORT_MAX}")
        if not _is_whole(self.weight, 0, _WEIGHT_MAX):
            raise UsageError(f"weight {self.weight!r}: give a whole number from 0 to {_WEIGHT_MAX}")
        if self.host is not None and not _is_text(self.host, length_min=1):
            raise UsageError(f"host {self.host!r:.80} cannot be used: give a name or an address")
        if not _is_text(self.version):
            raise UsageError(f"version {self.version!r:.80} is not a short text")
        is_text = isinstance(self.tags, str)
        if is_text or len(self.tags) > _TAGS_MAX or not all(map(_is_text, self.tags)):
            raise UsageError(f"tags {self.tags!r:.80}: give a set of at most {_TAGS_MAX} texts")
        msgspec.structs.force_setattr(self, "tags", frozenset(self.tags))

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Return the endpoint written as `host:port[?weight=…&version=…&tag=…]`."""
        found = _ENDPOINT_TEXT.match(text) if len(text) <= _ENDPOINT_CHARACTERS_MAX else None
        if found is None:
            raise UsageError(
                f"{text!r:.80} is no endpoint: write host:port or host:port?weight=100"
            )
        host, port, query = found[1] or found[2], int(found[3]), found[4] or ""
        pairs = parse_qsl(query)
        fields = dict(pairs)
        tags = frozenset(value for name, value in pairs if name == "tag")
        weight = fields.get("weight", "100")
        if not _WEIGHT_TEXT.match(weight):
            raise UsageError(f"weight {weight!r:.80} of {text!r:.80} is not a whole number")
        return cls(host, port, int(weight), fields.get("version", ""), tags)

    @property
    def address(self) -> str:
        """Return `host:port`."""
        if self.host is None:
            raise UsageError("this endpoint has no host yet: it gets one when it is published")
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, *, scheme: str = "http", path: str = "/") -> str:
        """Return `scheme://host:port/path`."""
        return f"{scheme}://{self.address}/{path.removeprefix('/')}"

    def __str__(self) -> str:
        """Return `host:port`, or `:port` without a host."""
        return f":{self.port}" if self.host is None else self.address


Value = str | bytes | Endpoint
_PLAIN: Final = (str, bytes)


def _is_whole(number: object, least: int, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def _is_text(text: object, length_min: int = 0) -> bool:
    return (
        isinstance(text, str)
        and length_min <= len(text) <= _TEXT_CHARACTERS_MAX
        and (text == "" or text.isprintable())
    )


def pack_values(
    values: Sequence[Value],
    *,
    attributes: Mapping[str, str],
    host: str | None,
    registered_at: float,
) -> bytes:
    """Return the body; `host` stands in for endpoints that have none."""
    packed: list[str | bytes | Mapping[str, object]] = []
    for value in values:
        # A union made anew for every value would cost more than the rest of this loop.
        if isinstance(value, _PLAIN):
            packed.append(value)
        elif isinstance(value, Endpoint):
            packed.append(_endpoint_map(value, host))
        else:
            raise UsageError(f"{value!r:.80} cannot be published: give text, bytes or an Endpoint")
    return pack_body(packed, attributes=attributes, registered_at=registered_at)


def _endpoint_map(endpoint: Endpoint, host: str | None) -> Mapping[str, object]:
    return {
        "host": endpoint.host if endpoint.host is not None else host,
        "port": endpoint.port,
        "weight": endpoint.weight,
        "version": endpoint.version,
        "tags": sorted(endpoint.tags),
    }


def _value(packed: str | bytes | Mapping[str, object]) -> Value:
    """Return what was published; a map is an endpoint, or the body cannot be opened."""
    if isinstance(packed, str | bytes):
        return packed
    return msgspec.convert(packed, Endpoint)


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
        """What was published, each value of the kind that was given."""
        self._open()
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
        """What the publisher said beside the values."""
        return dict(self._open().attributes)

    @property
    def registered_at(self) -> float:
        """When it was published, in seconds since 1970 by the publisher's clock."""
        return self._open().registered_at

    @property
    def is_suspect(self) -> bool:
        """Whether it fell silent and is only held back from removal."""
        # Nothing marks a suspect before protection is built.
        return False

    @property
    def is_readable(self) -> bool:
        """Whether its body can be opened; views leave out what cannot."""
        return self._open() is not _UNREADABLE

    @property
    def record(self) -> model.Publisher:
        """The registration as it travels, body unopened."""
        return self._record

    def __repr__(self) -> str:
        """Show id, app and values."""
        return f"<Publisher {self.publisher_id.hex()[:8]} app={self.app!r} values={self.values}>"

    def _open(self) -> Body:
        if self._body is None:
            try:
                body = unpack_body(self._record.body)
                self._values = tuple(map(_value, body.values))
            except (PeerError, msgspec.ValidationError):
                body = _UNREADABLE
            self._body = body
        return self._body


_UNREADABLE: Final = Body(0.0, {}, ())


class View(Sequence[Publisher]):
    """All publishers of a datum in scope, at one version; never changes.

    `is_known`: somebody who knows has said what there is; before that a view is empty without
    meaning it. `is_stale`: the session that said so is gone, and no other has confirmed it yet.
    """

    __slots__ = ("_by_id", "_publishers", "is_known", "is_stale", "stale_since", "version")

    def __init__(
        self,
        by_id: Mapping[bytes, Publisher],
        *,
        version: Version = ZERO,
        is_known: bool = True,
        stale_since: float | None = None,
    ) -> None:
        self._by_id = by_id
        self._publishers: tuple[Publisher, ...] | None = None
        self.version = version
        self.is_known = is_known
        self.is_stale = stale_since is not None
        # Monotonic seconds.
        self.stale_since = stale_since

    @overload
    def __getitem__(self, index: int) -> Publisher: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Publisher, ...]: ...

    def __getitem__(self, index: int | slice) -> Publisher | tuple[Publisher, ...]:
        """Return a publisher, in the order of their ids, or several."""
        return self._ordered()[index]

    def __len__(self) -> int:
        """Return how many publishers there are."""
        return len(self._ordered())

    def __iter__(self) -> Iterator[Publisher]:
        """Go through the publishers in the order of their ids."""
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
        """For how long nobody has confirmed it: 0.0 while a session does, infinite if unknown."""
        if not self.is_known:
            return math.inf
        return 0.0 if self.stale_since is None else time.monotonic() - self.stale_since

    @property
    def skipped_count(self) -> int:
        """How many publishers are left out because their body cannot be opened."""
        return len(self._by_id) - len(self)

    def find(self, publisher_id: bytes) -> Publisher | None:
        """Return the publisher of that id."""
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
        """Return the view that these changes make of this one."""
        by_id = dict(self._by_id)
        for publisher_id, record in upserts.items():
            by_id[publisher_id] = Publisher(record)
        for publisher_id in removals:
            by_id.pop(publisher_id, None)
        return View(by_id, version=version, stale_since=stale_since)

    def with_staleness(self, stale_since: float | None) -> "View":
        """Return the same, stale since then or not at all."""
        view = View(
            self._by_id, version=self.version, is_known=self.is_known, stale_since=stale_since
        )
        view._publishers = self._publishers
        return view

    def __repr__(self) -> str:
        """Show version, size and what there is to say about it."""
        doubts = [name for name in ("is_stale",) if getattr(self, name)]
        doubts += [] if self.is_known else ["not known"]
        return f"<View {self.version} publishers={len(self)}{''.join(f' {d}' for d in doubts)}>"

    def _ordered(self) -> tuple[Publisher, ...]:
        if self._publishers is None:
            by_id = self._by_id
            ordered = (by_id[publisher_id] for publisher_id in sorted(by_id))
            self._publishers = tuple(each for each in ordered if each.is_readable)
        return self._publishers


UNKNOWN_VIEW: Final = View({}, is_known=False)


class ViewChange(NamedTuple):
    """What became of a view between two calls of a callback."""

    view: View
    added: tuple[Publisher, ...] = ()
    removed: tuple[Publisher, ...] = ()
    updated: tuple[Publisher, ...] = ()
    temporary: tuple[Value, ...] = ()


def change_between(old: View, new: View, touched: Iterable[bytes]) -> ViewChange:
    """Return what became of these publishers from one view to the other."""
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
