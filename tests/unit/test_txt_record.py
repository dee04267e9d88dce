"""The TXT record of an announcement: what is written can be read, and no bytes make it raise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.config import CLUSTER_NAME, LABEL
from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.txt_record import TXT_BYTES_MAX, Unreadable, read_txt, written_txt
from zreg.model import NODE_ID, Role
from zreg.names import NameRule

ETH = Interface("eth0")
LO = Interface("lo", is_loopback=True)
META = Announcement(
    role=Role.META,
    node_id="meta-1",
    cluster="shop",
    cluster_id=bytes(range(16)),
    zone="z1",
    data_center="north",
    addresses=("tcp://10.0.0.7:9610", "tcp://[fd00::7]:9610"),
    raft_address="tcp://10.0.0.7:9611",
    journal_id="0123456789abcdef",
    bootstrap_expect=3,
)
SESSION = Announcement(
    role=Role.SESSION, node_id="session-1", cluster="shop", addresses=("tcp://10.0.0.8:9600",)
)


def packed(*strings: str | bytes) -> bytes:
    raw = [each.encode() if isinstance(each, str) else each for each in strings]
    return b"".join(bytes([len(each)]) + each for each in raw)


def names(rule: NameRule, size_max: int = 64) -> st.SearchStrategy[str]:
    return st.text(min_size=1, max_size=size_max).filter(lambda name: rule.objection(name) is None)


@pytest.mark.parametrize("announcement", [META, SESSION], ids=["meta", "session"])
def test_what_is_written_is_read(announcement: Announcement) -> None:
    assert read_txt(announcement.role, written_txt(announcement), ETH) == announcement


def test_the_format_is_fixed() -> None:
    assert written_txt(META) == packed(
        "v=1",
        "id=meta-1",
        "cluster=shop",
        "cid=000102030405060708090a0b0c0d0e0f",
        "proto=1",
        "zone=z1",
        "dc=north",
        "raft=10.0.0.7:9611",
        "journal=0123456789abcdef",
        "expect=3",
        "a0=10.0.0.7:9610",
        "a1=[fd00::7]:9610",
    )


@given(
    node_id=names(NODE_ID),
    cluster=names(CLUSTER_NAME),
    zone=st.just("") | names(LABEL),
    cluster_id=st.just(b"") | st.binary(min_size=16, max_size=16),
)
def test_all_names_that_are_allowed_survive(
    node_id: str, cluster: str, zone: str, cluster_id: bytes
) -> None:
    announcement = Announcement(
        role=Role.SESSION,
        node_id=node_id,
        cluster=cluster,
        cluster_id=cluster_id,
        zone=zone,
        addresses=("tcp://10.0.0.8:9600",),
    )

    assert read_txt(Role.SESSION, written_txt(announcement), ETH) == announcement


def test_the_longest_names_fit() -> None:
    longest = "\U0001f600" * 64
    announcement = Announcement(
        role=Role.META,
        node_id=longest,
        cluster=longest,
        cluster_id=b"\xff" * 16,
        zone=longest,
        data_center=longest,
        addresses=tuple(f"tcp://[fd00:1111:2222:3333:4444:5555:6666:{n}]:65535" for n in range(8)),
        raft_address=f"tcp://{'a.' * 120}b:65535",
        journal_id="f" * 64,
        bootstrap_expect=7,
    )
    data = written_txt(announcement)

    assert len(data) <= TXT_BYTES_MAX // 2
    assert read_txt(Role.META, data, ETH) == announcement


@given(st.binary(max_size=600))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    assert isinstance(read_txt(Role.META, data, ETH), Announcement | Unreadable)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=3), st.sampled_from([META, SESSION]))
def test_a_damaged_record_never_raises(at: int, damage: bytes, announcement: Announcement) -> None:
    data = written_txt(announcement)
    data = data[:at] + damage + data[at + len(damage) :]

    assert isinstance(read_txt(announcement.role, data, ETH), Announcement | Unreadable)


@given(
    st.dictionaries(
        st.sampled_from(["id", "cluster", "cid", "proto", "zone", "dc", "a0", "a7", "raft"])
        | st.sampled_from(["journal", "expect", "id+", "cluster+", "A1"]),
        st.binary(max_size=200)
        | st.from_regex(r"(\[[0-9a-f:%.]*\]|[0-9.]*|[a-z.]*):\d{1,6}").map(str.encode),
    )
)
def test_no_fields_make_the_reader_raise(fields: dict[str, bytes]) -> None:
    data = packed("v=1", *(f"{key}=".encode() + value[:200] for key, value in fields.items()))

    assert isinstance(read_txt(Role.META, data, ETH), Announcement | Unreadable)


@pytest.mark.parametrize(
    ("strings", "reason"),
    [
        ((), "does not begin with v=1"),
        (("v=2", "id=a", "cluster=b"), "does not begin with v=1"),
        (("v=1", "cluster=b"), "id '' is not allowed"),
        (("v=1", "id=a", "cluster=two words"), "cluster 'two words' is not allowed"),
        (("v=1", b"id=\xff", "cluster=b"), "id is no UTF-8"),
        (("v=1", "id=a", "cluster=b", "cid=00"), "cid '00' is no id of a cluster"),
        (("v=1", "id=a", "cluster=b", "proto=1e9"), "proto '1e9' is no number"),
        (("v=1", "id=a", "cluster=b", "expect=8"), "expect '8' is no number from 0 to 7"),
        (("v=1", "id=a", "cluster=b", "a0=host:1"), "it is no IP address"),
        (("v=1", "id=a", "cluster=b", "a0=[fe80::1%eth0]:1"), "the zone of an address"),
        (("v=1", "id=a", "cluster=b", "a0=0.0.0.0:1"), "all addresses of a machine"),
        (("v=1", "id=a", "cluster=b", "a0=10.0.0.1:0"), "a port from 1"),
        (("v=1", "id=a", "cluster=b", "raft=x"), "raft 'x' cannot be used"),
        (("v=1", "id=a", "cluster=b", f"raft={'a' * 240}:1", f"raft+={'b' * 99}:1"), "too long"),
        (("v=1", "id=a", "cluster=b", "journal=a b"), "journal 'a b' is not allowed"),
    ],
)
def test_a_record_that_breaks_a_rule_is_refused(
    strings: tuple[str | bytes, ...], reason: str
) -> None:
    found = read_txt(Role.META, packed(*strings), ETH)

    assert isinstance(found, Unreadable)
    assert reason in found.reason


def test_a_record_that_is_too_long_is_refused_before_it_is_read() -> None:
    found = read_txt(Role.META, b"\0" * (TXT_BYTES_MAX + 1), ETH)

    assert found == Unreadable("its TXT record has 4097 bytes, and 4096 are allowed")


def test_unknown_keys_and_keys_in_capitals_and_second_values() -> None:
    data = packed("v=1", "ID=a", "cluster=b", "cluster=c", "new=1", "flag", "=x", "a0=10.0.0.1:1")

    assert read_txt(Role.SESSION, data, ETH) == Announcement(
        role=Role.SESSION,
        node_id="a",
        cluster="b",
        protocol_version=0,
        addresses=("tcp://10.0.0.1:1",),
    )


def test_a_session_has_no_fields_of_meta() -> None:
    found = read_txt(Role.SESSION, written_txt(META), ETH)

    assert isinstance(found, Announcement)
    assert (found.raft_address, found.journal_id, found.bootstrap_expect) == ("", "", 0)


def test_a_link_local_address_gets_the_zone_of_the_reader() -> None:
    data = packed("v=1", "id=a", "cluster=b", "a0=[fe80::1]:9610", "a1=169.254.1.1:9610")
    found = read_txt(Role.META, data, ETH)

    assert isinstance(found, Announcement)
    assert found.addresses == ("tcp://[fe80::1%eth0]:9610", "tcp://169.254.1.1:9610")


def test_a_link_local_address_on_an_interface_whose_name_is_no_zone_is_left_out() -> None:
    data = packed("v=1", "id=a", "cluster=b", "a0=[fe80::1]:9610")
    found = read_txt(Role.META, data, Interface("eth0:1"))

    assert isinstance(found, Announcement)
    assert found.addresses == ()


@pytest.mark.parametrize("loopback", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_loopback_address_counts_on_the_loopback_interface_only(loopback: str) -> None:
    data = packed("v=1", "id=a", "cluster=b", f"a0={loopback}:9610", "a1=10.0.0.1:9610")
    elsewhere, here = (read_txt(Role.META, data, interface) for interface in (ETH, LO))

    assert isinstance(elsewhere, Announcement)
    assert elsewhere.addresses == ("tcp://10.0.0.1:9610",)
    assert isinstance(here, Announcement)
    assert len(here.addresses) == 2


def test_addresses_are_written_in_one_way() -> None:
    data = packed("v=1", "id=a", "cluster=b", "a0=[FD00:0::7]:9610", "a1=[fd00::7]:09610")
    found = read_txt(Role.META, data, ETH)

    assert isinstance(found, Announcement)
    assert found.addresses == ("tcp://[fd00::7]:9610",)
