"""Encoding and decoding: valid records round-trip, and bad bytes raise nothing but PeerError."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_message, encoded_size, every_flip, messages_of, plain_values

from zreg.config import Limits
from zreg.errors import MalformedError, PeerError, UnknownMessageError
from zreg.model import Change, Incarnation, Member, Removal, Role, Scope, Status, Version
from zreg.wire.codec import (
    BadRecord,
    decode_frame,
    encode_frames,
    encode_record,
    record_name,
)
from zreg.wire.messages import TAGS, Message, WireMessage
from zreg.wire.records.client_messages import Bye, Hello, Publish, Push, Subscribe
from zreg.wire.records.common_messages import Accepted, Ping, Refused
from zreg.wire.records.data_messages import (
    Changes,
    DatumsListed,
    DatumSummary,
    Snapshot,
    UnpublishDatum,
)
from zreg.wire.records.membership_messages import Leave

ID = b"\x07" * 16
NAME = "a#@#b#@#c"
PUBLISH = Publish(request_id=5, publisher_id=ID, version=1, data_info_id=NAME, body=b"x")  # type: ignore[arg-type]

kinds = pytest.mark.parametrize("kind", TAGS.values(), ids=lambda kind: kind.__name__)


def fields_of(message: msgspec.Struct) -> list[object]:
    """Return the fields of an encoded message as a list, the tag first."""
    fields: list[object] = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    return fields


def decode_fields(*records: object) -> list[WireMessage | BadRecord]:
    """Decode a frame of records that are given as plain lists."""
    return list(decode_frame(msgspec.msgpack.encode(records)))


def decode_changed(message: Message, position: int, value: object) -> WireMessage | BadRecord:
    """Decode a message after one of its fields was replaced."""
    fields = fields_of(message)
    fields[position] = value
    [record] = decode_fields(fields)
    return record


def assert_decodes_or_is_refused(frame: bytes) -> None:
    """Decode a frame of any bytes; any error but PeerError fails the test."""
    try:
        records = decode_frame(frame)
    except PeerError as error:
        records = []
        code = error.code
    else:
        code = MalformedError.code
    assert code == MalformedError.code
    assert all(isinstance(record, (*TAGS.values(), BadRecord)) for record in records)


@kinds
@settings(max_examples=15)
@given(data=st.data())
def test_every_message_round_trips(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages_of(kind))

    [frame] = encode_frames([message])

    assert decode_frame(frame) == [message]
    assert encoded_size(message) == len(frame) - 1


@given(st.lists(any_message(), max_size=8))
def test_a_frame_keeps_its_records_in_order(messages: list[Message]) -> None:
    [frame] = encode_frames([*messages])

    assert decode_frame(frame) == messages


@given(st.lists(any_message(), max_size=4))
def test_an_encoded_record_takes_the_place_of_its_record(messages: list[Message]) -> None:
    assert encode_frames([encode_record(m) for m in messages]) == encode_frames(messages)


@kinds
@settings(max_examples=3)
@given(data=st.data())
def test_every_cut_of_a_frame_is_refused(kind: type[Message], data: st.DataObject) -> None:
    [frame] = encode_frames([data.draw(messages_of(kind)), Ping()])

    for length in range(len(frame)):
        with pytest.raises(PeerError) as caught:
            decode_frame(frame[:length])
        assert caught.value.code == MalformedError.code


@kinds
@settings(max_examples=2)
@given(data=st.data())
def test_a_flipped_bit_never_raises_anything_but_peer_error(
    kind: type[Message], data: st.DataObject
) -> None:
    [frame] = encode_frames([data.draw(messages_of(kind))])

    for flipped in every_flip(frame):
        assert_decodes_or_is_refused(flipped)


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_but_peer_error(garbage: bytes) -> None:
    assert_decodes_or_is_refused(garbage)


@given(st.lists(plain_values, max_size=4))
def test_a_value_that_is_no_record_costs_only_itself(values: list[object]) -> None:
    records = decode_fields(*values, [12])

    assert len(records) == len(values) + 1
    assert records[-1] == Ping()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\x91\xdd\xff\xff\xff\xff",
        b"\x91\x92\x08\xdd\x7f\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x80",
        b"\x90\x90",
        b"\x91" * 100_000,
        b"\x91" * 100_000 + b"\xc0",
        b"\x81\x01" * 10_000 + b"\xc0",
    ],
    ids=lambda frame: f"{frame[:8].hex()}+{len(frame)}",
)
def test_a_frame_that_is_no_array_of_records_is_refused(frame: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        decode_frame(frame)

    assert caught.value.code == MalformedError.code
    assert len(caught.value.detail) <= Limits.detail_characters_max


@kinds
@settings(max_examples=3)
@given(data=st.data(), more=st.lists(plain_values, min_size=1, max_size=3))
def test_unknown_trailing_fields_are_ignored(
    kind: type[Message], data: st.DataObject, more: list[object]
) -> None:
    message = data.draw(messages_of(kind))
    fields = fields_of(message)
    assert len(fields) == 1 + len(kind.__struct_fields__), "all known fields are encoded"

    assert decode_fields([*fields, *more]) == [message]


def test_unknown_trailing_fields_of_nested_values_are_ignored() -> None:
    snapshot = [25, 1, NAME, [1, 2, "new"], [], 0, 9, True, False, {"new": 1}]
    push = [10, NAME, 2, [1, 1, 0], [1, 2, 0], [[ID, 1, ID, [1, "s", 0], "", "", "", b"b", 0]]]
    summary = [33, 1, [[NAME, [1, 2], 3, "new"]]]

    first, second, third = decode_fields(snapshot, push, summary)

    assert first == Snapshot(1, NAME, Version(1, 2), (), 0, 9)  # type: ignore[arg-type]
    assert isinstance(second, Push)
    assert second.publishers[0].session == Incarnation(1, "s")
    assert third == DatumsListed(1, (DatumSummary(NAME, Version(1, 2), 3),))  # type: ignore[arg-type]


def test_trailing_fields_with_a_default_may_be_missing() -> None:
    """A peer of an older version does not send the fields that it does not know."""
    assert decode_fields([1, 1, ID], [5, 3, NAME, 2]) == [
        Hello(protocol_version=1, client_id=ID),
        Subscribe(3, NAME, Scope.DATA_CENTER),  # type: ignore[arg-type]
    ]


def test_an_unknown_tag_is_refused_with_its_code_and_request() -> None:
    assert decode_fields([99, 17, "x"]) == [
        BadRecord(17, UnknownMessageError.code, "unknown message tag 99")
    ]


@pytest.mark.parametrize("second", [-1, 2**63, "x", None], ids=repr)
def test_an_unknown_tag_without_a_request_id_is_refused_with_request_id_0(second: object) -> None:
    assert (
        decode_fields([99, second], [99])
        == [BadRecord(0, UnknownMessageError.code, "unknown message tag 99")] * 2
    )


@given(any_message(), any_message(), plain_values)
def test_one_bad_record_costs_that_record_only(
    before: Message, after: Message, broken: object
) -> None:
    first, bad, last = decode_fields(fields_of(before), [3, 4711, broken], fields_of(after))

    assert (first, last) == (before, after)
    assert isinstance(bad, BadRecord)
    assert (bad.request_id, bad.code) == (4711, MalformedError.code)


@pytest.mark.parametrize(
    "record", [[], {}, 5, None, "Ping", ["Ping"], [None], [1.5], [True]], ids=repr
)
def test_a_record_without_a_tag_is_malformed(record: object) -> None:
    [bad] = decode_fields(record)

    assert isinstance(bad, BadRecord)
    assert (bad.request_id, bad.code) == (0, MalformedError.code)


def test_a_bad_record_without_a_request_id_field_names_no_request() -> None:
    """The first field of Hello is a number, too, but not a request id."""
    [bad] = decode_fields([1, 7, b"short"])

    assert isinstance(bad, BadRecord)
    assert bad.request_id == 0


@pytest.mark.parametrize(
    ("position", "value"),
    [
        pytest.param(1, -1, id="negative request id"),
        pytest.param(1, 2**63, id="request id beyond 63 bits"),
        pytest.param(1, 1.0, id="request id as float"),
        pytest.param(2, b"\x07" * 15, id="short id"),
        pytest.param(2, b"\x07" * 17, id="long id"),
        pytest.param(2, "\x07" * 16, id="id as text"),
        pytest.param(3, 0, id="version 0"),
        pytest.param(3, 2**63, id="version beyond 63 bits"),
        pytest.param(3, True, id="version as bool"),
        pytest.param(4, "a", id="one part"),
        pytest.param(4, "a#@#b", id="two parts"),
        pytest.param(4, "a#@#b#@#c#@#d", id="four parts"),
        pytest.param(4, "#@#b#@#c", id="empty part"),
        pytest.param(4, "a#@#b#@#c\n", id="line end"),
        pytest.param(4, "a b#@#b#@#c", id="blank"),
        pytest.param(4, "a*#@#b#@#c", id="star"),
        pytest.param(4, "a\x00#@#b#@#c", id="control character"),
        pytest.param(4, "a" * 257 + "#@#b#@#c", id="long part"),
        pytest.param(4, b"a#@#b#@#c", id="name as bytes"),
        pytest.param(5, b"x" * (Limits.body_bytes_max + 1), id="long body"),
        pytest.param(5, "x", id="body as text"),
        pytest.param(5, None, id="no body"),
    ],
)
def test_a_publish_over_a_limit_is_refused(position: int, value: object) -> None:
    bad = decode_changed(PUBLISH, position, value)

    assert isinstance(bad, BadRecord)
    assert bad.code == MalformedError.code


@pytest.mark.parametrize(
    ("position", "value"),
    [
        pytest.param(1, 0, id="first request id"),
        pytest.param(1, 2**63 - 1, id="last request id"),
        pytest.param(3, 2**63 - 1, id="last version"),
        pytest.param(4, "#@#".join(["é" * 256] * 3), id="longest name"),
        pytest.param(5, b"x" * Limits.body_bytes_max, id="longest body"),
    ],
)
def test_a_publish_at_a_limit_is_taken(position: int, value: object) -> None:
    assert isinstance(decode_changed(PUBLISH, position, value), Publish)


def test_invalid_utf_8_costs_its_record() -> None:
    frame = msgspec.msgpack.encode([fields_of(PUBLISH), [12]])

    bad, ping = decode_frame(frame.replace(NAME.encode(), b"\xff" + NAME.encode()[1:]))

    assert isinstance(bad, BadRecord)
    assert bad.code == MalformedError.code
    assert ping == Ping()


ONE = Version(1, 1)
MEMBER = Member("d1", Role.DATA, 1, Status.WORKING, "tcp://127.0.0.1:1")
CHANGE = Change(ONE, Version(1, 2), (), ())


@pytest.mark.parametrize(
    ("message", "position", "value"),
    [
        pytest.param(Accepted((1,)), 1, [1] * 10_001, id="ids"),
        pytest.param(
            UnpublishDatum(1, NAME, ()),  # type: ignore[arg-type]
            3,
            [fields_of(Removal(ID, 1, 1))] * 10_001,  # type: ignore[arg-type]
            id="removals",
        ),
        pytest.param(
            Changes(1, NAME, (), 0),  # type: ignore[arg-type]
            3,
            [fields_of(CHANGE)] * 10_001,
            id="changes",
        ),
        pytest.param(Refused(1, 1), 3, "x" * 501, id="detail"),
        pytest.param(Hello(1, ID), 3, "x" * 65, id="label"),
        pytest.param(Leave(1, Incarnation(1, "a")), 2, [1, ""], id="node id"),
        pytest.param(TAGS[30](0, 1, ()), 1, 256, id="byte"),
        pytest.param(TAGS[26](0, 1, ()), 2, Limits.bucket_count, id="bucket"),
        pytest.param(Subscribe(1, NAME, Scope.ZONE), 3, 0, id="scope"),  # type: ignore[arg-type]
        pytest.param(Subscribe(1, NAME, Scope.ZONE), 4, [1, -1], id="negative counter"),  # type: ignore[arg-type]
        pytest.param(Subscribe(1, NAME, Scope.ZONE), 4, [1], id="half a version"),  # type: ignore[arg-type]
    ],
)
def test_a_list_text_or_number_over_its_limit_is_refused(
    message: Message, position: int, value: object
) -> None:
    assert isinstance(decode_fields(fields_of(message))[0], type(message))
    assert isinstance(decode_changed(message, position, value), BadRecord)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 86_401.0, None])
def test_a_lease_out_of_bounds_is_refused(seconds: float | None) -> None:
    """A client sets its timers by the lease and ping seconds of its session."""
    good = [2, 1, [1, "s1"], b"", 3.0, 1.0]
    assert isinstance(decode_fields(good)[0], TAGS[2])

    for position in (4, 5):
        bad = [*good[:position], seconds, *good[position + 1 :]]
        assert isinstance(decode_fields(bad)[0], BadRecord)


def test_a_frame_over_the_limit_of_bytes_is_refused() -> None:
    padding = Limits.frame_bytes_max - len(msgspec.msgpack.encode([[12, b"x" * (1 << 17)]]))
    fits = msgspec.msgpack.encode([[12, b"x" * (padding + (1 << 17))]])
    assert len(fits) == Limits.frame_bytes_max
    assert decode_frame(fits) == [Ping()]

    with pytest.raises(PeerError, match="too large") as caught:
        decode_frame(fits + b"\x00")

    assert caught.value.code == MalformedError.code


@pytest.mark.parametrize("record", [[12], [99]], ids=["good records", "bad records"])
def test_a_frame_over_the_limit_of_records_is_refused(record: list[int]) -> None:
    count = Limits.records_per_frame_max
    assert len(decode_fields(*[record] * count)) == count

    with pytest.raises(PeerError, match="too many"):
        decode_fields(*[record] * (count + 1))


def test_too_many_records_leave_in_several_frames() -> None:
    messages = [Accepted((number,)) for number in range(5000)]

    frames = encode_frames(messages)

    assert len(frames) == 5
    assert [record for frame in frames for record in decode_frame(frame)] == messages


@pytest.mark.parametrize(("count", "counts"), [(1, [1]), (3, [3]), (4, [3, 1]), (9, [3, 3, 3])])
def test_a_sender_may_put_fewer_records_into_a_frame(count: int, counts: list[int]) -> None:
    messages = [Accepted((number,)) for number in range(count)]

    decoded = [list(decode_frame(frame)) for frame in encode_frames(messages, 3)]

    assert [len(records) for records in decoded] == counts
    assert [record for records in decoded for record in records] == messages


def test_too_many_bytes_leave_in_several_frames() -> None:
    body = b"x" * Limits.body_bytes_max
    messages = [Publish(number, ID, 1, NAME, body) for number in range(40)]  # type: ignore[arg-type]

    frames = encode_frames(messages)

    assert all(len(frame) <= Limits.frame_bytes_max for frame in frames)
    assert [record for frame in frames for record in decode_frame(frame)] == messages


def test_a_record_that_fits_no_frame_is_a_bug_of_the_sender() -> None:
    body = b"x" * (Limits.frame_bytes_max + 1)
    huge = Publish(1, ID, 1, NAME, body)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="Publish"):
        encode_frames([Bye(), huge])


def test_no_records_are_one_empty_frame() -> None:
    assert encode_frames([]) == [b"\x90"]
    assert decode_frame(b"\x90") == []


def test_the_name_of_a_record_is_the_same_encoded_or_not() -> None:
    assert record_name(PUBLISH) == record_name(encode_record(PUBLISH)) == "Publish"
    assert record_name(msgspec.Raw(msgspec.msgpack.encode([9999]))) == "unknown"
