"""Which files of a cache directory have to go, so that it stays within its limits."""

from collections.abc import Iterable
from typing import Final, NamedTuple

FILES_MAX: Final = 1000
BYTES_MAX: Final = 64 << 20


class StoredFile(NamedTuple):
    """One file of a view; `written_at` is in Unix time."""

    name: str
    bytes: int
    written_at: float


def surplus(
    files: Iterable[StoredFile], *, files_max: int = FILES_MAX, bytes_max: int = BYTES_MAX
) -> list[str]:
    """Return the names of the files to drop: the oldest, beyond so many files or bytes."""
    names: list[str] = []
    size = 0
    newest_first = sorted(files, key=lambda each: each.written_at, reverse=True)
    for count, file in enumerate(newest_first, 1):
        size += file.bytes
        # All older ones go too, so that what stays is the newest.
        if count > files_max or size > bytes_max:
            names.append(file.name)
    return names
