"""The values of a publisher, packed by the client that publishes and unpacked by its readers.

A body is the msgpack array `[registered_at, attributes, value, ...]`. A value is text, bytes or an
endpoint; the reader gets the same kind back. Bytes from other clients are not trusted: unpacking
raises no error but `PeerError`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from zreg.config import Limits
from zreg.errors import MalformedError, PeerError, UsageError

_ATTRIBUTE_CHARACTERS_MAX: Final = 1024


class Body(NamedTuple):
    """An unpacked body. An endpoint is a dict with string keys; `registered_at` is Unix time."""

    registered_at: float
    attributes: dict[str, str]
    values: tuple[str | bytes | dict[str, Any], ...]


def pack_body(
    values: Sequence[str | bytes | Mapping[str, Any]],
    *,
    attributes: Mapping[str, str],
    registered_at: float,
) -> bytes:
    """Return the packed body; `UsageError` says which value is not allowed, and why."""
    if not 1 <= len(values) <= Limits.values_per_publisher_max:
        raise UsageError(
            f"publish 1 to {Limits.values_per_publisher_max} values at once, not {len(values)}"
        )
    if attributes:
        _check_attributes(attributes)
    packable: list[Any] = []
    has_map = False
    for value in values:
        # The exact types come first: nearly all values have them, and this check is the fastest.
        if type(value) is str or type(value) is bytes or isinstance(value, str | bytes):
            packable.append(value)
        elif isinstance(value, Mapping):
            packable.append(dict(value))
            has_map = True
        else:
            raise UsageError(f"a value is text, bytes or an endpoint, not {value!r:.80}")
    try:
        packed: bytes = msgpack.packb([float(registered_at), dict(attributes), *packable])
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"what is published cannot be packed: {error}"[:200]) from None
    if len(packed) > Limits.body_bytes_max:
        raise UsageError(
            f"what is published takes {len(packed)} bytes, the limit is {Limits.body_bytes_max}: "
            "publish where to find large data, not the data"
        )
    if has_map:
        _check_readable(packed)
    return packed


def _check_readable(packed: bytes) -> None:
    """Raise `UsageError` if readers could not unpack the body: too deep, too long, a bad key."""
    try:
        unpack_body(packed)
    except PeerError as error:
        raise UsageError(f"what is published could not be read: {error.detail}") from None


def _check_attributes(attributes: Mapping[Any, Any]) -> None:
    if len(attributes) > Limits.attributes_per_publisher_max:
        raise UsageError(
            f"{len(attributes)} attributes are too many, the limit is "
            f"{Limits.attributes_per_publisher_max}"
        )
    for key, value in attributes.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise UsageError(f"attribute {key!r}: keys and values are text, not {value!r:.80}")
        if len(key) + len(value) > _ATTRIBUTE_CHARACTERS_MAX:
            raise UsageError(
                f"attribute {key!r:.80} is longer than {_ATTRIBUTE_CHARACTERS_MAX} characters"
            )


def unpack_body(packed: bytes) -> Body:
    """Return the unpacked body; `PeerError` if the bytes are not a body."""
    try:
        array: Any = msgpack.unpackb(
            packed,
            strict_map_key=True,
            max_array_len=Limits.values_per_publisher_max + 2,
            max_map_len=Limits.attributes_per_publisher_max,
            max_ext_len=0,
        )
        registered_at, attributes, *values = array
    except (ValueError, TypeError, RecursionError) as error:
        raise PeerError(MalformedError.code, f"not a body: {error}"[:200]) from None
    is_body = (
        bool(values)
        and isinstance(registered_at, float)
        and math.isfinite(registered_at)
        and isinstance(attributes, dict)
        and all(isinstance(k, str) and isinstance(v, str) for k, v in attributes.items())
        and all(isinstance(value, str | bytes | dict) for value in values)
        and all(isinstance(k, str) for value in values if isinstance(value, dict) for k in value)
    )
    if not is_body:
        raise PeerError(MalformedError.code, "not a body: fields of the wrong type")
    return Body(registered_at, attributes, tuple(values))
