"""Views made of records, as a subscriber gets them."""

from zreg import model
from zreg.client.view.values import Value, pack_values
from zreg.client.view.view import UNKNOWN_VIEW, View
from zreg.model import Incarnation, Version

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def make_record(
    publisher_id: bytes = A, *values: Value, body: bytes | None = None, zone: str = "z"
) -> model.Publisher:
    if body is None:
        body = pack_values(values or ("x",), attributes={"k": "v"}, host=None, registered_at=5.0)
    return model.Publisher(publisher_id, 1, b"m" * 16, Incarnation(1, "s"), zone, "dc", "app", body)


def make_view(*records: model.Publisher) -> View:
    upserts = {record.publisher_id: record for record in records}
    return UNKNOWN_VIEW.with_changes(upserts, (), version=Version(1, 1), stale_since=None)
