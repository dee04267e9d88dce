"""Where a setting comes from: flag, environment, file, system-wide file, default.

The first of these places that has a value wins, field by field.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import FieldInfo, replace

from zreg.cli.process.address_options import tcp_addresses
from zreg.cli.process.node_options import (
    CONFIG_FIELDS,
    OPTION_FIELDS,
    SETTINGS_PAGE,
    NodeOptions,
    flag,
    hint,
    variable,
)
from zreg.client.registry_url import CONFIG_PATHS, check_client_table, line_of
from zreg.config import Config
from zreg.errors import UsageError

_FIELDS: Final[Mapping[str, FieldInfo]] = {**CONFIG_FIELDS, **OPTION_FIELDS}
# Clients read this table of the same file; nodes only check its names.
_CLIENT_TABLE: Final = "client"
# The names that a file may hold, and how each is written there.
_FILE_NAMES: Final[Mapping[str, str]] = {name: name for name in _FIELDS} | {
    _CLIENT_TABLE: f"[{_CLIENT_TABLE}]",
    "url": f"url in [{_CLIENT_TABLE}]",
}
# What to write, where the type of the field alone would not say it.
_EXPECTED: Final[Mapping[str, str]] = {"http_port": "a port from 0 to 65535, or off"}


class Settings(msgspec.Struct, frozen=True):
    """All settings of one command."""

    config: Config
    options: NodeOptions


class _Given(msgspec.Struct, frozen=True):
    """A value, and where it was given, for errors."""

    value: object
    where: str


def load_settings(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    *,
    file: Path | None = None,
    base: Config | None = None,
    paths: Sequence[Path] = CONFIG_PATHS,
) -> Settings:
    """Return the settings; raises `UsageError`, which names the place of an unusable value.

    `file` replaces the first of `paths`; paths that do not exist are skipped. `base` holds the
    defaults.
    """
    given: dict[str, _Given] = {}
    for path in reversed(_files(file, paths)):
        if path.is_file():
            given |= _read(path)
    for name in _FIELDS:
        if text := environment.get(variable(name)):
            given[name] = _Given(text, variable(name))
        if (argument := flags.get(name)) is not None:
            given[name] = _Given(argument, flag(name))
    values = {name: _convert(_FIELDS[name], each) for name, each in given.items()}
    config = {name: value for name, value in values.items() if name in CONFIG_FIELDS}
    options = {name: value for name, value in values.items() if name in OPTION_FIELDS}
    return Settings(
        replace(base or Config.for_lan(), **config), msgspec.convert(options, NodeOptions)
    )


def _files(file: Path | None, paths: Sequence[Path]) -> list[Path]:
    if file is None:
        return list(paths)
    if file.is_dir():
        raise UsageError(f"{file} is a directory: name a file with -c, or leave out -c")
    if not file.exists():
        raise UsageError(f"{file} does not exist: create it (it may be empty), or leave out -c")
    return [file, *paths[1:]]


def _read(path: Path) -> dict[str, _Given]:
    """Return what a file sets; an unknown name is refused, with the nearest known one."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): make it readable, or remove it"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not valid TOML: {_place_first(str(error))}; correct it"
        ) from error
    given: dict[str, _Given] = {}
    for name, value in raw.items():
        where = f"{path}, line {line_of(name, text)}"
        if name == _CLIENT_TABLE:
            check_client_table(value, path, text)
            continue
        if name not in _FIELDS:
            what = "section" if isinstance(value, dict) else "setting"
            raise UsageError(f"{where}: there is no {what} {name!r}: {hint(name, _FILE_NAMES)}")
        given[name] = _Given(value, f"{where}: {name}")
    return given


def _place_first(error: str) -> str:
    """Turn tomllib's `what (at line 3, column 5)` into `line 3, column 5: what`."""
    what, _, place = error.rpartition(" (at ")
    return f"{place.rstrip(')')}: {what}" if what else error


def _convert(field: FieldInfo, given: _Given) -> object:
    value = given.value
    if field.name == "meta_addresses":
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return tcp_addresses(text, given.where)
    if field.name == "peer":
        return tuple(value) if isinstance(value, list) else tuple(str(value).split(","))
    try:
        return msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError:
        expected = _EXPECTED.get(field.name) or _expected(field.type)
        raise UsageError(
            f"{given.where} is {value!r:.80}, which cannot be used: write {expected}; "
            f"{SETTINGS_PAGE}"
        ) from None


def _expected(kind: object) -> str:
    """Return what to write for a value of a type."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.UnionType(types=(first, *_)):
            return _expected_one(first)
        case one:
            return _expected_one(one)


def _expected_one(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.FloatType():
            return "a number"
        case msgspec.inspect.IntType(ge=value_min, le=value_max):
            if value_min is None or value_max is None:
                return "a whole number"
            return f"a whole number from {value_min} to {value_max}"
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(map(str, values))
        case _:
            return "text"
