"""What a node is told, from five places: flag, environment, file, system-wide file, default.

The first of them that has a value wins, field by field. Flags and variables are made from the
fields of `Config` and `NodeOptions`, so a new field is a setting everywhere at once.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec.structs import FieldInfo, fields, replace

from zreg.client.registry_url import check_client_table, line_of
from zreg.config import Config
from zreg.errors import UsageError
from zreg.model import checked_node_id
from zreg.reactor.link_table import check_address

LOCAL_FILE: Final = Path("zreg.toml")
SYSTEM_FILE: Final = Path("/etc/zreg/zreg.toml")
# The client's own table stands in the same file; nodes leave it alone.
_CLIENT_TABLE: Final = "client"
# Where everybody may be let in, but nobody can be reached.
_ANY_HOSTS: Final = ("*", "0.0.0.0", "[::]")  # noqa: S104 -- refused here
_HELP: Final = "docs/configuration.md lists all settings"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
LogLevel = Literal["debug", "info", "warning", "error"]


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told besides its `Config`."""

    # The name in the membership; empty: role, host name and port.
    id: str = ""
    # Where to bind. Port 0 lets the kernel choose; None is the role's own.
    host: str = "127.0.0.1"
    port: Port | None = None
    # Where meta and data nodes announce changes; None: beside `port`.
    pub_port: Port | None = None
    # Where it answers over HTTP; None: beside `port`; off: nowhere.
    http_port: Port | Literal["off"] | None = None
    # What others are told to connect to; empty: the host that is bound.
    advertise_host: str = ""
    # Allow other machines in, although links are not encrypted yet.
    insecure: bool = False
    # Where a meta node keeps its journal, and any other node the membership. A meta node needs one;
    # a session or data node without one (empty) needs meta at every start.
    dir: str = ""
    # All meta nodes that begin, `ID=HOST:PORT` of Raft each, the same on each; empty: it is alone.
    peer: tuple[str, ...] = ()
    # Wait to be taken in by other meta nodes; without effect once there is a journal.
    join: bool = False
    # None: the command's own.
    log_level: LogLevel | None = None


class Loaded(msgspec.Struct, frozen=True):
    """All settings of one command."""

    config: Config
    options: NodeOptions


class _Given(msgspec.Struct, frozen=True):
    """A value, and where it stands, for errors."""

    value: object
    where: str


CONFIG_FIELDS: Final[Mapping[str, FieldInfo]] = {field.name: field for field in fields(Config)}
OPTION_FIELDS: Final[Mapping[str, FieldInfo]] = {field.name: field for field in fields(NodeOptions)}
_FIELDS: Final[Mapping[str, FieldInfo]] = {**CONFIG_FIELDS, **OPTION_FIELDS}
# The one setting with a short name of its own, since every node needs it.
# What only meta nodes are told.
META_FIELDS: Final = ("peer", "join")
# What stands in place of the words of the library, where these would help nobody.
_EXPECTED: Final[Mapping[str, str]] = {"http_port": "a port from 0 to 65535, or off"}
FLAGS: Final[Mapping[str, str]] = {"meta_addresses": "--meta"}


_PREFIX: Final = "ZREG_"
# Names in a file, each as it is to be written.
_FILE_NAMES: Final[Mapping[str, str]] = {name: name for name in _FIELDS} | {
    _CLIENT_TABLE: f"[{_CLIENT_TABLE}]",
    "url": f"url in [{_CLIENT_TABLE}]",
}


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{_PREFIX}{name.upper()}"


# Those of all commands, and of the client's library.
_VARIABLES: Final = (*map(variable, _FIELDS), "ZREG_URL", "ZREG_APP")


