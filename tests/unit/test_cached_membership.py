"""The cached membership: what was written is read back, and nothing else is accepted."""

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
from zreg.storage.membership_cache import CACHE_NAME, MembershipCache, MembershipFile
from zreg.wire.cached_membership import (
    CACHED_BYTES_MAX,
    FORMAT,
    CachedMembershipError,
    decode_cached_membership,
    encode_cached_membership,
)

DATA = Member("d1", Role.DATA, 4, Status.WORKING, "tcp://d1:1", "tcp://d1:2", process_id=b"p" * 16)
MEMBERSHIP = Membership(b"A" * 16, 7, 4, RingParameters(), (DATA,))
MINE = {"cluster": "zreg", "node_id": "s1"}
CACHED = encode_cached_membership(MEMBERSHIP, **MINE)


def refusal_of(data: bytes, **mine: str) -> str:
    """Return why bytes are refused."""
    with pytest.raises(CachedMembershipError) as caught:
        decode_cached_membership(data, **{**MINE, **mine})
    return str(caught.value)


def outer(*fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


def sealed(content: bytes, version: int = FORMAT) -> bytes:
    checksum = crc32(content, crc32(b"%d" % version))
    return outer(b"zreg membership", version, checksum, content)


@given(messages_of(Membership))
def test_a_written_membership_is_read_back(membership: Membership) -> None:
    assert (
        decode_cached_membership(encode_cached_membership(membership, **MINE), **MINE) == membership
    )


def test_these_tests_seal_content_as_the_files_do() -> None:
    content = msgspec.msgpack.encode(("zreg", "s1", MEMBERSHIP))

    assert sealed(content) == CACHED
    assert decode_cached_membership(sealed(content), **MINE) == MEMBERSHIP


def test_a_torn_file_is_damaged_wherever_it_ends() -> None:
    assert {refusal_of(CACHED[:end]) for end in range(len(CACHED))} == {"is damaged"}


def test_every_flipped_bit_is_found() -> None:
    assert {refusal_of(data) for data in every_flip(CACHED)} == {"is damaged"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0" * len(CACHED), id="zeros"),
        pytest.param(b"[client]\nurl = 'x'", id="text"),
        pytest.param(outer(b"zreg something", FORMAT, 0, b""), id="another magic"),
        pytest.param(b"\x91" * 100_000 + b"\xc0", id="deep"),
        pytest.param(sealed(b"\xff" * 40), id="content that is none, well sealed"),
        pytest.param(sealed(outer("zreg", "s1", 5)), id="no membership, well sealed"),
        pytest.param(CACHED + b"\0" * CACHED_BYTES_MAX, id="larger than any"),
    ],
)
def test_rubbish_is_damaged(data: bytes) -> None:
    assert refusal_of(data) == "is damaged"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_as_damaged(data: bytes) -> None:
    assert refusal_of(data) == "is damaged"


def test_a_newer_format_is_told_apart_from_damage() -> None:
    said = refusal_of(sealed(b"a future content", FORMAT + 1))

    assert said == "is of format 2, and this version of zreg knows 1"


def test_fields_that_a_newer_version_adds_are_ignored() -> None:
    content = msgspec.msgpack.encode(("zreg", "s1", MEMBERSHIP, "more"))

    assert decode_cached_membership(sealed(content), **MINE) == MEMBERSHIP


def test_the_membership_of_another_node_or_cluster_is_refused() -> None:
    assert refusal_of(CACHED, cluster="other") == "belongs to cluster 'zreg', not 'other'"
    assert refusal_of(CACHED, node_id="s2") == "belongs to node 's1', not 's2'"


# --- the file -----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> MembershipFile:
    return MembershipFile(tmp_path / "made" / "for it", **MINE)


def test_a_missing_file_is_an_empty_membership_without_a_warning(
    file: MembershipFile, caplog: pytest.LogCaptureFixture
) -> None:
    assert file.read() is EMPTY_MEMBERSHIP
    assert caplog.text == ""


def test_the_newest_membership_is_read_and_no_other_file_is_left(file: MembershipFile) -> None:
    file.write(MEMBERSHIP)
    newer = replace(MEMBERSHIP, epoch=8)
    file.write(newer)

    assert file.read() == newer
    assert [path.name for path in file.path.parent.iterdir()] == [CACHE_NAME]


def test_an_empty_membership_removes_the_file(file: MembershipFile) -> None:
    file.write(EMPTY_MEMBERSHIP)
    file.write(MEMBERSHIP)

    file.write(EMPTY_MEMBERSHIP)

    assert file.read() is EMPTY_MEMBERSHIP
    assert list(file.path.parent.iterdir()) == []


def test_a_process_that_dies_while_it_writes_leaves_the_former_file(
    file: MembershipFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(MEMBERSHIP)

    def die(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        file.write(replace(MEMBERSHIP, epoch=8))

    assert file.read() == MEMBERSHIP
    assert MembershipCache(file).cached == MEMBERSHIP


def test_the_content_is_synced_before_the_name_and_the_name_before_the_return(
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
    ("mine", "reason"),
    [
        ({"cluster": "other", "node_id": "s1"}, "belongs to cluster 'zreg', not 'other'"),
        ({"cluster": "zreg", "node_id": "s2"}, "belongs to node 's1', not 's2'"),
    ],
)
def test_a_refused_file_is_logged_with_the_consequence_and_left_alone(
    file: MembershipFile, mine: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(MEMBERSHIP)

    assert MembershipFile(file.path.parent, **mine).read() is EMPTY_MEMBERSHIP
    assert "membership.ignored" in caplog.text
    assert reason in caplog.text
    assert "it is not used, the node starts without it and asks meta" in caplog.text
    assert file.read() == MEMBERSHIP, "it may belong to another node"


def test_an_unreadable_file_is_logged(
    file: MembershipFile, caplog: pytest.LogCaptureFixture
) -> None:
    file.path.mkdir()

    assert file.read() is EMPTY_MEMBERSHIP
    assert "cannot be read (Is a directory)" in caplog.text


def test_a_path_that_is_no_directory_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(UsageError, match=r"file cannot be used: .*; name another --dir"):
        MembershipFile(tmp_path / "file", **MINE)
