"""The last events of one node, in memory: what its log says, for people who ask over the wire.

A node notes each `Log` effect of its core. Each kind of event has a bound of its own, so that a
thousand clients that leave do not push out the one node that departed. Kinds are constants of the
code, so their number is bounded too.
"""

from collections import deque
from collections.abc import Mapping
from itertools import takewhile
from typing import Final, NamedTuple

from zreg.config import Limits
from zreg.wire.records.common_messages import Event, EventsReply, FetchEvents

EVENTS_PER_KIND_MAX: Final = 100
# The first field of a log line is its subject if it names a node, a client, an id or a setting.
_SUBJECTS: Final = frozenset(
    ("incarnation", "node_id", "node", "client", "peer", "replica", "session", "id", "name")
)

Fields = Mapping[str, str | int | float]


class _Noted(NamedTuple):
    """An event, and when it was noted on the clock of the core."""

    number: int
    at: float
    level: int
    kind: str
    subject: str
    detail: str


class EventRing:
    """The last events of one process of a node, by kind.

    Invariant: numbers rise by one with each event, and each kind has its events in their order.
    `life` is new for each process: a reader sees that numbers began again.
    """

    def __init__(self, node_id: str, life: bytes) -> None:
        self.node_id = node_id
        self.life = life
        self._last = 0
        self._by_kind: dict[str, deque[_Noted]] = {}

    def __len__(self) -> int:
        """Return how many events are kept."""
        return sum(map(len, self._by_kind.values()))

    def note(self, level: int, kind: str, fields: Fields, now: float) -> None:
        """Note an event."""
        self._last += 1
        names = list(fields)
        subject = ""
        if names and names[0] in _SUBJECTS:
            subject = str(fields[names.pop(0)])
        detail = fields_text({name: fields[name] for name in names})
        kept = self._by_kind.get(kind)
        if kept is None:
            kept = self._by_kind[kind] = deque(maxlen=EVENTS_PER_KIND_MAX)
        bound = Limits.detail_characters_max
        kept.append(_Noted(self._last, now, level, kind, subject[:bound], detail[:bound]))

    def answer(self, request: FetchEvents, now: float) -> EventsReply:
        """Return the page of events that a request asks for."""
        after = request.after if request.life == self.life else 0
        found = self._after(after, request, now)
        page = found[: request.limit]
        is_complete = len(page) == len(found)
        last = self._last if is_complete else page[-1].number
        events = tuple(_told(each, now) for each in page)
        return EventsReply(request.request_id, self.node_id, self.life, last, events, is_complete)

    def _after(self, after: int, request: FetchEvents, now: float) -> list[_Noted]:
        age_max = request.milliseconds_ago_max
        found: list[_Noted] = []
        for kind, kept in self._by_kind.items():
            if is_of_kind(kind, request.kind):
                found += takewhile(lambda each: each.number > after, reversed(kept))
        if age_max is not None:
            found = [each for each in found if _milliseconds(now - each.at) <= age_max]
        return sorted(found)


def _told(noted: _Noted, now: float) -> Event:
    ago = _milliseconds(now - noted.at)
    return Event(noted.number, ago, noted.level, noted.kind, noted.subject, noted.detail)


def is_of_kind(kind: str, wanted: str) -> bool:
    """Return whether a kind is the wanted one, or one of its kinds; all are if none is wanted."""
    return not wanted or kind == wanted or kind.startswith(f"{wanted}.")


def fields_text(fields: Fields) -> str:
    """Return the fields of a log line as text."""
    return " ".join(f"{name}={_shown(value)}" for name, value in fields.items())


def _shown(value: str | float) -> str:
    """Return the value, quoted if it would read as more than one."""
    text = str(value)
    return repr(text) if not text or any(c.isspace() or c in "='\"" for c in text) else text


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1000))
