"""Records to bytes and back; together with `body` the only place that decodes.

A frame is an array of records. One record that cannot be decoded costs that record, a frame that
is no array of records costs the frame; neither ever raises anything but `PeerError`.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from zreg.config import Limits
from zreg.errors import MalformedError, PeerError, UnknownMessageError
from zreg.wire.messages import TAGS, Message, WireMessage

_encoder: Final = msgspec.msgpack.Encoder()
_frame_decoder: Final = msgspec.msgpack.Decoder(list[WireMessage])
_record_decoder: Final = msgspec.msgpack.Decoder(WireMessage)
_raw_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_start_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_int_decoder: Final = msgspec.msgpack.Decoder(int)
_DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)


class BadRecord(msgspec.Struct, frozen=True):
    """Stands where a record could not be decoded: what to answer, and to which request."""

    request_id: int
    code: int
    detail: str


def encode_record(message: Message) -> msgspec.Raw:
    """Return one record as bytes that `encode_frames` takes in place of the record."""
    return msgspec.Raw(_encoder.encode(message))


def record_name(record: Message | msgspec.Raw) -> str:
    """Return the name of a record's class, also of a record that is encoded already."""
    if isinstance(record, Message):
        return type(record).__name__
    tag, _ = _start_of(record)
    return TAGS[tag].__name__ if tag in TAGS else "unknown"


def encoded_size(message: Message | msgspec.Struct) -> int:
    """Return how many bytes the record takes on the wire."""
    return len(_encoder.encode(message))


def encode_frames(records: Sequence[Message | msgspec.Raw]) -> list[bytes]:
    """Return the records as frames within the limits, in order.

    A single record larger than a frame is a bug of the sender: cores split what can grow.
    """
    if len(records) <= Limits.records_per_frame_max:
        frame = _encoder.encode(records)
        if len(frame) <= Limits.frame_bytes_max:
            return [frame]
    if len(records) == 1:
        raise ValueError(f"a record of {type(records[0]).__name__} does not fit into a frame")
    middle = len(records) // 2
    return encode_frames(records[:middle]) + encode_frames(records[middle:])


def decode_frame(frame: bytes) -> Sequence[WireMessage | BadRecord]:
    """Return the records of a frame; `PeerError` if it is not a frame at all."""
    if len(frame) > Limits.frame_bytes_max:
        raise PeerError(MalformedError.code, f"frame of {len(frame)} bytes is too large")
    try:
        records: list[WireMessage] = _frame_decoder.decode(frame)
    except _DECODING_ERRORS:
        return _decode_one_by_one(frame)
    if len(records) > Limits.records_per_frame_max:
        raise PeerError(MalformedError.code, f"{len(records)} records in one frame are too many")
    return records


def _decode_one_by_one(frame: bytes) -> list[WireMessage | BadRecord]:
    """Decode what can be decoded; the slow way, for frames with a bad record in them."""
    try:
        raws = _raw_decoder.decode(frame)
    except _DECODING_ERRORS as error:
        raise PeerError(MalformedError.code, f"not an array of records: {error}"[:200]) from None
    if len(raws) > Limits.records_per_frame_max:
        raise PeerError(MalformedError.code, f"{len(raws)} records in one frame are too many")
    return [_decode_record(raw) for raw in raws]


def _decode_record(raw: msgspec.Raw) -> WireMessage | BadRecord:
    try:
        record: WireMessage = _record_decoder.decode(raw)
    except _DECODING_ERRORS as error:
        tag, request_id = _start_of(raw)
        if tag is not None and tag not in TAGS:
            return BadRecord(request_id, UnknownMessageError.code, f"unknown message tag {tag}")
        return BadRecord(request_id, MalformedError.code, f"{error}"[:200])
    return record


def _start_of(raw: msgspec.Raw) -> tuple[int | None, int]:
    """Return tag and request id of a record that could not be decoded, as far as they are there.

    Not every record has its request id first, so this is a guess that serves the answer only.
    """
    try:
        fields = _start_decoder.decode(raw)
        tag = _int_decoder.decode(fields[0])
    except (*_DECODING_ERRORS, IndexError):
        return None, 0
    known = TAGS.get(tag)
    if known is not None and known.__struct_fields__[:1] != ("request_id",):
        return tag, 0
    try:
        request_id = _int_decoder.decode(fields[1])
    except (*_DECODING_ERRORS, IndexError):
        return tag, 0
    return tag, request_id if 0 <= request_id < 2**63 else 0
