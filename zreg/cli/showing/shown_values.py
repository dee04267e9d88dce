"""What was published, as a command shows it to people and to programs."""

import base64

from zreg.cli.output import Json
from zreg.cli.showing.printable_text import printable
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Value
from zreg.client.view.view import Publisher
from zreg.model import shown_client_id


def value_text(value: Value) -> str:
    """Return a published value for people."""
    match value:
        case str():
            return printable(value)
        case bytes():
            return repr(value)
        case Endpoint():
            return str(value) if value.host is None else value.text


def value_json(value: Value) -> Json:
    """Return a published value for programs; bytes become `{"base64": ...}`."""
    match value:
        case str():
            return value
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case Endpoint():
            return {
                "host": value.host,
                "port": value.port,
                "weight": value.weight,
                "version": value.version,
                "tags": sorted(value.tags),
                "metadata": dict(value.metadata),
            }


def publisher_json(publisher: Publisher) -> Json:
    """Return one registration for programs."""
    return {
        "publisher_id": publisher.publisher_id.hex(),
        "client_id": shown_client_id(publisher.client_id),
        "values": [value_json(value) for value in publisher.values],
        "zone": publisher.zone,
        "data_center": publisher.data_center,
        "app": publisher.app,
        "attributes": dict(publisher.attributes),
        "registered_at": publisher.registered_at,
    }
