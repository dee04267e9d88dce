"""What the pages of lists take as their query: filters, a limit and a cursor.

A cursor is the key after which the next page begins, in base64url, so that it fits into a URL as it
is.
"""

import base64
import binascii
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from zreg.errors import UsageError
from zreg.http.responses import FaultError
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, DataInfoId, data_info_id
from zreg.session.pages.page_questions import PAGE_LINES_MAX

LIMIT_DEFAULT: Final = 100
_CURSOR_CHARACTERS_MAX: Final = 2048

Limit = Annotated[
    int, Meta(ge=1, le=PAGE_LINES_MAX, description="How many lines the page has at most.")
]
Cursor = Annotated[
    str,
    Meta(
        max_length=_CURSOR_CHARACTERS_MAX,
        description="`next_cursor` of the page before; empty: the first page.",
    ),
]
Text = Annotated[str, Meta(max_length=1024)]
Group = Annotated[str, Meta(max_length=256, description="The group of the service.")]
InstanceId = Annotated[str, Meta(max_length=256, description="The instance id of the service.")]


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of a list."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = ""


class DatumQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the name of a service that a path lacks."""

    group: Group = DEFAULT_GROUP
    instance_id: InstanceId = DEFAULT_INSTANCE_ID


class NameQuery(DatumQuery, frozen=True, kw_only=True):
    """The query of a list about one service."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = ""


def name_of(request: web.Request, query: DatumQuery) -> DataInfoId:
    """Return the data info id that a request names; `FaultError` if there is none of this kind."""
    data_id = request.match_info["data_id"]
    try:
        return data_info_id(data_id, instance_id=query.instance_id, group=query.group)
    except UsageError as error:
        raise FaultError(400, str(error)) from None


def cursor_of(key: bytes | None) -> str | None:
    """Return the cursor of the page after a key; None if there is none."""
    if key is None:
        return None
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def key_of(cursor: str) -> bytes:
    """Return the key of a cursor; `FaultError` if it is none."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _no_cursor() from None


def text_key_of(cursor: str) -> str:
    """Return the key of a cursor as text; `FaultError` if it is none."""
    try:
        return key_of(cursor).decode()
    except UnicodeDecodeError:
        raise _no_cursor() from None


def _no_cursor() -> FaultError:
    return FaultError(400, "this is no cursor: pass `next_cursor` of the page before as it is")
