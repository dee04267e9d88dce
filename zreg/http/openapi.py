"""The OpenAPI document of a node, made from the table of its pages."""

import re
from collections.abc import Sequence
from typing import Any, Final, get_args

import msgspec
from aiohttp import web

from zreg.http.pages import AnyQuery, Page
from zreg.http.responses import CODES, PROBLEM_TYPE, Fault, answer

_REFERENCE: Final = "#/components/schemas/{name}"
_FAULT: Final = {"$ref": _REFERENCE.format(name=Fault.__name__)}
# Any request may meet them: a request that exceeds a limit, another host, a bug of the node.
_STATUSES: Final = (400, 421, 500)

Json = dict[str, Any]


class OpenApiPage:
    """The page with the OpenAPI document; it describes itself too."""

    def __init__(self, pages: Sequence[Page], version: str) -> None:
        self._pages = [*pages, self.page()]
        self._version = version
        self._document: Json | None = None

    def page(self) -> Page:
        """Return the page."""
        return Page(
            path="/v1/openapi.json",
            summary="This document",
            handler=self._openapi,
            answer=dict,
        )

    async def _openapi(self, _request: web.Request, _query: msgspec.Struct) -> web.Response:
        if self._document is None:
            self._document = document_of(self._pages, self._version)
        return answer(self._document)


def document_of(pages: Sequence[Page], version: str) -> Json:
    """Return the OpenAPI document of pages."""
    types = [each for page in pages for each in (page.answer, page.body) if each is not None]
    queries = [page.query for page in pages]
    _, schemas = msgspec.json.schema_components([*types, *queries, Fault], ref_template=_REFERENCE)
    shown = {
        name: schema
        for name, schema in schemas.items()
        if name not in {query.__name__ for query in queries}
    }
    paths: dict[str, Json] = {}
    for page in pages:
        operation = _operation(page, schemas)
        paths.setdefault(page.path, {})[page.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "zreg", "version": version},
        "paths": paths,
        "components": {"schemas": shown},
    }


def _operation(page: Page, schemas: dict[str, Json]) -> Json:
    answers: Json = {"200": {"description": "The answer.", "content": _content(page)}}
    for status in sorted({*page.statuses, *_STATUSES}):
        answers[str(status)] = {
            "description": CODES[status].replace("-", " "),
            "content": {PROBLEM_TYPE: {"schema": _FAULT}},
        }
    operation: Json = {"summary": page.summary, "responses": answers}
    if page.body is not None:
        schema = {"$ref": _REFERENCE.format(name=page.body.__name__)}
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    parameters = [*_path_parameters(page), *_query_parameters(page, schemas)]
    if parameters:
        operation["parameters"] = parameters
    return operation


def _content(page: Page) -> Json:
    if page.answer is None:
        return {page.content_type: {"schema": {"type": "string"}}}
    if page.answer is dict:
        return {page.content_type: {"schema": {"type": "object"}}}
    if (item := _item_of(page.answer)) is not None:
        items = {"$ref": _REFERENCE.format(name=item.__name__)}
        return {page.content_type: {"schema": {"type": "array", "items": items}}}
    schema = {"$ref": _REFERENCE.format(name=page.answer.__name__)}
    return {page.content_type: {"schema": schema}}


def _item_of(answer_type: object) -> type | None:
    """Return the type of the items of a list; None if it is none."""
    arguments = get_args(answer_type)
    return arguments[0] if arguments else None


def _path_parameters(page: Page) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", page.path)
    ]


def _query_parameters(page: Page, schemas: dict[str, Json]) -> list[Json]:
    if page.query is AnyQuery:
        return []
    properties: dict[str, Json] = schemas[page.query.__name__]["properties"]
    required = schemas[page.query.__name__].get("required", ())
    return [
        {"name": name, "in": "query", "schema": each, "required": name in required}
        for name, each in properties.items()
    ]
