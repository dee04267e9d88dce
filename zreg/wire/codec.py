"""Encodes records into frames and decodes frames; only this module, `envelope` and `body` decode.

A frame is an array of records. If one record cannot be decoded, only that record is lost; if the
frame is not an array of records, the whole frame is. Decoding raises no error but `PeerError`.
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
_int_decoder: Final = msgspec.msgpack.Decoder(int)
_DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)


class BadRecord(msgspec.Struct, frozen=True):
    """Takes the place of a record that could not be decoded; says how to refuse it."""

    request_id: int
    code: int
    detail: str


def encode_record(message: Message) -> msgspec.Raw:
    """Return one encoded record, which `encode_frames` takes in place of the record."""
    return msgspec.Raw(_encoder.encode(message))


def record_name(record: Message | msgspec.Raw) -> str:
    """Return the name of a record's class, also for an encoded record."""
    if isinstance(record, Message):
        return type(record).__name__
    tag, _ = _start_of(record)
    return TAGS[tag].__name__ if tag in TAGS else "unknown"


def encode_frames(
    records: Sequence[Message | msgspec.Raw],
    records_max: int = Limits.records_per_frame_max,
) -> list[bytes]:
    """Return the records, in order, as frames within the limits and of at most `records_max`.

    Raises `ValueError` for a record that is larger than a frame. That is a bug of the sender: cores
    split every record that can grow.
    """
    if len(records) > records_max:
        return [
            frame
            for at in range(0, len(records), records_max)
            for frame in encode_frames(records[at : at + records_max], records_max)
        ]
    frame = _encoder.encode(records)
    if len(frame) <= Limits.frame_bytes_max:
        return [frame]
    if len(records) == 1:
        raise ValueError(f"a record of {type(records[0]).__name__} does not fit into a frame")
    middle = len(records) // 2
    return encode_frames(records[:middle], records_max) + encode_frames(
        records[middle:], records_max
    )


def decode_frame(frame: bytes) -> Sequence[WireMessage | BadRecord]:
    """Return the records of a frame; `PeerError` if it is not an array of records."""
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
    """Decode each record by itself: the slow path, for a frame with a bad record."""
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
    """Return tag and request id of a record that could not be decoded; None and 0 if not readable.

    For an unknown tag the request id is a guess: the first field is one in most records. It is only
    used in the refusal.
    """
    try:
        fields = _raw_decoder.decode(raw)
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
