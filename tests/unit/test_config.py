"""A config is validated as a whole; the error names the field that cannot work."""

from dataclasses import dataclass

import msgspec
import pytest

from zreg.config import Config, Limits
from zreg.errors import UsageError

POSITIVE = Config._POSITIVE
SECONDS = [name for name in Config.__struct_fields__ if "_seconds" in name]


def test_the_defaults_are_for_a_lan() -> None:
    assert Config.for_lan() == Config()


def test_loopback_has_the_same_leases() -> None:
    lan, loopback = Config.for_lan(), Config.for_loopback()

    assert loopback.lease_seconds == lan.lease_seconds
    assert loopback.reconnect_seconds_max < lan.reconnect_seconds_max


@dataclass
class Case:
    changes: dict[str, object]
    says: str


CASES = [
    Case({"cluster": ""}, "cluster '' cannot be used: give 1 to 64 printable"),
    Case({"cluster": "x" * 65}, "^cluster 'x+' cannot be used: give .* 64 .*characters"),
    Case({"zone": "x" * 65}, "^zone 'x+' cannot be used: give .* 64 .*characters"),
    Case({"data_center": "x" * 65}, "^data_center 'x+' cannot be used: give .* 64 .*characters"),
    Case({"cluster": "\udcff"}, r"cluster .* this one has U\+DCFF"),
    Case({"zone": "a\n"}, r"zone .* this one has U\+000A"),
    Case({"cluster": "zreg "}, "give 1 to 64 printable characters without blanks"),
    Case({"cluster": "zreg\u200b"}, r"this one has U\+200B ZERO WIDTH SPACE"),
    Case({"data_center": " east"}, "this one has a blank at an end"),
    Case({"renew_seconds": 1.1}, "lease_seconds must be at least three times renew_seconds"),
    Case({"ping_seconds": 1.6}, "lease_seconds must be at least twice ping_seconds"),
    Case({"reconnect_seconds_max": 0.01}, "reconnect_seconds_max must not be below"),
    Case(
        {"tombstone_seconds": 119.9}, "tombstone_seconds must be at least twice sweep_seconds, so"
    ),
    Case({"sweep_seconds": 301.0}, "lower sweep_seconds"),
    Case({"digest_seconds": 301.0}, "tombstone_seconds must be at least twice digest_seconds, so"),
    Case({"virtual_node_count": 10_001}, "virtual_node_count must be at most 10000, not 10001"),
    Case({"replica_count": 101}, "replica_count must be at most 100, not 101"),
    Case({"disconnect_grace_seconds": -0.1}, "disconnect_grace_seconds must be from 0 to"),
    Case({"session_grace_seconds": float("nan")}, "session_grace_seconds must be from 0 to"),
    Case({"sweep_seconds": float("inf")}, "sweep_seconds must be from 0 to 86400, not inf"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.changes)[:40])
def test_a_config_that_cannot_work_is_refused(case: Case) -> None:
    with pytest.raises(UsageError, match=case.says):
        msgspec.structs.replace(Config(), **case.changes)


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_positive_field_refuses_other_values(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"^{name} must be greater than 0, not "):
        msgspec.structs.replace(Config(), **{name: value})


@pytest.mark.parametrize("name", SECONDS)
def test_no_duration_is_longer_than_a_day(name: str) -> None:
    """Clients set timers by durations of their session, and records have the same bound."""
    with pytest.raises(UsageError, match=f"^{name} must be from 0 to 86400"):
        msgspec.structs.replace(Config(), **{name: 86_401.0})


@pytest.mark.parametrize("name", ["disconnect_grace_seconds", "session_grace_seconds"])
def test_a_grace_may_be_0(name: str) -> None:
    assert getattr(msgspec.structs.replace(Config(), **{name: 0.0}), name) == 0


def test_the_longest_labels_are_allowed() -> None:
    label = "\u00e9" * Limits.label_characters_max

    assert Config(cluster=label, zone=label, data_center=label).cluster == label


def test_a_config_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Config().cluster = "other"  # type: ignore[misc]


def test_a_part_with_the_largest_publisher_fits_into_a_frame() -> None:
    assert Limits.part_bytes_max + Limits.body_bytes_max < Limits.frame_bytes_max
    assert Limits.inline_change_bytes_max < Limits.part_bytes_max


@pytest.mark.parametrize(
    "fields",
    [
        {"lease_seconds": "3"},
        {"lease_seconds": None},
        {"lease_seconds": True},
        {"clients_max": 1.5},
        {"cluster": 5},
        {"zone": None},
        {"meta_addresses": "tcp://127.0.0.1:9610"},
        {"meta_addresses": [5]},
        {"meta_addresses": 5},
    ],
)
def test_a_field_of_the_wrong_type_is_refused_with_its_name(fields: dict[str, object]) -> None:
    (name,) = fields
    with pytest.raises(UsageError, match=f"{name} .* cannot be used: give "):
        Config(**fields)  # type: ignore[arg-type]


def test_a_list_of_addresses_is_copied() -> None:
    addresses = ["tcp://127.0.0.1:9610"]
    config = Config(meta_addresses=addresses)  # type: ignore[arg-type]
    addresses.clear()
    assert config.meta_addresses == ("tcp://127.0.0.1:9610",)


def test_a_hash_function_that_no_node_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="ring_hash 'crc32' is not known: choose one of md5, sha1"):
        Config(ring_hash="crc32")
