"""Damage in a write-ahead log; `test_journal.py` has the tests with a real one."""

import struct
from pathlib import Path

from zreg.storage.wal import find_wal_damage


def test_a_missing_write_ahead_log_is_sound(tmp_path: Path) -> None:
    assert find_wal_damage(tmp_path / "raft.db-wal") is None


def test_the_sums_of_a_log_may_be_of_the_other_byte_order(tmp_path: Path) -> None:
    """The sums are made of big-endian words where the last bit of the magic number is set."""
    wal = tmp_path / "raft.db-wal"
    header = (0x377F0683, 3007000, 4096, 0, 1, 2)
    one = two = 0
    for first, second in zip(header[::2], header[1::2], strict=True):
        one = (one + first + two) % 2**32
        two = (two + second + one) % 2**32
    wal.write_bytes(struct.pack(">8I", *header, one, two))
    assert find_wal_damage(wal) is None

    raw = bytearray(wal.read_bytes())
    raw[9] ^= 0x10
    wal.write_bytes(raw)
    assert find_wal_damage(wal) == "the header of the write-ahead log"
