"""Where an instance of a service can be reached, and how that is written as text."""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from zreg.errors import UsageError
from zreg.hosts import bracketed, checked_host

PORT_MAX: Final = 65535
_WEIGHT_MAX: Final = 10_000
_TAGS_MAX: Final = 32
_TEXT_CHARACTERS_MAX: Final = 256
_ENDPOINT_CHARACTERS_MAX: Final = 2048
_WEIGHT_TEXT: Final = re.compile(r"\d{1,9}\Z", re.ASCII)
# `Endpoint` itself checks the host; in brackets it is IPv6.
_ENDPOINT_TEXT: Final = re.compile(
    r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^:\[\]]*)):(\d{1,5})(?:\?(.*))?\Z", re.ASCII
)


class Endpoint(msgspec.Struct, frozen=True):
    """Where an instance can be reached. Publish without a host to let zreg find yours."""

    host: str | None = None
    port: int = 0
    weight: int = 100
    version: str = ""
    tags: AbstractSet[str] = frozenset()

    def __post_init__(self) -> None:
        """Raise `UsageError` for an endpoint that no program could connect to."""
        if not _is_whole(self.port, 1, PORT_MAX):
            raise UsageError(f"port {self.port!r} cannot be used: give one from 1 to {PORT_MAX}")
        if not _is_whole(self.weight, 0, _WEIGHT_MAX):
            raise UsageError(
                f"weight {self.weight!r} cannot be used: give a whole number from 0 to "
                f"{_WEIGHT_MAX}"
            )
        if self.host is not None:
            checked_host(self.host)
        if not _is_text(self.version):
            raise UsageError(
                f"version {self.version!r:.80} cannot be used: give a printable text of at most "
                f"{_TEXT_CHARACTERS_MAX} characters"
            )
        msgspec.structs.force_setattr(self, "tags", _checked_tags(self.tags))

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Return the endpoint written as `host:port[?weight=…&version=…&tag=…]`."""
        given: object = text
        is_short = isinstance(given, str) and len(given) <= _ENDPOINT_CHARACTERS_MAX
        found = _ENDPOINT_TEXT.match(text) if is_short else None
        if found is None:
            raise UsageError(
                f"{text!r:.80} is not an endpoint: write host:port or host:port?weight=100"
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
        return f"{bracketed(self.host)}:{self.port}"

    def url(self, *, scheme: str = "http", path: str = "/") -> str:
        """Return `scheme://host:port/path`."""
        return f"{scheme}://{self.address}/{path.removeprefix('/')}"

    def __str__(self) -> str:
        """Return `host:port`, or `:port` without a host."""
        return f":{self.port}" if self.host is None else self.address


def _is_whole(number: object, least: int, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def _is_text(text: object) -> bool:
    return isinstance(text, str) and len(text) <= _TEXT_CHARACTERS_MAX and text.isprintable()


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
