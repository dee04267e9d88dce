"""The cached view: what was written is read back, and no other bytes are accepted."""

import struct
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import every_flip, messages_of
from view_fakes import A, B, make_record

from zreg.model import DataInfoId, Scope, Version
from zreg.wire.cached_view import (
    CACHED_VIEW_BYTES_MAX,
    FORMAT,
    CachedView,
    CachedViewError,
    ViewKey,
    decode_cached_view,
    encode_cached_view,
)

PAY = ViewKey("zreg", "dc", "z1", DataInfoId("pay#@#I#@#G"), Scope.ZONE)
VIEW = CachedView(PAY, 1.7e9, Version(3, 4), (make_record(A, "a"), make_record(B, "b")))
CACHED = encode_cached_view(VIEW)


def refusal_of(data: bytes, key: ViewKey = PAY) -> str:
    """Return why bytes are refused."""
    with pytest.raises(CachedViewError) as caught:
        decode_cached_view(data, key)
    return str(caught.value)


def sealed(content: bytes, version: int = FORMAT) -> bytes:
    """Return content with the head that the file of a version has."""
    checksum = crc32(content, crc32(struct.pack(">I", version)))
    return struct.pack(">8sII", b"zregview", version, checksum) + content


@given(messages_of(CachedView))
def test_a_written_view_is_read_back(view: CachedView) -> None:
    assert decode_cached_view(encode_cached_view(view), view.key) == view


def test_these_tests_seal_content_as_the_files_do() -> None:
    assert sealed(msgspec.msgpack.encode(VIEW)) == CACHED


def test_any_flipped_bit_is_found() -> None:
    for damaged in every_flip(CACHED):
        with pytest.raises(CachedViewError):
            decode_cached_view(damaged, PAY)


def test_any_part_of_a_file_is_refused() -> None:
    for size in range(len(CACHED)):
        with pytest.raises(CachedViewError):
            decode_cached_view(CACHED[:size], PAY)


@given(st.binary())
def test_content_of_any_bytes_raises_no_other_error(content: bytes) -> None:
    with pytest.raises(CachedViewError):
        decode_cached_view(content, PAY)
    with pytest.raises(CachedViewError):
        decode_cached_view(sealed(content), PAY)


@given(messages_of(CachedView), st.data())
def test_content_with_any_damage_and_a_right_checksum_raises_no_other_error(
    view: CachedView, data: st.DataObject
) -> None:
    content = bytearray(msgspec.msgpack.encode(view))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    try:
        read = decode_cached_view(sealed(bytes(content)), view.key)
    except CachedViewError:
        return
    assert read.key == view.key


def test_a_file_of_another_version_is_refused_with_its_number() -> None:
    newer = sealed(b"what a later version writes", version=2)

    assert refusal_of(newer) == f"is of format 2, and this version of zreg knows {FORMAT}"


def test_a_file_of_another_program_is_refused() -> None:
    assert refusal_of(b"x" * 100) == "is no view that zreg has cached"


def test_a_view_of_another_cluster_or_with_other_labels_is_refused() -> None:
    other = replace(PAY, cluster="other")
    assert refusal_of(CACHED, other) == "belongs to cluster 'zreg', not 'other'"
    for key in (replace(PAY, zone="z2"), replace(PAY, scope=Scope.GLOBAL)):
        assert refusal_of(CACHED, key) == "holds another view, of 'pay#@#I#@#G'"
        assert key.file_name != PAY.file_name


def test_fields_of_later_versions_are_ignored() -> None:
    grown = msgspec.msgpack.encode((PAY, VIEW.confirmed_at, VIEW.version, VIEW.publishers, "more"))

    assert decode_cached_view(sealed(grown), PAY) == VIEW


def test_a_view_that_is_too_large_is_neither_written_nor_decoded() -> None:
    record = make_record(A, body=b"x" * 60_000)
    large = replace(VIEW, publishers=(record,) * 80)

    with pytest.raises(CachedViewError, match=f"the limit is {CACHED_VIEW_BYTES_MAX}"):
        encode_cached_view(large)
    assert refusal_of(sealed(msgspec.msgpack.encode(large))).startswith("is larger than")
