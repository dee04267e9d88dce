"""Where a setting comes from: flag, environment, file, system-wide file, default.

The first of these places that has a value wins, field by field.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import FieldInfo, replace

from zreg.cli.options.address_options import tcp_addresses
from zreg.cli.options.node_options import (
    CONFIG_FIELDS,
    OPTION_FIELDS,
    SETTINGS_PAGE,
    NodeOptions,
    flag,
    hint,
    variable,
)
from zreg.cli.output import complain
from zreg.client.locating.registry_url import check_client_table
from zreg.client.locating.settings_file import (
    CONFIG_PATHS,
    SettingsFile,
    find_settings,
    line_of,
    read_settings,
)
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

    `file` replaces the first of `paths`; paths that do not exist are skipped, and those that may
    not be read are skipped with a warning on stderr. `base` holds the defaults.
    """
    given = _all_given(flags, environment, file, paths)
    values = {name: _convert(_FIELDS[name], each) for name, each in given.items()}
    config = {name: value for name, value in values.items() if name in CONFIG_FIELDS}
    options = {name: value for name, value in values.items() if name in OPTION_FIELDS}
    return Settings(
        replace(base or Config.for_lan(), **config), msgspec.convert(options, NodeOptions)
    )


def explained_settings(
    environment: Mapping[str, str],
    *,
    file: Path | None = None,
    paths: Sequence[Path] = CONFIG_PATHS,
) -> list[tuple[str, object, str]]:
    """Return each setting, its value, and where it was given; empty where it has its default.

    Raises `UsageError` as `load_settings` does.
    """
    loaded = load_settings({}, environment, file=file, paths=paths)
    given = _all_given({}, environment, file, paths)
    explained = []
    for name in _FIELDS:
        holder = loaded.config if name in CONFIG_FIELDS else loaded.options
        where = given[name].where.removesuffix(f": {name}") if name in given else ""
        explained.append((name, getattr(holder, name), where))
    return explained


def _all_given(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    file: Path | None,
    paths: Sequence[Path],
) -> dict[str, _Given]:
    """Return the value of each setting that is given, from the first place that has it."""
    given: dict[str, _Given] = {}
    found = list(find_settings(paths if file is None else paths[1:], complain))
    if file is not None:
        found.insert(0, _named(file))
    for each in reversed(found):
        given |= _given_in(each)
    for name in _FIELDS:
        if text := environment.get(variable(name)):
            given[name] = _Given(text, variable(name))
        if (argument := flags.get(name)) is not None:
            given[name] = _Given(argument, flag(name))
    return given


def _named(file: Path) -> SettingsFile:
    """Return the file that an option names, which must exist."""
    found = read_settings(file)
    if found is not None:
        return found
    if file.is_dir():
        raise UsageError(f"{file} is a directory: name a file with -c, or leave out -c")
    raise UsageError(f"{file} does not exist: create it (it may be empty), or leave out -c")


def _given_in(file: SettingsFile) -> dict[str, _Given]:
    """Return what a file sets; an unknown name is refused, with the nearest known one."""
    given: dict[str, _Given] = {}
    for name, value in file.values.items():
        where = f"{file.path}, line {line_of(name, file.text)}"
        if name == _CLIENT_TABLE:
            check_client_table(value, file)
            continue
        if name not in _FIELDS:
            what = "section" if isinstance(value, dict) else "setting"
            raise UsageError(f"{where}: there is no {what} {name!r}: {hint(name, _FILE_NAMES)}")
        given[name] = _Given(value, f"{where}: {name}")
    return given


def _convert(field: FieldInfo, given: _Given) -> object:
    value = given.value
    if field.name == "meta_addresses":
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return tcp_addresses(text, given.where)
    if field.name in ("peer", "lan_interfaces"):
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
