"""The header of every message: `[magic, protocol version, cluster, sender's epoch]`.

A receiver checks the header before it decodes the records, so that it drops a message of another
cluster or protocol, or garbage, at little cost.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.errors import ForeignClusterError, MalformedError, PeerError, ProtocolVersionError
from zreg.model import Count, Label
from zreg.wire.messages import PROTOCOL_VERSION

MAGIC: Final = "zreg"
_KNOWN_HEADERS_MAX: Final = 4096
# The longest cluster name takes 256 bytes; the rest is for the numbers and for future fields.
_HEADER_BYTES_MAX: Final = 512

_encoder: Final = msgspec.msgpack.Encoder()


class _Header(msgspec.Struct, frozen=True, array_like=True):
    magic: Annotated[str, Meta(max_length=8)]
    protocol_version: Count
    cluster: Label
    epoch: Count


_decoder: Final = msgspec.msgpack.Decoder(_Header)


class ForeignHeaderError(PeerError):
    """A message has the header of another cluster; `theirs` is the name of that cluster."""

    def __init__(self, ours: str, theirs: str) -> None:
        super().__init__(
            ForeignClusterError.code,
            f"this is cluster {ours!r}: connect to a node of your own cluster, or set the same "
            "cluster name on both ends",
        )
        self.theirs = theirs


class VersionHeaderError(PeerError):
    """A message has the header of another protocol version; `theirs` is that version.

    `detail` is for the peer, which gets it in a refusal; `here` is for the log of this side.
    """

    def __init__(self, theirs: int) -> None:
        super().__init__(ProtocolVersionError.code, version_detail(theirs))
        self.theirs = theirs
        older = "the peer" if theirs < PROTOCOL_VERSION else "this side"
        self.here = (
            f"it speaks protocol version {theirs}, and this side speaks {PROTOCOL_VERSION}: "
            f"upgrade zreg on {older}"
        )


def version_detail(theirs: int) -> str:
    """Return, for a peer that speaks another protocol version, which of the two to upgrade."""
    older = "your side" if theirs < PROTOCOL_VERSION else "the node that answers this"
    return (
        f"you speak protocol version {theirs}, and the node that answers this speaks "
        f"{PROTOCOL_VERSION}: upgrade zreg on {older}"
    )


class Envelope:
    """Encodes and checks the headers of one cluster."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._epoch = -1
        self._header = b""
        self._known: dict[bytes, int] = {}

    def header(self, epoch: int) -> bytes:
        """Return the header of a message sent at `epoch`."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._header = _encoder.encode((MAGIC, PROTOCOL_VERSION, self._cluster, epoch))
        return self._header

    def open(self, header: bytes) -> int:
        """Return the sender's epoch; `PeerError` for a header of another cluster or protocol."""
        epoch = self._known.get(header)
        if epoch is None:
            epoch = self._check(header)
            if len(self._known) >= _KNOWN_HEADERS_MAX:
                self._known.clear()
            self._known[header] = epoch
        return epoch

    def _check(self, header: bytes) -> int:
        if len(header) > _HEADER_BYTES_MAX:
            raise PeerError(MalformedError.code, "header too long")
        try:
            opened = _decoder.decode(header)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise PeerError(MalformedError.code, "not a zreg header") from None
        if opened.magic != MAGIC:
            raise PeerError(MalformedError.code, "not a zreg header")
        if opened.protocol_version != PROTOCOL_VERSION:
            raise VersionHeaderError(opened.protocol_version)
        if opened.cluster != self._cluster:
            raise ForeignHeaderError(self._cluster, opened.cluster)
        return opened.epoch
