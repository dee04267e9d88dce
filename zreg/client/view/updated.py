"""Change fields of the endpoints of a publication, and keep all else."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypedDict

import msgspec

from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Payload
from zreg.errors import UsageError


class EndpointChanges(TypedDict, total=False):
    """The fields of an endpoint that a publication may change. Tests hold them to `Endpoint`."""

    host: str | None
    port: int
    weight: int
    version: str
    tags: AbstractSet[str]


_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Endpoint))


def updated(
    payload: Payload, attributes: Mapping[str, str] | None, fields: Mapping[str, object]
) -> Payload:
    """Return the payload with these fields in all its endpoints, and these attributes.

    Raises `UsageError` for a field that endpoints do not have, or if no value is an `Endpoint`.
    """
    if not fields and attributes is None:
        raise UsageError("update() changes nothing: give at least one field, such as weight=50")
    for name in fields:
        if name not in _FIELDS:
            raise UsageError(
                f"an endpoint has no field {name!r:.80}: its fields are {', '.join(_FIELDS)}; for "
                "values of another kind call republish()"
            )
    values = payload.values
    if fields:
        if not any(isinstance(value, Endpoint) for value in values):
            raise UsageError(
                f"no value of this publication is a zreg.Endpoint, so it has no "
                f"{', '.join(fields)} to change: publish a zreg.Endpoint, or call republish()"
            )
        values = tuple(
            msgspec.structs.replace(value, **fields) if isinstance(value, Endpoint) else value
            for value in values
        )
    return payload.changed(values, payload.attributes if attributes is None else attributes)
