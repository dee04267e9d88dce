"""The bytes of a view that a client caches on its disk, and the checks when they are read.

The bytes begin with a magic, a format and a checksum of all that follows; these never change, so
that every version can tell a damaged file from one of another format. The content is a msgpack
array, to whose end later versions may add fields.
"""

import struct
from hashlib import blake2b
from typing import Annotated, Final
from zlib import crc32

import msgspec
from msgspec import Meta

from zreg.errors import Error
from zreg.model import DatumName, Label, Publisher, Scope, Version

FORMAT: Final = 1
# A view of ten thousand publishers takes less; a larger one is not cached.
CACHED_VIEW_BYTES_MAX: Final = 4 << 20
_MAGIC: Final = b"zregview"
# Magic, format, checksum of the format and the content.
_HEAD: Final = struct.Struct(">8sII")
_FORMAT: Final = struct.Struct(">I")
_DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)

# Up to the year 5138.
UnixSeconds = Annotated[float, Meta(gt=0, le=1e11)]


class CachedViewError(Error):
    """The bytes are not the cached view that was looked for; the text follows the file's name."""


class ViewKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a cached view belongs to. What a client sees depends on its labels as well."""

    cluster: Label
    data_center: Label
    zone: Label
    data_info_id: DatumName
    scope: Scope

    @property
    def file_name(self) -> str:
        """The name of its file without suffix: a digest, as an id may hold any character."""
        return blake2b(_encoder.encode(self), digest_size=16).hexdigest()


class CachedView(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A view as a session has sent it, and when one has last confirmed it, in Unix time."""

    key: ViewKey
    confirmed_at: UnixSeconds
    version: Version
    publishers: tuple[Publisher, ...]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(CachedView)


def encode_cached_view(view: CachedView) -> bytes:
    """Return the bytes to write; `CachedViewError` for a view that is too large to be cached."""
    content = _encoder.encode(view)
    size = _HEAD.size + len(content)
    if size > CACHED_VIEW_BYTES_MAX:
        raise CachedViewError(f"would take {size} bytes, and the limit is {CACHED_VIEW_BYTES_MAX}")
    return _HEAD.pack(_MAGIC, FORMAT, _checksum(FORMAT, content)) + content


def decode_cached_view(data: bytes, key: ViewKey) -> CachedView:
    """Return the view of this key.

    Raises `CachedViewError` if the bytes are damaged, of another format, or of another key.
    """
    if len(data) > CACHED_VIEW_BYTES_MAX:
        raise CachedViewError(f"is larger than {CACHED_VIEW_BYTES_MAX} bytes")
    if len(data) < _HEAD.size:
        raise CachedViewError("is damaged: it ends too early")
    magic, version, checksum = _HEAD.unpack_from(data)
    content = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC:
        raise CachedViewError("is no view that zreg has cached")
    if checksum != _checksum(version, content):
        raise CachedViewError("is damaged: its checksum is wrong")
    if version != FORMAT:
        raise CachedViewError(f"is of format {version}, and this version of zreg knows {FORMAT}")
    try:
        view = _decoder.decode(content)
    except _DECODING_ERRORS as error:
        raise CachedViewError(f"is damaged: {error}"[:200]) from None
    if view.key.cluster != key.cluster:
        raise CachedViewError(f"belongs to cluster {view.key.cluster!r}, not {key.cluster!r}")
    if view.key != key:
        raise CachedViewError(f"holds another view, of {view.key.data_info_id!r:.300}")
    return view


def _checksum(version: int, content: bytes | memoryview) -> int:
    return crc32(content, crc32(_FORMAT.pack(version)))
