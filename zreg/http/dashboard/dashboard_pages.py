"""The files of the dashboard: in memory, with their types, tags and security headers."""

import hashlib
from importlib.resources import files
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.helpers import ETag

INDEX: Final = "index.html"
# Not from the tables of the machine, which may lack a type or map it to another one.
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# Scripts, styles and data come from this server alone, and nothing runs that stands in the markup.
# With trusted types the browser itself refuses to read a string as markup: what users publish can
# only become text.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    # The browser asks each time whether its copy is still right: a session of another version must
    # never run with the scripts of the former one.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "zreg",
    "X-Content-Type-Options": "nosniff",
}


class DashboardFile(msgspec.Struct, frozen=True):
    """One file as it is served."""

    body: bytes
    content_type: str
    tag: str


def load_files() -> dict[str, DashboardFile]:
    """Return all files of the dashboard by name, from the installed package."""
    found = {}
    for path in (files(__package__) / "files").iterdir():
        body = path.read_bytes()
        kind = _TYPES["." + path.name.rpartition(".")[2]]
        found[path.name] = DashboardFile(body, kind, hashlib.sha256(body).hexdigest()[:32])
    return found


class DashboardPages:
    """The dashboard; each file has a route of its own, so that no path leads anywhere else."""

    def __init__(self) -> None:
        self._files = load_files()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/", self._index),
            *(web.get(f"/dashboard/{name}", self._file) for name in self._files),
        ]

    async def _index(self, request: web.Request) -> web.Response:
        return _answer(request, self._files[INDEX])

    async def _file(self, request: web.Request) -> web.Response:
        return _answer(request, self._files[request.path.rpartition("/")[2]])


def _answer(request: web.Request, file: DashboardFile) -> web.Response:
    known = request.if_none_match or ()
    if any(tag.value in (file.tag, "*") for tag in known):
        response = web.Response(status=304, headers=_HEADERS)
    else:
        response = web.Response(
            body=file.body, content_type=file.content_type, charset="utf-8", headers=_HEADERS
        )
    response.etag = ETag(file.tag)
    return response