def load(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    *,
    file: Path | None = None,
    base: Config | None = None,
    paths: Sequence[Path] = (LOCAL_FILE, SYSTEM_FILE),
) -> Loaded:
    """Return the settings; `UsageError` names the place of what cannot be used.

    `file` stands in for the first of `paths`; those that do not exist are left out.
    """
    given: dict[str, _Given] = {}
    if file is not None and file.is_dir():
        raise UsageError(f"{file} is a directory: name a file with -c, or leave it out")
    if file is not None and not file.exists():
        raise UsageError(f"{file} does not exist: create it (an empty one will do) or leave out -c")
    local, *rest = paths
    for path in reversed([file or local, *rest]):
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
    return Loaded(
        replace(base or Config.for_lan(), **config), msgspec.convert(options, NodeOptions)
    )


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that is named as if it were zreg's, and is not.

    No error: an environment may be shared by several versions.
    """
    known = {name.removeprefix(_PREFIX).lower(): name for name in _VARIABLES}
    return [
        f"the variable {name} is none that zreg knows and has no effect: "
        + _hint(name.removeprefix(_PREFIX), known)
        for name in sorted(environment)
        if name.startswith(_PREFIX) and name not in _VARIABLES
    ]


def as_flags(config: Config) -> list[str]:
    """Return the flags that make this configuration out of the default one."""
    default = Config.for_lan()
    arguments: list[str] = []
    for name in CONFIG_FIELDS:
        value = getattr(config, name)
        if value != getattr(default, name):
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            arguments.append(f"{flag(name)}={text}")
    return arguments


def tcp_addresses(text: str, where: str) -> tuple[str, ...]:
    """Return the addresses of `HOST:PORT[,HOST:PORT...]`, each with or without `tcp://`."""
    addresses = []
    for part in text.split(","):
        bare = part.strip().removeprefix("tcp://")
        try:
            check_address(f"tcp://{bare}", port_min=1)
        except UsageError:
            raise UsageError(
                f"{where}: {part.strip()[:80]!r} is no address: write HOST:PORT, for example "
                "127.0.0.1:9610"
            ) from None
        addresses.append(f"tcp://{bare}")
    return tuple(dict.fromkeys(addresses))


def peers(parts: Sequence[str]) -> dict[str, str]:
    """Return Raft's address of each meta node by its id."""
    found: dict[str, str] = {}
    for part in parts:
        node_id, equals, address = str(part).strip().partition("=")
        if not equals or not node_id or node_id in found:
            raise UsageError(
                f"peer: {part!r:.80} cannot be used: write ID=HOST:PORT once for each meta node, "
                "for example meta-1=127.0.0.1:9611"
            )
        found[checked_node_id(node_id)] = _address_of(node_id, address)
    return found


def _address_of(node_id: str, text: str) -> str:
    address, *more = tcp_addresses(text, f"peer {node_id}")
    host = address.removeprefix("tcp://").rpartition(":")[0]
    if more or host in _ANY_HOSTS:
        raise UsageError(
            f"peer {node_id}: {text[:80]!r} cannot be used: write the one HOST:PORT at which the "
            "others reach it"
        )
    return address


def _read(path: Path) -> dict[str, _Given]:
    """Return what a file sets; unknown names are refused, with the nearest known one."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): mend or remove it") from error
    except ValueError as error:
        raise UsageError(f"{path} is no TOML: {_place_first(str(error))}; mend it") from error
    given: dict[str, _Given] = {}
    for name, value in raw.items():
        where = f"{path}, line {line_of(name, text)}"
        if name == _CLIENT_TABLE:
            check_client_table(value, path, text)
            continue
        if name not in _FIELDS:
            what = "section" if isinstance(value, dict) else "setting"
            raise UsageError(f"{where}: there is no {what} {name!r}: {_hint(name, _FILE_NAMES)}")
        given[name] = _Given(value, f"{where}: {name}")
    return given


def _place_first(error: str) -> str:
    """Turn tomllib's `what (at line 3, column 5)` into `line 3, column 5: what`."""
    what, _, place = error.rpartition(" (at ")
    return f"{place.rstrip(')')}: {what}" if what else error


def _hint(name: str, known: Mapping[str, str]) -> str:
    """Return which name may be meant; `known` is how to write each, by what is compared."""
    plain = name.lower().replace("-", "_")
    by_flag = {each.strip("-"): field for field, each in FLAGS.items()}
    plain = by_flag.get(plain, plain)
    nearest = difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
    return f"did you mean {known[nearest[0]]}?" if nearest else _HELP


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
        wanted = _EXPECTED.get(field.name) or _wanted(field.type)
        raise UsageError(
            f"{given.where} is {value!r:.80}, which cannot be used: write {wanted}; {_HELP}"
        ) from None


def _wanted(kind: object) -> str:
    """Return what values of a type are, for people."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.UnionType(types=(one, *_)):
            return _wanted_one(one)
        case one:
            return _wanted_one(one)


def _wanted_one(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.FloatType():
            return "a number"
        case msgspec.inspect.IntType(ge=least, le=most):
            is_bounded = least is not None and most is not None
            return f"a whole number from {least} to {most}" if is_bounded else "a whole number"
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(map(str, values))
        case _:
            return "text"
