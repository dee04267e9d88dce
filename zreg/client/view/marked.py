"""What subscribers see of an instance that takes no calls now."""

from typing import Final

import msgspec

from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Payload, Value
from zreg.errors import UsageError

HEALTH_ATTRIBUTE: Final = "zreg.health"


def without_weight(payload: Payload) -> Payload:
    """Return the payload with weight 0 in all endpoints, so that no `Service` picks them."""
    return payload.changed(tuple(map(_without_weight, payload.values)), payload.attributes)


def marked_unhealthy(payload: Payload, reason: str) -> Payload:
    """Return the payload with weight 0 in all endpoints, and an attribute that says why."""
    return payload.changed(
        tuple(map(_without_weight, payload.values)),
        {**payload.attributes, HEALTH_ATTRIBUTE: reason},
    )


def has_endpoint(payload: Payload) -> bool:
    """Return whether a value is an endpoint, or text that a `Service` reads as one."""
    return any(_is_endpoint(value) for value in payload.values)


def _is_endpoint(value: Value) -> bool:
    if not isinstance(value, str):
        return isinstance(value, Endpoint)
    try:
        Endpoint.parse(value)
    except UsageError:
        return False
    return True


def _without_weight(value: Value) -> Value:
    if isinstance(value, Endpoint):
        return msgspec.structs.replace(value, weight=0)
    if isinstance(value, bytes) or not _is_endpoint(value):
        return value
    address, _, query = value.partition("?")
    others = [part for part in query.split("&") if part and not part.startswith("weight=")]
    return f"{address}?{'&'.join([*others, 'weight=0'])}"
