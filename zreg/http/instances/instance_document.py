"""The JSON with which a program registers an instance: its values as the catalogue shows them."""

import base64
import binascii
import json
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from zreg.client.view.endpoint import PORT_MAX, WEIGHT_DEFAULT, Endpoint
from zreg.client.view.values import Value, pack_values
from zreg.config import LABEL, Limits
from zreg.errors import UsageError
from zreg.http.responses import FaultError
from zreg.names import refused_name

# Says in the catalogue and in views that the instance was registered over HTTP, and under which id.
HTTP_ATTRIBUTE: Final = "zreg.http"
_DETAIL_CHARACTERS_MAX: Final = 400

Label = Annotated[str, Meta(max_length=Limits.label_characters_max)]


class EndpointDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an instance can be reached: `host` and `port`, or both as `address`.

    Without a host it gets that of the session, since the program is on the same machine.
    """

    address: str = ""
    host: str | None = None
    port: Annotated[int, Meta(ge=0, le=PORT_MAX)] = 0
    weight: int = WEIGHT_DEFAULT
    version: str = ""
    tags: list[str] = []
    metadata: dict[str, str] = {}


class ValueDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value; `kind` says which of the other fields it has."""

    kind: Literal["text", "bytes", "endpoint"]
    text: str | None = None
    base64: str | None = None
    endpoint: EndpointDocument | None = None


class InstanceDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a program registers. A value that is a text stands for itself.

    A label that is left out stays as it is registered; a new instance gets that of the session.
    """

    values: Annotated[
        list[str | ValueDocument], Meta(min_length=1, max_length=Limits.values_per_publisher_max)
    ]
    attributes: dict[str, str] = {}
    zone: Label | None = None
    data_center: Label | None = None
    app: Label | None = None


def read_document(body: bytes) -> InstanceDocument:
    """Return the document in the body of a request; `FaultError` says what is wrong with it."""
    try:
        document = msgspec.convert(json.loads(body.decode()), InstanceDocument)
        why = refused_name(
            *(
                (LABEL, name, label)
                for name in ("zone", "data_center", "app")
                if (label := getattr(document, name))
            )
        )
    except (ValueError, RecursionError) as error:
        raise _fault(f"the body cannot be used: {error}") from None
    if why is not None:
        raise _fault(why)
    return document


def packed(document: InstanceDocument, instance: str, *, host: str, registered_at: float) -> bytes:
    """Return the values and attributes of an instance as a body; endpoints without a host get one.

    `FaultError` says which value or attribute cannot be published.
    """
    if document.attributes.get(HTTP_ATTRIBUTE, instance) != instance:
        raise _fault(f"the attribute {HTTP_ATTRIBUTE} is the id of the instance: leave it out")
    attributes = {**document.attributes, HTTP_ATTRIBUTE: instance}
    try:
        values = [_value(each) for each in document.values]
        return pack_values(values, attributes=attributes, host=host, registered_at=registered_at)
    except UsageError as error:
        raise _fault(str(error)) from None


def _value(given: str | ValueDocument) -> Value:
    if isinstance(given, str):
        return given
    fields = {"text": given.text, "bytes": given.base64, "endpoint": given.endpoint}
    value = fields.pop(given.kind)
    if value is None or any(each is not None for each in fields.values()):
        name = "base64" if given.kind == "bytes" else given.kind
        raise UsageError(f"a value of the kind {given.kind} has the field {name} and no other")
    if isinstance(value, EndpointDocument):
        return _endpoint(value)
    return value if given.kind == "text" else _bytes(value)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{text!r:.80} is no base64") from None


def _endpoint(given: EndpointDocument) -> Endpoint:
    host, port = given.host, given.port
    if given.address and not port:
        if "?" in given.address:
            raise UsageError(
                f"{given.address!r:.80} is no HOST:PORT: give weight and more as fields"
            )
        named = Endpoint.parse(given.address)
        host, port = named.host, named.port
    return Endpoint(
        host,
        port,
        given.weight,
        given.version,
        frozenset(given.tags),
        given.metadata,
    )


def _fault(detail: str) -> FaultError:
    return FaultError(400, detail[:_DETAIL_CHARACTERS_MAX])
