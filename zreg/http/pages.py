"""The pages of a node as a table, from which its routes and its OpenAPI document are made.

A page is a function of a request and of its query. The query is a Struct: this module reads it, and
refuses what is not in it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import hdrs, web

from zreg.http.hosts_of_requests import KnownHosts
from zreg.http.responses import FaultError, fault

QueryT = TypeVar("QueryT", bound=msgspec.Struct)
_NAMES_SHOWN_MAX: Final = 5


class AnyQuery(msgspec.Struct, frozen=True):
    """The query of a page that looks at none: probes may add what they like."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path: what answers it, and what the OpenAPI document says of it.

    `body` is the type of the JSON that a request has. `answer` is that of the JSON with status 200;
    None: it is no JSON, and `content_type` says what it is. `statuses` are those of its errors and
    of other answers.
    """

    path: str
    summary: str
    handler: Callable[[web.Request, Any], Awaitable[web.StreamResponse]]
    method: str = hdrs.METH_GET
    query: type[msgspec.Struct] = AnyQuery
    body: type[msgspec.Struct] | None = None
    answer: Any = None
    content_type: str = "application/json"
    statuses: tuple[int, ...] = ()
    # Probes and scrapers may use any name of a node; they get nothing that a page shows.
    checks_host: bool = True


def routes(pages: list[Page], known_hosts: KnownHosts) -> list[web.RouteDef]:
    """Return the routes of pages."""
    return [
        web.route(page.method, page.path, _served(page, known_hosts))
        if page.method != hdrs.METH_GET
        else web.get(page.path, _served(page, known_hosts))
        for page in pages
    ]


def _served(
    page: Page, known_hosts: KnownHosts
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            if page.checks_host:
                known_hosts.check(request)
            return await page.handler(request, read_query(request, page.query))
        except FaultError as error:
            return fault(error.status, error.detail)

    return serve


def read_query(request: web.Request, kind: type[QueryT]) -> QueryT:
    """Return the query of a request; `FaultError` says which parameter cannot be used, and why."""
    given = request.query
    if kind is AnyQuery:
        return kind()
    fields = kind.__struct_fields__
    unknown = [name for name in given if name not in fields]
    if unknown:
        shown = ", ".join(f"{name:.40}" for name in unknown[:_NAMES_SHOWN_MAX])
        taken = ", ".join(fields) or "no parameters"
        raise FaultError(400, f"this page does not take {shown}: it takes {taken}")
    if len(given) > len(set(given)):
        raise FaultError(400, "a parameter is given twice: give each once")
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise FaultError(400, f"a parameter cannot be used: {error}"[:400]) from None
