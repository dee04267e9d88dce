"""The membership that a node keeps on its disk: as bytes, and judged when they are read again.

Like an entry of meta's log, it is read by later versions of zreg: fields only grow. The outer array
never changes, so that every version can tell a damaged file from a newer one.
"""

from typing import Final
from zlib import crc32

import msgspec

from zreg.errors import Error
from zreg.model import Membership

FORMAT: Final = 1
# Far above what the most members take; whatever is larger was not written by zreg.
KEPT_BYTES_MAX: Final = 4 << 20
_MAGIC: Final = b"zreg membership"
_DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)


class CachedMembershipError(Error):
    """The bytes are not the kept membership of this node; the text goes on a file's name."""


class _Outer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What stands around the content, in every format."""

    magic: bytes
    format: int
    checksum: int
    content: bytes


class _Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whose it is, and what."""

    cluster: str
    node_id: str
    membership: Membership


_encoder: Final = msgspec.msgpack.Encoder()
_outer_decoder: Final = msgspec.msgpack.Decoder(_Outer)
_content_decoder: Final = msgspec.msgpack.Decoder(_Content)


def encode_cached_membership(membership: Membership, *, cluster: str, node_id: str) -> bytes:
    """Return the bytes to keep for this node."""
    content = _encoder.encode(_Content(cluster, node_id, membership))
    return _encoder.encode(_Outer(_MAGIC, FORMAT, _checksum(FORMAT, content), content))


def decode_cached_membership(data: bytes, *, cluster: str, node_id: str) -> Membership:
    """Return what was kept; `NotKeptError` if it is damaged, of another format or of others."""
    damaged = "is damaged"
    if len(data) > KEPT_BYTES_MAX:
        raise CachedMembershipError(damaged)
    try:
        outer = _outer_decoder.decode(data)
    except _DECODING_ERRORS:
        raise CachedMembershipError(damaged) from None
    if outer.magic != _MAGIC or outer.checksum != _checksum(outer.format, outer.content):
        raise CachedMembershipError(damaged)
    if outer.format != FORMAT:
        raise CachedMembershipError(
            f"is of format {outer.format}, and this version of zreg knows {FORMAT}"
        )
    try:
        content = _content_decoder.decode(outer.content)
    except _DECODING_ERRORS:
        raise CachedMembershipError(damaged) from None
    if content.cluster != cluster:
        raise CachedMembershipError(f"belongs to cluster {content.cluster!r:.80}, not {cluster!r}")
    if content.node_id != node_id:
        raise CachedMembershipError(f"belongs to node {content.node_id!r:.80}, not {node_id!r}")
    return content.membership


def _checksum(version: int, content: bytes) -> int:
    return crc32(content, crc32(b"%d" % version))
