"""An endpoint as text: `host:port?weight=3&version=1.4&tag=blue&meta.rack=7`.

Options are written as in a url: characters that have a meaning there as `%` and two hex digits.
A `+` stands for itself, as versions have it.

Programs that read what others published ignore the options that they do not know, as a newer zreg
may have more of them. A program that names an endpoint itself gets an error for them.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from zreg.errors import UsageError
from zreg.hosts import bracketed

METADATA_PREFIX: Final = "meta."
# As much as a body can have.
_CHARACTERS_MAX: Final = 64 << 10
_ONCE: Final = ("weight", "version")
_TAG: Final = "tag"
_OPTIONS: Final = (*_ONCE, _TAG, f"{METADATA_PREFIX}NAME")
# `Endpoint` itself checks host and port; in brackets the host is IPv6.
_HOST_AND_PORT: Final = re.compile(
    r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^:\[\]/]*)):(\d{1,9})\Z", re.ASCII
)
_WEIGHT: Final = re.compile(r"\d{1,9}\Z", re.ASCII)
_FORM: Final = "write host:port or host:port?weight=100"


class EndpointFields(NamedTuple):
    """What a text says of an endpoint; the ranges are not checked yet."""

    host: str
    port: int
    weight: int
    version: str
    tags: frozenset[str]
    metadata: Mapping[str, str]


def read_fields(text: object, *, is_strict: bool) -> EndpointFields:
    """Return the fields that a text has; `UsageError` says what to write instead.

    Strict: an unknown option, a second value of one option, or an option without a value is an
    error. Else the last value counts, as in earlier versions.
    """
    if not isinstance(text, str) or len(text) > _CHARACTERS_MAX:
        raise UsageError(f"{text!r:.80} is not an endpoint: {_FORM}")
    address, _, query = text.partition("?")
    found = _HOST_AND_PORT.match(address)
    if found is None:
        raise UsageError(f"{text!r:.80} is not an endpoint: {_advice(address)}")
    options = [_read_option(part) for part in query.split("&") if part]
    if is_strict:
        _check_options(text, options)
    once = dict(options)
    weight = once.get("weight") or "100"
    if not _WEIGHT.match(weight):
        raise UsageError(f"weight {weight!r:.80} of {text!r:.80} is not a whole number")
    return EndpointFields(
        host=found[1] or found[2],
        port=int(found[3]),
        weight=int(weight),
        version=once.get("version", ""),
        tags=frozenset(value for name, value in options if name == _TAG and value),
        metadata={
            name.removeprefix(METADATA_PREFIX): value
            for name, value in options
            if name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX
        },
    )


def write_fields(fields: EndpointFields, weight_default: int) -> str:
    """Return the text that has these fields; it leaves out what is as if it were not given."""
    options = [("version", fields.version)] if fields.version else []
    if fields.weight != weight_default:
        options.insert(0, ("weight", str(fields.weight)))
    options += [(_TAG, tag) for tag in sorted(fields.tags)]
    options += [(f"{METADATA_PREFIX}{name}", text) for name, text in fields.metadata.items()]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in options)
    address = f"{bracketed(fields.host)}:{fields.port}"
    return f"{address}?{query}" if query else address


def _read_option(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return unquote(name), unquote(value)


def _check_options(text: str, options: list[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for name, value in options:
        what = f"option {name!r:.80} of {text!r:.80}"
        is_metadata = name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX
        if name not in _ONCE and name != _TAG and not is_metadata:
            raise UsageError(f"{what} does not exist: {_nearest(name)}")
        if not value and not is_metadata:
            raise UsageError(f"{what} has no value: write {name}=VALUE")
        if name in seen and name != _TAG:
            raise UsageError(f"{what} is given twice: give it once")
        seen.add(name)


def _nearest(name: str) -> str:
    """Return which options there are, the nearest one first."""
    near = difflib.get_close_matches(name.lower(), ["weight", "version", _TAG, "tags"], n=1)
    hint = f"did you mean {near[0].removesuffix('s')}? The" if near else "the"
    return f"{hint} options are {', '.join(_OPTIONS)}"


def _advice(address: str) -> str:
    """Return what to write instead of a text that is no host and port."""
    if "://" in address:
        return f"leave out the scheme, {address.partition('://')[0]:.20}://; {_FORM}"
    if "/" in address:
        return f"leave out the path; {_FORM}"
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        return f"it has no port; {_FORM}"
    if ":" in host and not host.startswith("["):
        return "write an IPv6 host in brackets, as in [fd00::7]:80"
    if not port.isdecimal() or not port.isascii():
        return f"{port!r:.20} is no port: give a number from 1 to 65535"
    return _FORM
