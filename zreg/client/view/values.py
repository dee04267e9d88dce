"""The values that a program publishes: packed into a body, and read from one again."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from zreg.client.view.endpoint import Endpoint
from zreg.errors import UsageError
from zreg.hosts import HOST_CHARACTERS_MAX
from zreg.wire.body import pack_body

Value = str | bytes | Endpoint
_PLAIN: Final = (str, bytes)
# A placeholder for a host that is not known yet, the longest one: what the call finds within all
# limits is still within them when the host is known.
_PLACEHOLDER_HOST: Final = "x" * HOST_CHARACTERS_MAX
_NO_ATTRIBUTES: Final[Mapping[str, str]] = {}


class Payload:
    """What one publication carries: values and attributes, checked against all limits.

    It keeps copies, made before they are checked: what the caller does with its own objects later
    changes nothing. Raises `UsageError` for a value that cannot be published.
    """

    __slots__ = ("_registered_at", "attributes", "body", "needs_host", "values")

    def __init__(
        self,
        values: Sequence[Value],
        attributes: Mapping[str, str] | None,
        *,
        registered_at: float,
    ) -> None:
        if attributes is None or attributes is _NO_ATTRIBUTES:
            attributes = _NO_ATTRIBUTES
        else:
            attributes = _copied(attributes)
        self.values = values = tuple(values)
        self.attributes = attributes
        # Packed, with a placeholder for each host that is missing.
        self.body = pack_values(
            values, attributes=attributes, host=_PLACEHOLDER_HOST, registered_at=registered_at
        )
        # Whether an endpoint has no host, so that zreg has to fill in this machine's.
        self.needs_host = _needs_host(values)
        self._registered_at = registered_at

    def changed(self, values: Sequence[Value], attributes: Mapping[str, str]) -> "Payload":
        """Return one with other values and attributes, registered at the same time."""
        return Payload(values, attributes, registered_at=self._registered_at)

    def body_with(self, host: str) -> bytes:
        """Return the packed body; endpoints without a host get this one."""
        return pack_values(
            self.values, attributes=self.attributes, host=host, registered_at=self._registered_at
        )


def pack_values(
    values: Sequence[Value],
    *,
    attributes: Mapping[str, str],
    host: str | None,
    registered_at: float,
) -> bytes:
    """Return the packed body; endpoints without a host get this one."""
    packed: list[str | bytes | Mapping[str, object]] = []
    for value in values:
        # Building a union type for every value would cost more than the rest of this loop.
        if isinstance(value, _PLAIN):
            packed.append(value)
        elif isinstance(value, Endpoint):
            packed.append(_endpoint_map(value, host))
        else:
            raise UsageError(f"{value!r:.80} cannot be published: give text, bytes or an Endpoint")
    return pack_body(packed, attributes=attributes, registered_at=registered_at)


def unpack_value(packed: str | bytes | Mapping[str, object]) -> Value:
    """Return the value as it was published; a map must be an endpoint.

    It ignores keys that it does not know, of newer programs; a missing key has its default.
    Raises `msgspec.ValidationError` for a map that is no endpoint.
    """
    if isinstance(packed, str | bytes):
        return packed
    return msgspec.convert(packed, Endpoint)


def _copied(attributes: object) -> Mapping[str, str]:
    if not isinstance(attributes, Mapping):
        raise UsageError(
            f"attributes {attributes!r:.80} cannot be used: give a mapping of text to text, such "
            "as {'version': '1.4'}"
        )
    return dict(attributes)


def _needs_host(values: Sequence[Value]) -> bool:
    # A generator for `any` costs every publish 0.3 us.
    for value in values:
        # `isinstance` of a struct's class is slow, and nearly all values are text.
        if type(value) is not str and isinstance(value, Endpoint) and value.host is None:
            return True
    return False


def _endpoint_map(endpoint: Endpoint, host: str | None) -> Mapping[str, object]:
    packed: dict[str, object] = {
        "host": endpoint.host if endpoint.host is not None else host,
        "port": endpoint.port,
        "weight": endpoint.weight,
        "version": endpoint.version,
        "tags": sorted(endpoint.tags),
    }
    # Readers without metadata ignore the key; without metadata the body is as it always was.
    if endpoint.metadata:
        packed["metadata"] = dict(endpoint.metadata)
    return packed
