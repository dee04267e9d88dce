"""The membership on disk: what was written comes back, and nothing else is taken for it."""

import os
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import every_flip, messages_of

from zreg.errors import UsageError
from zreg.model import EMPTY_MEMBERSHIP, Member, Membership, RingParameters, Role, Status
from zreg.storage.membership_cache import KEPT_NAME, MembershipCache, MembershipFile
from zreg.wire.cached_membership import (
    FORMAT,
    KEPT_BYTES_MAX,
    CachedMembershipError,
    decode_cached_membership,
    encode_cached_membership,
)

DATA = Member("d1", Role.DATA, 4, Status.WORKING, "tcp://d1:1", "tcp://d1:2", process_id=b"p" * 16)
MEMBERSHIP = Membership(b"A" * 16, 7, 4, RingParameters(), (DATA,))
MINE = {"cluster": "zreg", "node_id": "s1"}
KEPT = encode_cached_membership(MEMBERSHIP, **MINE)


def why_not(data: bytes, **mine: str) -> str:
    """Return what is said of bytes that are not taken."""
    with pytest.raises(CachedMembershipError) as caught:
        decode_cached_membership(data, **{**MINE, **mine})
    return str(caught.value)


def outer(*fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


def sealed(content: bytes, version: int = FORMAT) -> bytes:
    checksum = crc32(content, crc32(b"%d" % version))
    return outer(b"zreg membership", version, checksum, content)


@given(messages_of(Membership))
def test_what_is_kept_comes_back(membership: Membership) -> None:
    assert (
        decode_cached_membership(encode_cached_membership(membership, **MINE), **MINE) == membership
    )


def test_the_sealing_of_these_tests_is_that_of_the_files() -> None:
    content = msgspec.msgpack.encode(("zreg", "s1", MEMBERSHIP))

    assert sealed(content) == KEPT
    assert decode_cached_membership(sealed(content), **MINE) == MEMBERSHIP


def test_a_torn_file_is_damaged_wherever_it_ends() -> None:
    assert {why_not(KEPT[:end]) for end in range(len(KEPT))} == {"is damaged"}


def test_no_flipped_bit_is_passed_over() -> None:
    assert {why_not(data) for data in every_flip(KEPT)} == {"is damaged"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0" * len(KEPT), id="zeros"),
        pytest.param(b"[client]\nurl = 'x'", id="text"),
        pytest.param(outer(b"zreg something", FORMAT, 0, b""), id="another magic"),
        pytest.param(b"\x91" * 100_000 + b"\xc0", id="deep"),
        pytest.param(sealed(b"\xff" * 40), id="content that is none, well sealed"),
        pytest.param(sealed(outer("zreg", "s1", 5)), id="no membership, well sealed"),
        pytest.param(KEPT + b"\0" * KEPT_BYTES_MAX, id="larger than any"),
    ],
)
def test_rubbish_is_damaged(data: bytes) -> None:
    assert why_not(data) == "is damaged"


@given(st.binary(max_size=200))
def test_whatever_is_there_is_refused_at_most(data: bytes) -> None:
    assert why_not(data) == "is damaged"


def test_a_newer_format_is_told_apart_from_damage() -> None:
    said = why_not(sealed(b"whatever it will be", FORMAT + 1))

    assert said == "is of format 2, and this version of zreg knows 1"


def test_fields_that_a_newer_version_adds_are_left_aside() -> None:
    content = msgspec.msgpack.encode(("zreg", "s1", MEMBERSHIP, "more"))

    assert decode_cached_membership(sealed(content), **MINE) == MEMBERSHIP


def test_that_of_others_is_not_taken() -> None:
    assert why_not(KEPT, cluster="other") == "belongs to cluster 'zreg', not 'other'"
    assert why_not(KEPT, node_id="s2") == "belongs to node 's1', not 's2'"


# --- the file -----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> MembershipFile:
    return MembershipFile(tmp_path / "made" / "for it", **MINE)


def test_a_file_that_is_not_there_is_no_trouble(
    file: MembershipFile, caplog: pytest.LogCaptureFixture
) -> None:
    assert file.read() is EMPTY_MEMBERSHIP
    assert caplog.text == ""


def test_the_newest_is_read_and_nothing_else_lies_about(file: MembershipFile) -> None:
    file.write(MEMBERSHIP)
    newer = replace(MEMBERSHIP, epoch=8)
    file.write(newer)

    assert file.read() == newer
    assert [path.name for path in file.path.parent.iterdir()] == [KEPT_NAME]


def test_an_empty_membership_removes_what_was_kept(file: MembershipFile) -> None:
    file.write(EMPTY_MEMBERSHIP)
    file.write(MEMBERSHIP)

    file.write(EMPTY_MEMBERSHIP)

    assert file.read() is EMPTY_MEMBERSHIP
    assert list(file.path.parent.iterdir()) == []


def test_a_process_that_dies_while_it_writes_leaves_the_one_before(
    file: MembershipFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(MEMBERSHIP)

    def die(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        file.write(replace(MEMBERSHIP, epoch=8))

    assert file.read() == MEMBERSHIP
    assert MembershipCache(file).kept == MEMBERSHIP


def test_content_is_on_disk_before_its_name_and_the_name_before_it_returns(
    file: MembershipFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    replace_file = Path.replace

    def note_sync(descriptor: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")

    def note_replace(self: Path, target: Path) -> Path:
        steps.append(f"{self.name} becomes {target.name}")
        return replace_file(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)

    file.write(MEMBERSHIP)

    assert steps == [
        "sync membership.new",
        "membership.new becomes membership.msgpack",
        "sync for it",
    ]


@pytest.mark.parametrize(
    ("mine", "says"),
    [
        ({"cluster": "other", "node_id": "s1"}, "belongs to cluster 'zreg', not 'other'"),
        ({"cluster": "zreg", "node_id": "s2"}, "belongs to node 's1', not 's2'"),
    ],
)
def test_what_is_not_used_is_told_with_what_to_do(
    file: MembershipFile, mine: dict[str, str], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(MEMBERSHIP)

    assert MembershipFile(file.path.parent, **mine).read() is EMPTY_MEMBERSHIP
    assert "membership.ignored" in caplog.text
    assert says in caplog.text
    assert "it is not used, the node starts without it and asks meta" in caplog.text
    assert file.read() == MEMBERSHIP, "it may be somebody's"


def test_a_file_that_cannot_be_read_is_told_of(
    file: MembershipFile, caplog: pytest.LogCaptureFixture
) -> None:
    file.path.mkdir()

    assert file.read() is EMPTY_MEMBERSHIP
    assert "cannot be read (Is a directory)" in caplog.text


def test_a_place_that_can_be_no_directory_is_a_mistake_of_whoever_named_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(UsageError, match=r"file cannot be used: .*; name another --dir"):
        MembershipFile(tmp_path / "file", **MINE)
