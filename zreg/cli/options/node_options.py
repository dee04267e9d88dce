"""The settings of a node: their names, and how each is written as a flag and as a variable.

Flags, variables and names in a file are made from the fields of `Config` and `NodeOptions`, so a
new field is a setting everywhere at once.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec.structs import FieldInfo, fields

from zreg.config import Config
from zreg.discovery.lan_settings import LanSettings, Switch

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
LogLevel = Literal["debug", "info", "warning", "error"]


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to one node and not to its cluster, which `Config` describes."""

    # The name in the membership; empty: made of role, host name and port.
    id: str = ""
    # Where to bind. Port 0 lets the kernel choose; None is the default of the role.
    host: str = "127.0.0.1"
    port: Port | None = None
    # Where meta and data nodes broadcast changes; None: near `port`.
    pub_port: Port | None = None
    # Where the node answers over HTTP; None: near `port`; off: nowhere.
    http_port: Port | Literal["off"] | None = None
    # The host that other nodes and clients are told; empty: the host that is bound.
    advertise_host: str = ""
    # Accept connections from other machines, although links are not encrypted yet.
    insecure: bool = False
    # Where a meta node keeps its journal, and any other node the membership. A meta node needs one;
    # a session or data node without one (empty) needs meta at every start.
    dir: str = ""
    # Raft's address of each meta node at the first start, `ID=HOST:PORT`, the same list on each;
    # empty: the node is the only one.
    peer: tuple[str, ...] = ()
    # With how many meta nodes of the LAN, itself included, a meta node founds a cluster at first: 3
    # or 5; 0: with those that --peer names.
    bootstrap_expect: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0
    # Wait until other meta nodes add this one; without effect once there is a journal.
    join: bool = False
    # Announce the node on the LAN, and look for meta there; see `LanSettings`.
    announce: Switch = "auto"
    discover: Switch = "auto"
    lan_interfaces: tuple[str, ...] = ()
    # None: the default of the command.
    log_level: LogLevel | None = None

    @property
    def lan(self) -> LanSettings:
        """What the node does on its LAN."""
        return LanSettings(self.announce, self.discover, self.lan_interfaces)


CONFIG_FIELDS: Final[Mapping[str, FieldInfo]] = {field.name: field for field in fields(Config)}
OPTION_FIELDS: Final[Mapping[str, FieldInfo]] = {field.name: field for field in fields(NodeOptions)}
# The settings that only nodes of some roles use; all others concern every role, or have to fit to
# one that does, as `lease_seconds` and `ping_seconds`.
_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            *("peer", "bootstrap_expect", "join"),
            *("virtual_node_count", "ring_hash", "replica_count"),
        ),
        ("meta",),
    ),
    **dict.fromkeys(
        (
            *("disconnect_grace_seconds", "push_retry_seconds", "provisional_seconds"),
            *("provisional_empty_seconds", "publishers_per_client_max", "clients_max"),
            *("subscribers_per_client_max", "move_percent_max", "http_instances_max"),
        ),
        ("session",),
    ),
    **dict.fromkeys(
        (
            *("weight", "replica_ack_seconds", "op_log_bytes_max"),
            *("publishers_max", "publishers_per_datum_max"),
        ),
        ("data",),
    ),
    "meta_addresses": ("session", "data"),
    "pub_port": ("meta", "data"),
}
# Every node needs this setting, so its flag is short.
SHORT_FLAGS: Final[Mapping[str, str]] = {"meta_addresses": "--meta"}
SETTINGS_PAGE: Final = "docs/configuration.md lists all settings"

_PREFIX: Final = "ZREG_"


def fields_of(role: str) -> tuple[str, ...]:
    """Return the settings that a node of this role uses."""
    names = (*CONFIG_FIELDS, *OPTION_FIELDS)
    return tuple(name for name in names if role in _ROLES.get(name, (role,)))


def roles_of_flag(text: str) -> tuple[str, ...]:
    """Return the roles whose nodes alone have this flag; empty for a flag of all, or of none."""
    names = (name for name in _ROLES if text in (flag(name), f"--{name.replace('_', '-')}"))
    return _ROLES[name] if (name := next(names, None)) is not None else ()


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return SHORT_FLAGS.get(name, f"--{name.replace('_', '-')}")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{_PREFIX}{name.upper()}"


# The variables of all commands, and those that only the client library reads.
_VARIABLES: Final = (*map(variable, (*CONFIG_FIELDS, *OPTION_FIELDS)), "ZREG_URL", "ZREG_APP")


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a warning for each variable that begins with ZREG_ and is not a setting.

    Unknown variables are not an error: an environment may be shared by several versions of zreg.
    """
    known = {name.removeprefix(_PREFIX).lower(): name for name in _VARIABLES}
    return [
        f"the variable {name} is unknown and ignored: " + hint(name.removeprefix(_PREFIX), known)
        for name in sorted(environment)
        if name.startswith(_PREFIX) and name not in _VARIABLES
    ]


def hint(name: str, known: Mapping[str, str]) -> str:
    """Return which setting may be meant by an unknown name.

    `known` maps each name to the way in which it is written at that place.
    """
    plain = name.lower().replace("-", "_")
    by_flag = {short.strip("-"): field for field, short in SHORT_FLAGS.items()}
    plain = by_flag.get(plain, plain)
    nearest = difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
    return f"did you mean {known[nearest[0]]}?" if nearest else SETTINGS_PAGE


def as_flags(config: Config, role: str) -> list[str]:
    """Return the flags that turn a role's default configuration into this one."""
    default = Config.for_lan()
    arguments: list[str] = []
    for name in (name for name in fields_of(role) if name in CONFIG_FIELDS):
        value = getattr(config, name)
        if value != getattr(default, name):
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            arguments.append(f"{flag(name)}={text}")
    return arguments
