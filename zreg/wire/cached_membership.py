"""The bytes of the membership that a node caches on its disk, and the checks when they are read.

Like the entries of meta's log, the bytes are read by later versions of zreg: fields are only added.
The outer array never changes, so that every version can tell a damaged file from a newer one.
"""

from typing import Final
from zlib import crc32

import msgspec

from zreg.errors import Error
from zreg.model import Membership

FORMAT: Final = 1
# Far above what the largest membership takes: a larger file was not written by zreg.
CACHED_BYTES_MAX: Final = 4 << 20
_MAGIC: Final = b"zreg membership"
_DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)


class CachedMembershipError(Error):
    """The bytes are not the cached membership of this node; the text follows the file's name."""


class _Outer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The envelope of the content; the same in every format."""

    magic: bytes
    format: int
    checksum: int
    content: bytes


class _Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The membership, and the node that it belongs to."""

    cluster: str
    node_id: str
    membership: Membership


_encoder: Final = msgspec.msgpack.Encoder()
_outer_decoder: Final = msgspec.msgpack.Decoder(_Outer)
_content_decoder: Final = msgspec.msgpack.Decoder(_Content)


def encode_cached_membership(membership: Membership, *, cluster: str, node_id: str) -> bytes:
    """Return the bytes to write for this node."""
    content = _encoder.encode(_Content(cluster, node_id, membership))
    return _encoder.encode(_Outer(_MAGIC, FORMAT, _checksum(FORMAT, content), content))


def decode_cached_membership(data: bytes, *, cluster: str, node_id: str) -> Membership:
    """Return the membership.

    Raises `CachedMembershipError` if the bytes are damaged, of another format, or of another node.
    """
    damaged = "is damaged"
    if len(data) > CACHED_BYTES_MAX:
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
