"""The form of answers: JSON, and errors as problem+json (RFC 9457) with stable codes."""

from typing import Final

import msgspec
from aiohttp import web

_TYPE: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"
# A proxy must not cache an answer that is true for a moment only, and a browser must not guess its
# type.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Server": "zreg",
    "X-Content-Type-Options": "nosniff",
}
# By status. Any other status has the code of 400 or 500.
CODES: Final = {
    400: "bad-request",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    417: "expectation-failed",
    421: "foreign-host",
    429: "too-many-requests",
    500: "internal-error",
    503: "unavailable",
    504: "not-accepted-yet",
}


class Fault(msgspec.Struct, frozen=True):
    """An error as JSON."""

    status: int
    code: str
    title: str
    detail: str


class FaultError(Exception):
    """Raised by a page in place of an answer: its status, and what to do."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def answer(body: object, *, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    data = msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"
    return web.Response(status=status, body=data, content_type=_TYPE, headers=HEADERS)


def fault(status: int, detail: str, *, allow: str = "") -> web.Response:
    """Return the answer of an error; `allow` names the allowed methods."""
    code = CODES.get(status) or CODES[500 if status >= 500 else 400]  # noqa: PLR2004
    body = Fault(status, code, code.replace("-", " "), detail)
    response = answer(body, status=status)
    response.content_type = PROBLEM_TYPE
    if allow:
        response.headers["Allow"] = allow
    return response
