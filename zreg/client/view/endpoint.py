"""Where an instance of a service can be reached, and what its consumers choose it by."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final

import msgspec

from zreg.client.view.endpoint_text import EndpointFields, read_fields, write_fields
from zreg.client.view.frozen_mapping import NO_ITEMS, FrozenMapping
from zreg.errors import UsageError
from zreg.hosts import bracketed, checked_host

PORT_MAX: Final = 65535
WEIGHT_DEFAULT: Final = 100
_WEIGHT_MAX: Final = 10_000
_TAGS_MAX: Final = 32
_METADATA_MAX: Final = 32
_METADATA_CHARACTERS_MAX: Final = 2048
_NAME_CHARACTERS_MAX: Final = 64
_TEXT_CHARACTERS_MAX: Final = 256


class Endpoint(msgspec.Struct, frozen=True):
    """Where an instance can be reached. Publish without a host to let zreg find yours.

    `weight` is its share of the calls relative to the others; with 0 it gets no new ones.
    `version`, `tags` and `metadata` say what it is: consumers pick by them.
    """

    host: str | None = None
    port: int = 0
    weight: int = WEIGHT_DEFAULT
    version: str = ""
    tags: AbstractSet[str] = frozenset()
    metadata: Mapping[str, str] = NO_ITEMS

    def __post_init__(self) -> None:
        """Raise `UsageError` for an endpoint that no program could connect to."""
        if self.host is not None:
            checked_host(self.host)
        if not _is_whole(self.port, 1, PORT_MAX):
            raise UsageError(f"port {self.port!r:.80} cannot be used: {_port_advice(self.port)}")
        if not _is_whole(self.weight, 0, _WEIGHT_MAX):
            raise UsageError(
                f"weight {self.weight!r:.80} cannot be used: give a whole number from 0 to "
                f"{_WEIGHT_MAX}"
            )
        if not _is_text(self.version):
            raise UsageError(
                f"version {self.version!r:.80} cannot be used: give a printable text of at most "
                f"{_TEXT_CHARACTERS_MAX} characters"
            )
        msgspec.structs.force_setattr(self, "tags", _checked_tags(self.tags))
        if self.metadata is not NO_ITEMS:
            msgspec.structs.force_setattr(self, "metadata", _checked_metadata(self.metadata))

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Return the endpoint written as `host:port[?weight=…&version=…&tag=…&meta.NAME=…]`."""
        return cls(*read_fields(text, is_strict=True))

    @property
    def address(self) -> str:
        """Return `host:port`."""
        return f"{bracketed(self._known_host())}:{self.port}"

    @property
    def text(self) -> str:
        """Return the text that `parse` makes this endpoint from."""
        return write_fields(
            EndpointFields(
                self._known_host(),
                self.port,
                self.weight,
                self.version,
                frozenset(self.tags),
                self.metadata,
            ),
            WEIGHT_DEFAULT,
        )

    def url(self, *, scheme: str = "http", path: str = "/") -> str:
        """Return `scheme://host:port/path`."""
        return f"{scheme}://{self.address}/{path.removeprefix('/')}"

    def __str__(self) -> str:
        """Return `host:port`, or `:port` without a host."""
        return f":{self.port}" if self.host is None else self.address

    def _known_host(self) -> str:
        if self.host is None:
            raise UsageError("this endpoint has no host yet: it gets one when it is published")
        return self.host


def published_endpoint(value: object) -> Endpoint:
    """Return what a program published as an endpoint; `UsageError` says why it is none.

    It ignores the options of a text that it does not know, as the publisher may be newer.
    """
    if isinstance(value, str):
        return Endpoint(*read_fields(value, is_strict=False))
    if not isinstance(value, Endpoint):
        raise UsageError(f"{value!r:.80} is bytes: publish a zreg.Endpoint or host:port as text")
    if value.host is None:
        raise UsageError(f"{value} has no host: publish it from a program that knows its host")
    return value


def _is_whole(number: object, least: int, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def _is_text(text: object, characters_max: int = _TEXT_CHARACTERS_MAX) -> bool:
    return isinstance(text, str) and len(text) <= characters_max and text.isprintable()


def _port_advice(port: object) -> str:
    form = f"give one from 1 to {PORT_MAX}"
    return f"it is text: {form} as a number, int({port!r:.20})" if isinstance(port, str) else form


def _checked_tags(given: object) -> frozenset[str]:
    """Return the tags as they are kept: a copy, which is what is checked."""
    tags: tuple[object, ...] | None = None
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        tags = tuple(islice(given, _TAGS_MAX + 1))
    if tags is None or len(tags) > _TAGS_MAX or not all(map(_is_text, tags)):
        raise UsageError(
            f"tags {given!r:.80} cannot be used: give a set of at most {_TAGS_MAX} texts"
        )
    return frozenset(tags)  # type: ignore[arg-type]  # all are texts


def _checked_metadata(given: object) -> FrozenMapping:
    """Return the metadata as they are kept: a copy, which is what is checked."""
    if not isinstance(given, Mapping):
        raise UsageError(
            f"metadata {given!r:.80} cannot be used: give a mapping of text to text, such as "
            "{'rack': '7'}"
        )
    items = dict(islice(given.items(), _METADATA_MAX + 1))
    if len(items) > _METADATA_MAX:
        raise UsageError(f"metadata have more than {_METADATA_MAX} entries: give fewer")
    for name, text in items.items():
        if not name or not _is_text(name, _NAME_CHARACTERS_MAX) or not _is_text(text):
            raise UsageError(
                f"metadata {name!r:.80}: {text!r:.80} cannot be used: give a printable name of 1 "
                f"to {_NAME_CHARACTERS_MAX} characters and a printable text of at most "
                f"{_TEXT_CHARACTERS_MAX}"
            )
    size = sum(len(name) + len(text) for name, text in items.items())
    if size > _METADATA_CHARACTERS_MAX:
        raise UsageError(
            f"metadata have {size} characters, the limit is {_METADATA_CHARACTERS_MAX}: publish "
            "where to find large data, not the data"
        )
    return FrozenMapping(items)
