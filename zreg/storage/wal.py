"""Tell a torn end of SQLite's write-ahead log (WAL) from damage in its middle.

SQLite reads the frames of a WAL up to the first one with a wrong checksum, and silently drops the
rest. After a power cut that is right: the last transaction was being written, and no node relied on
it. But a flipped bit further up would drop transactions that this node had promised to keep.

Each transaction is synced before the next begins. So if frames of two transactions stand at or
after a bad frame, the WAL is damaged. A bad frame in the very last transaction looks like a torn
write, and is taken for one.

Format: sqlite.org/fileformat2.html, section 4 (the WAL file format).
"""

from array import array
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from sys import byteorder
from typing import Final

_HEADER: Final = Struct(">8I")  # magic, version, page size, sequence, two salts, two sums
_FRAME: Final = Struct(">6I")  # page, pages after commit or 0, two salts, two sums
_MAGIC: Final = 0x377F0682
_WORD: Final = 0xFFFFFFFF


def find_wal_damage(path: Path) -> str | None:
    """Return which part of the WAL at `path` is damaged; None if it is sound or does not exist."""
    raw = path.read_bytes() if path.exists() else b""
    if len(raw) < _HEADER.size:
        return None
    magic, _, page_size, _, *salts, first_sum, second_sum = _HEADER.unpack_from(raw)
    order = "big" if magic & 1 else "little"
    sums = _add_sums(raw[: _HEADER.size - 8], order, (0, 0))
    if magic & ~1 != _MAGIC or sums != (first_sum, second_sum):
        return "the header of the write-ahead log"
    has_ended = False
    is_sound = True
    for number, (start, commit, frame_salts) in enumerate(_frames(raw, page_size), start=1):
        if frame_salts != salts:
            # The frame is from before the WAL was restarted, or was not written yet.
            is_sound = has_ended = False
            continue
        if has_ended and not is_sound:
            return f"the write-ahead log before frame {number}"
        if is_sound:
            sums = _add_sums(raw[start : start + 8], order, sums)
            sums = _add_sums(
                raw[start + _FRAME.size : start + _FRAME.size + page_size], order, sums
            )
            is_sound = sums == _FRAME.unpack_from(raw, start)[4:]
        has_ended = commit != 0
    return None


def _frames(raw: bytes, page_size: int) -> Iterator[tuple[int, int, list[int]]]:
    """Yield start, commit mark and salts of each complete frame."""
    step = _FRAME.size + page_size
    for start in range(_HEADER.size, len(raw) - step + 1, step):
        _, commit, *salts, _, _ = _FRAME.unpack_from(raw, start)
        yield start, commit, salts


def _add_sums(part: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    words = array("I", part)
    if order != byteorder:
        words.byteswap()
    one, two = sums
    values = iter(words)
    for first, second in zip(values, values, strict=True):
        one = (one + first + two) & _WORD
        two = (two + second + one) & _WORD
    return one, two
