"""The header: which cluster, protocol and epoch a message has, before its records are decoded."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import every_flip, plain_values

from zreg.config import Limits
from zreg.errors import ForeignClusterError, MalformedError, PeerError, ProtocolVersionError
from zreg.wire import envelope
from zreg.wire.envelope import MAGIC, Envelope, VersionHeaderError
from zreg.wire.messages import PROTOCOL_VERSION

CODES = {MalformedError.code, ProtocolVersionError.code, ForeignClusterError.code}

clusters = st.text(st.characters(exclude_categories=["Cs"]), max_size=Limits.label_characters_max)


def header_of(*fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


def refused_code(header: bytes) -> int:
    with pytest.raises(PeerError) as caught:
        Envelope("ours").open(header)
    assert len(caught.value.detail) <= Limits.detail_characters_max
    return caught.value.code


@given(clusters, st.integers(0, 2**63 - 1))
def test_a_header_opens_in_its_own_cluster(cluster: str, epoch: int) -> None:
    assert Envelope(cluster).open(Envelope(cluster).header(epoch)) == epoch


def test_the_longest_cluster_name_fits_into_a_header() -> None:
    cluster = "\U0001f98a" * Limits.label_characters_max

    assert Envelope(cluster).open(Envelope(cluster).header(2**63 - 1)) == 2**63 - 1


def test_the_header_is_magic_version_cluster_and_epoch() -> None:
    assert Envelope("ours").header(7) == header_of("zreg", 1, "ours", 7)
    assert (MAGIC, PROTOCOL_VERSION) == ("zreg", 1)


def test_a_header_follows_the_epoch() -> None:
    ours = Envelope("ours")

    assert [ours.open(ours.header(epoch)) for epoch in (0, 0, 3, 3, 1)] == [0, 0, 3, 3, 1]


def test_another_cluster_is_refused() -> None:
    assert refused_code(Envelope("theirs").header(1)) == ForeignClusterError.code


@pytest.mark.parametrize("version", [0, 2, 2**63 - 1])
def test_another_protocol_version_is_refused(version: int) -> None:
    assert refused_code(header_of(MAGIC, version, "ours", 1)) == ProtocolVersionError.code


@pytest.mark.parametrize(
    ("version", "at_peer", "here"),
    [
        (0, "your side", "the peer"),
        (2, "the node that answers this", "this side"),
    ],
    ids=["older", "newer"],
)
def test_both_sides_learn_which_of_them_to_upgrade(version: int, at_peer: str, here: str) -> None:
    with pytest.raises(VersionHeaderError) as raised:
        Envelope("ours").open(header_of(MAGIC, version, "ours", 1))

    assert raised.value.detail.endswith(f": upgrade zreg on {at_peer}")
    assert raised.value.here.endswith(f": upgrade zreg on {here}")
    assert str(version) in raised.value.detail
    assert str(version) in raised.value.here


def test_the_protocol_version_is_checked_before_the_cluster() -> None:
    """A header of another version may have its cluster in another place."""
    assert refused_code(header_of(MAGIC, 2, "theirs", 1)) == ProtocolVersionError.code


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"zreg",
        b"\xc1",
        b"\x94\xff",
        header_of(),
        header_of("zreg"),
        header_of("zreg", 1, "ours"),
        header_of("ZREG", 1, "ours", 1),
        header_of("http/1.1x", 1, "ours", 1),
        header_of("zreg", -1, "ours", 1),
        header_of("zreg", 1, "ours", -1),
        header_of("zreg", 1, "ours", 2**63),
        header_of("zreg", 1, b"ours", 1),
        header_of("zreg", 1, "x" * 65, 1),
        header_of("zreg", 1, "ours", 1) + b"\x00",
        header_of("zreg", 1, "ours", 1, "x" * 600),
        b"\x94\xa4\xff\xff\xff\xff\x01\xa1x\x01",
        b"\x91" * 512,
        b"\xdd\xff\xff\xff\xff",
    ],
    ids=lambda header: f"{header[:12].hex()}+{len(header)}",
)
def test_garbage_is_malformed(header: bytes) -> None:
    assert refused_code(header) == MalformedError.code


@given(st.lists(plain_values, min_size=1, max_size=3))
def test_unknown_trailing_fields_are_accepted(more: list[object]) -> None:
    assert Envelope("ours").open(header_of(MAGIC, PROTOCOL_VERSION, "ours", 5, *more)) == 5


@given(st.integers(0, 2**63 - 1))
def test_every_cut_of_a_header_is_refused(epoch: int) -> None:
    ours = Envelope("ours")
    header = ours.header(epoch)

    for length in range(len(header)):
        with pytest.raises(PeerError):
            ours.open(header[:length])


@given(st.integers(0, 2**63 - 1))
def test_a_flipped_bit_raises_nothing_but_peer_error(epoch: int) -> None:
    for flipped in every_flip(Envelope("ours").header(epoch)):
        try:
            code = Envelope("ours").open(flipped) and MalformedError.code
        except PeerError as error:
            code = error.code
        assert code in {0, *CODES}


def test_the_memory_of_known_headers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_KNOWN_HEADERS_MAX", 3)
    ours, theirs = Envelope("ours"), Envelope("ours")

    for epoch in range(10):
        assert ours.open(theirs.header(epoch)) == epoch
        assert ours.open(theirs.header(epoch)) == epoch
        assert len(ours._known) <= 3
