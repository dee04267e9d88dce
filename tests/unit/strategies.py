"""Hypothesis strategies for tests: every wire message, built from the definition of its Struct.

A new field of a Struct needs no change here: it is drawn within the limits of its annotation.
"""

import unicodedata
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from zreg.model import (
    ID_PART,
    ZERO,
    Cause,
    Change,
    DataInfoId,
    Incarnation,
    Publisher,
    Removal,
    Version,
    data_info_id,
    publisher_wins,
    same_to_subscribers,
)
from zreg.wire.messages import TAGS, Message
from zreg.wire.records.settings_messages import SETTING_NAME_PATTERN

# Large enough for tests of order and parts, small enough to draw many.
_ITEMS_MAX = 3
_CHARACTERS_MAX = 8

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=_CHARACTERS_MAX)
id_parts = (
    st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x2FFF, categories=["L", "N", "P", "S"]),
        min_size=1,
        max_size=_CHARACTERS_MAX,
    )
    .map(lambda part: unicodedata.normalize("NFC", part))
    .map(lambda part: "".join("_" if letter in "#*?[]" else letter for letter in part))
    .filter(lambda part: ID_PART.objection(part) is None)
)
names: st.SearchStrategy[DataInfoId] = st.builds(
    lambda data_id, instance_id, group: data_info_id(data_id, instance_id=instance_id, group=group),
    id_parts,
    id_parts,
    id_parts,
)
# Plain MessagePack values, which are usually no message, header, frame or body.
plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def messages_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return a strategy for one message, or any other Struct of the wire."""
    return _struct(kind)


def any_message() -> st.SearchStrategy[Message]:
    """Return a strategy for all messages of the wire."""
    return st.one_of([messages_of(kind) for kind in TAGS.values()])


@cache
def _struct(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    definition = inspect.type_info(kind)
    assert isinstance(definition, inspect.StructType)
    return st.builds(kind, **{field.name: _of(field.type) for field in definition.fields})


def _of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StructType():
            return _struct(kind.cls)
        case inspect.UnionType():
            return st.one_of([_of(choice) for choice in kind.types])
        case inspect.VarTupleType():
            size_max = min(_ITEMS_MAX, _ITEMS_MAX if kind.max_length is None else kind.max_length)
            return st.lists(_of(kind.item_type), max_size=size_max).map(tuple)
        case inspect.TupleType():
            return st.tuples(*(_of(item) for item in kind.item_types))
        case inspect.EnumType():
            return st.sampled_from(list(kind.cls))
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case _:
            return _scalar(kind)


def _scalar(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.IntType():
            assert kind.ge is not None, "every integer on the wire has bounds"
            highest = kind.le if kind.le is not None else (kind.lt or 0) - 1
            return st.integers(kind.ge, highest)
        case inspect.FloatType():
            is_open = kind.ge is None
            return st.floats(
                min_value=kind.gt if is_open else kind.ge,
                max_value=kind.le,
                exclude_min=is_open,
                allow_nan=False,
            )
        case inspect.BytesType():
            return st.binary(min_size=kind.min_length or 0, max_size=min(kind.max_length or 0, 16))
        case inspect.StrType(pattern=None):
            return st.text(
                st.characters(exclude_categories=["Cs"]),
                min_size=kind.min_length or 0,
                max_size=min(kind.max_length or 0, _CHARACTERS_MAX),
            )
        case inspect.StrType(pattern=str() as pattern) if pattern == SETTING_NAME_PATTERN:
            return id_parts
        case inspect.StrType():
            return names
        case _:
            raise AssertionError(f"no strategy for {kind}: write one")


versions = st.builds(Version, st.integers(0, 3), st.integers(0, 5))
incarnations = st.builds(Incarnation, st.integers(0, 3), st.sampled_from(["s1", "s2", "s3"]))
publisher_ids = st.sampled_from([bytes([number]) * 16 for number in range(1, 6)])
# Few ids, versions, sessions and bodies, so that they collide. Version and body belong together,
# because only the owning client raises the version.
publishers = st.builds(
    lambda publisher_id, version, session: make_publisher(
        publisher_id, version=version, session=session
    ),
    publisher_ids,
    st.integers(1, 4),
    incarnations,
)


def make_publisher(
    publisher_id: bytes = b"\x01" * 16,
    *,
    version: int = 1,
    session: Incarnation = Incarnation(1, "s1"),  # noqa: B008 -- it is frozen
    body: bytes | None = None,
    zone: str = "",
) -> Publisher:
    """Return a publisher. By default, versions 2n and 2n+1 look the same to subscribers."""
    return Publisher(
        publisher_id=publisher_id,
        version=version,
        client_id=publisher_id,
        session=session,
        zone=zone,
        data_center="",
        app="",
        body=bytes([version // 2]) if body is None else body,
    )


class History:
    """The changes that a correct primary made to a datum, and its content at each version.

    `changes[i]` leads from `versions[i]` to `versions[i + 1]`. `snapshots[i]` is the content that
    the primary serves at `versions[i]`: a list, because quiet changes raise publishers in it.
    """

    def __init__(self) -> None:
        self.versions: list[Version] = [ZERO]
        self.changes: list[Change] = []
        self.snapshots: list[list[dict[bytes, Publisher]]] = [[{}]]
        self.raised: dict[bytes, int] = {}

    def __repr__(self) -> str:
        return f"History(versions={[str(v) for v in self.versions]}, changes={self.changes})"

    @property
    def content(self) -> dict[bytes, Publisher]:
        return self.snapshots[-1][-1]

    def seen_at(self, index: int) -> dict[bytes, tuple[bytes, str]]:
        """Return what subscribers see at `versions[index]`."""
        return seen(self.snapshots[index][-1])

    def step(self, version: Version, publishers: list[Publisher], removed: list[bytes]) -> None:
        """Merge as a data node does, and log the change if subscribers can see it."""
        content = dict(self.content)
        taken: list[Publisher] = []
        for publisher in publishers:
            old = content.get(publisher.publisher_id)
            if publisher.version <= self.raised.get(publisher.publisher_id, 0):
                continue  # removed at this version or later
            if old is None or publisher_wins(publisher, old):
                content[publisher.publisher_id] = publisher
                taken.append(publisher)
        removals = [
            Removal(key, content.pop(key).version, Cause.UNPUBLISHED)
            for key in removed
            if key in content
        ]
        self.raised.update({removal.publisher_id: removal.version for removal in removals})
        before = self.content
        is_seen = bool(removals) or any(
            p.publisher_id not in before or not same_to_subscribers(p, before[p.publisher_id])
            for p in taken
        )
        if not is_seen:
            self.snapshots[-1].append(content)
            return
        self.changes.append(Change(self.versions[-1], version, tuple(taken), tuple(removals)))
        self.versions.append(version)
        self.snapshots.append([content])


def seen(content: dict[bytes, Publisher]) -> dict[bytes, tuple[bytes, str]]:
    """Return what a subscriber sees of some publishers."""
    return {key: (p.body, p.zone) for key, p in content.items()}


@st.composite
def histories(draw: st.DrawFn, *, steps_max: int = 8) -> History:
    """Draw a history of up to so many steps, in epochs that rise now and then."""
    history = History()
    version = ZERO
    for _ in range(draw(st.integers(1, steps_max))):
        is_new_epoch = draw(st.booleans())
        version = Version(version.epoch + is_new_epoch, version.counter + draw(st.integers(1, 3)))
        history.step(
            version,
            draw(st.lists(publishers, max_size=3, unique_by=lambda p: p.publisher_id)),
            draw(st.lists(publisher_ids, max_size=2, unique=True)),
        )
    return history


def encoded_size(message: msgspec.Struct) -> int:
    """Return how many bytes a message or value takes on the wire."""
    return len(msgspec.msgpack.encode(message))


def every_flip(data: bytes) -> list[bytes]:
    """Return the bytes with one bit flipped, for each bit."""
    return [
        data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]
        for bit in range(len(data) * 8)
    ]
