"""The TXT record of an announcement: strings `key=value`, as in RFC 6763.

| key | value |
|---|---|
| `v` | the version of this format, 1; first |
| `id`, `cluster` | node id and name of the cluster |
| `cid` | the id of the cluster, in hexadecimal; absent before it is founded |
| `proto` | the version of the protocol |
| `zone`, `dc` | the labels of the node; absent if empty |
| `a0` to `a7` | `IP:PORT` of the node on this interface |
| `raft`, `journal`, `expect` | of a meta node: `HOST:PORT` of Raft, its journal, bootstrap_expect |

A value of more than 200 bytes goes on in the string whose key has a `+` more. Unknown keys are
ignored. No bytes make the reader raise: what cannot be read is `Unreadable`.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from zreg.config import CLUSTER_NAME, LABEL, Limits
from zreg.discovery.announcement import (
    ADDRESSES_MAX,
    BOOTSTRAP_EXPECT_MAX,
    CLUSTER_ID_BYTES,
    JOURNAL_ID_CHARACTERS_MAX,
    PROTOCOL_VERSION_MAX,
    Announcement,
    Interface,
    usable_addresses,
    why_no_ip_address,
)
from zreg.model import NODE_ID, Role
from zreg.names import NameRule
from zreg.tcp_address import why_no_address

FORMAT_VERSION: Final = "1"
# The longest record that a node writes has about 1,900 bytes.
TXT_BYTES_MAX: Final = 4096
# A string has at most 255 bytes with its key. The longest value, a name, has 256 bytes.
_PART_BYTES: Final = 200
_SCHEME: Final = "tcp://"
_JOURNAL_ID: Final = NameRule(
    characters_max=JOURNAL_ID_CHARACTERS_MAX,
    advice=f"give at most {JOURNAL_ID_CHARACTERS_MAX} printable characters without blanks",
)


class Unreadable(msgspec.Struct, frozen=True):
    """A TXT record that is no announcement, and why."""

    reason: str


class _FieldError(Exception):
    """A field of a TXT record breaks its rule."""


def written_txt(announcement: Announcement) -> bytes:
    """Return the data of a TXT record."""
    fields = {
        "v": FORMAT_VERSION,
        "id": announcement.node_id,
        "cluster": announcement.cluster,
        "cid": announcement.cluster_id.hex(),
        "proto": str(announcement.protocol_version),
        "zone": announcement.zone,
        "dc": announcement.data_center,
        "raft": announcement.raft_address.removeprefix(_SCHEME),
        "journal": announcement.journal_id,
        "expect": str(announcement.bootstrap_expect or ""),
    }
    for place, address in enumerate(announcement.addresses[:ADDRESSES_MAX]):
        fields[f"a{place}"] = address.removeprefix(_SCHEME)
    strings = (string for key, value in fields.items() for string in _strings(key, value))
    return b"".join(bytes([len(string)]) + string for string in strings)


def read_txt(role: Role, data: bytes, interface: Interface) -> Announcement | Unreadable:
    """Return the announcement in the data of a TXT record that came over an interface."""
    if len(data) > TXT_BYTES_MAX:
        return Unreadable(f"its TXT record has {len(data)} bytes, and {TXT_BYTES_MAX} are allowed")
    fields = _fields_in(data)
    try:
        if fields.get("v") != FORMAT_VERSION.encode():
            return Unreadable(f"its TXT record does not begin with v={FORMAT_VERSION}")
        return _announcement(role, fields, interface)
    except _FieldError as error:
        return Unreadable(str(error))


def _announcement(role: Role, fields: dict[str, bytes], interface: Interface) -> Announcement:
    is_meta = role is Role.META
    return Announcement(
        role=role,
        node_id=_name(fields, "id", NODE_ID),
        cluster=_name(fields, "cluster", CLUSTER_NAME),
        cluster_id=_cluster_id(fields),
        protocol_version=_number(fields, "proto", PROTOCOL_VERSION_MAX),
        zone=_name(fields, "zone", LABEL),
        data_center=_name(fields, "dc", LABEL),
        addresses=usable_addresses(tuple(_addresses(fields)), interface),
        raft_address=_raft_address(fields) if is_meta else "",
        journal_id=_name(fields, "journal", _JOURNAL_ID) if is_meta and "journal" in fields else "",
        bootstrap_expect=_number(fields, "expect", BOOTSTRAP_EXPECT_MAX) if is_meta else 0,
    )


def _strings(key: str, value: str) -> Iterator[bytes]:
    raw = value.encode()
    for place, start in enumerate(range(0, len(raw), _PART_BYTES)):
        yield f"{key}{'+' * place}=".encode() + raw[start : start + _PART_BYTES]


def _fields_in(data: bytes) -> dict[str, bytes]:
    """Return the values by key; of two strings with one key the first counts, as in RFC 6763."""
    fields: dict[str, bytes] = {}
    start = 0
    while start < len(data):
        end = start + 1 + data[start]
        raw_key, mark, value = data[start + 1 : end].partition(b"=")
        start = end
        if mark:
            fields.setdefault(raw_key.decode("ascii", "replace").lower(), value)
    return fields


def _text(fields: dict[str, bytes], key: str) -> str:
    try:
        return (fields.get(key, b"") + fields.get(f"{key}+", b"")).decode()
    except UnicodeDecodeError:
        raise _FieldError(f"{key} is no UTF-8") from None


def _name(fields: dict[str, bytes], key: str, rule: NameRule) -> str:
    name = _text(fields, key)
    if rule.objection(name) is not None:
        raise _FieldError(f"{key} {name[:80]!a} is not allowed")
    return name


def _number(fields: dict[str, bytes], key: str, value_max: int) -> int:
    text = _text(fields, key) or "0"
    digits_max = len(str(value_max))
    is_number = len(text) <= digits_max and text.isascii() and text.isdecimal()
    if not is_number or int(text) > value_max:
        raise _FieldError(f"{key} {text[:80]!a} is no number from 0 to {value_max}")
    return int(text)


def _cluster_id(fields: dict[str, bytes]) -> bytes:
    text = _text(fields, "cid")
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    if len(found) not in (0, CLUSTER_ID_BYTES):
        raise _FieldError(f"cid {text[:80]!a} is no id of a cluster")
    return found


def _addresses(fields: dict[str, bytes]) -> Iterator[str]:
    for place in range(ADDRESSES_MAX):
        key = f"a{place}"
        if text := _text(fields, key):
            address = f"{_SCHEME}{text}"
            if (why := why_no_ip_address(address)) is not None:
                raise _FieldError(f"{key} {text[:80]!a} cannot be used: {why}")
            yield address


def _raft_address(fields: dict[str, bytes]) -> str:
    text = _text(fields, "raft")
    if not text:
        return ""
    address = f"{_SCHEME}{text}"
    why = "it is too long" if len(address) > Limits.address_characters_max else None
    if (why := why or why_no_address(address)) is not None:
        raise _FieldError(f"raft {text[:80]!a} cannot be used: {why}")
    return address
