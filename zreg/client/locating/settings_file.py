"""Read a zreg.toml: where it may be, how it is encoded, and the line that sets a name.

The same file holds settings of nodes and the `[client]` table of clients. A folder that this
process may not enter is not taken for one without a file: its caller is told, and goes on with the
next place.
"""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from zreg.errors import UsageError

CONFIG_PATHS: Final = (Path("zreg.toml"), Path("/etc/zreg/zreg.toml"))

# UTF-32 comes first: its mark in little-endian order begins with that of UTF-16.
_OTHER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_ADVICE: Final = "save it as UTF-8"


class ForbiddenError(UsageError):
    """This process may not read the file, or may not enter its folder."""


class SettingsFile(msgspec.Struct, frozen=True):
    """One file that was read."""

    path: Path
    text: str
    values: Mapping[str, object]


def find_settings(paths: Sequence[Path], warn: Callable[[str], None]) -> Iterator[SettingsFile]:
    """Yield those of the files that exist; `warn` gets a sentence for each that is forbidden."""
    for path in paths:
        try:
            found = read_settings(path)
        except ForbiddenError as error:
            warn(f"{error}; until then its settings are left out")
        else:
            if found is not None:
                yield found


def read_settings(path: Path) -> SettingsFile | None:
    """Return a file, None if there is none; `UsageError` says why it cannot be used."""
    try:
        if path.is_dir():
            return None
        # Not only a plain file: a shell makes a pipe of `<(...)`.
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise ForbiddenError(
            f"{_full(path)} may not be read by this user ({error.strerror}): permit it, or start "
            "this in another folder"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): make it readable, or remove it"
        ) from error
    import tomllib  # noqa: PLC0415 -- most programs have no such file

    text = _decoded(path, raw)
    try:
        return SettingsFile(path, text, tomllib.loads(text))
    except ValueError as error:
        raise UsageError(
            f"{path} is not valid TOML: {_place_first(str(error))}; correct it"
        ) from error


def line_of(name: str, text: str, *, section: str = "") -> int:
    """Return the number of the TOML line that sets a name.

    Return the section's line, or 1, if the name is written in an unusual way.
    """
    lines, first = text.splitlines(), 0
    if section:
        first = line_of(section, text)
    pattern = re.compile(rf"""\s*\[?["']?{re.escape(name)}["']?\s*[\]=.]""")
    found = (n for n, line in enumerate(lines, 1) if n > first and pattern.match(line))
    return next(found, max(first, 1))


def _decoded(path: Path, raw: bytes) -> str:
    """Return the text of a file; editors on Windows write a byte order mark first."""
    for mark, encoding in _OTHER_MARKS:
        if raw.startswith(mark):
            raise UsageError(
                f"{path} is encoded in {encoding}, as its byte order mark says: {_ADVICE}"
            )
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise UsageError(
            f"{path}, line {line}: the byte 0x{byte:02x} is no UTF-8: {_ADVICE}"
        ) from error
    if "\0" in text:
        raise UsageError(f"{path} holds zero bytes, as UTF-16 does, and is no UTF-8: {_ADVICE}")
    return text


def _full(path: Path) -> Path:
    """Return the path with its folder, for people: they may not know where a program runs."""
    try:
        return path.absolute()
    except OSError:
        return path


def _place_first(error: str) -> str:
    """Turn tomllib's `what (at line 3, column 5)` into `line 3, column 5: what`."""
    what, _, place = error.rpartition(" (at ")
    return f"{place.rstrip(')')}: {what}" if what else error
