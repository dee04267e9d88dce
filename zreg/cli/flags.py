"""Options of commands: those that several commands share, and those made from settings."""

import enum
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from zreg.cli.options.node_options import CONFIG_FIELDS, OPTION_FIELDS, flag
from zreg.config import Limits

Flags = Mapping[str, str | None]

_PANEL: Final = "Settings (--lease-seconds is also ZREG_LEASE_SECONDS; docs/configuration.md)"
_ABOUT: Final[Mapping[str, str]] = {
    "cluster": "Name of the cluster",
    "zone": "Zone of this node, and of clients that name none",
    "data_center": "Data center of this node, and of clients that name none",
    "weight": "How much of the data this data node takes, relative to others",
    "meta_addresses": "Meta nodes, HOST:PORT[,HOST:PORT...]",
    "lease_seconds": "A node or client that is silent for so long is gone",
    "renew_seconds": "How often a node renews its lease at meta",
    "ping_seconds": "How often an idle client pings",
    "disconnect_grace_seconds": "How long a disconnected client may take to come back",
    "session_grace_seconds": "How long the registrations of a dead session stay",
    "replica_ack_seconds": "How long an acceptance waits for a replica",
    "drain_seconds": "How long a draining data node may hand over its data",
    "gone_seconds": "How long a lost node is shown as GONE",
    "tombstone_seconds": "How long a removal is remembered",
    "request_retry_seconds": "When an unanswered request is sent again",
    "push_retry_seconds": "When a client is probed that does not acknowledge a push",
    "beat_seconds": "How often data nodes and meta broadcast what they have",
    "digest_seconds": "How often a session and a data node compare registrations",
    "sweep_seconds": "How often everything is compared",
    "provisional_seconds": "When a provisional view is accepted",
    "provisional_empty_seconds": "When an empty provisional view is accepted",
    "reconnect_seconds_min": "First pause between two attempts to connect",
    "reconnect_seconds_max": "Longest pause between two attempts to connect",
    "op_log_length_min": "How many changes of a datum are kept",
    "op_log_seconds": "How long changes of a datum are kept",
    "op_log_bytes_max": "How many bytes the kept changes of a data node take, about",
    "publishers_per_client_max": "How much one client may publish",
    "subscribers_per_client_max": "How much one client may subscribe to",
    "clients_max": "How many clients one session accepts",
    "http_instances_max": "How many instances registered over HTTP one session holds",
    "move_percent_max": "Percent of its clients that a full session moves in a second; 0: none",
    "publishers_max": "How many publishers one data node takes, copies included",
    "publishers_per_datum_max": "How many publishers one id may have",
    "virtual_node_count": "Points of each data node on the ring",
    "ring_hash": "Hash function of the ring: md5, sha1, sha256 or blake2b",
    "replica_count": "Copies of each datum",
    "id": "Name of the node in the membership; default: role, host name and port",
    "host": "Address to bind to",
    "port": "Port to bind to; default 9600 (session), 9610 (meta), 9620 (data); 0: any free port",
    "pub_port": "Port to broadcast changes on; default: near --port; 0: any free port",
    "http_port": "Port for HTTP, or off; default: near --port; 0: any free port",
    "advertise_host": "Host that other nodes and clients are told; default: the bound host",
    "insecure": "Accept connections from other machines, although links are not encrypted",
    "dir": "Directory for what this node remembers across restarts",
    "peer": "ID=HOST:PORT of a meta node; repeat it for each of them, this one included",
    "bootstrap_expect": "Found a cluster of this many empty meta nodes seen on the LAN: 3 or 5",
    "join": "Wait until `zreg meta add` adds this node; needs --dir and the node's own --peer",
    "announce": "Announce the node on its LAN: on, off, or auto, if it needs to be found there",
    "discover": "Look for meta on the LAN: on, off, or auto, if no meta address is given",
    "lan_interfaces": "Network interfaces for both, NAME[,NAME...]; default: all of networks",
    "log_level": "Lowest level that is logged: debug, info, warning or error",
}


class Format(enum.StrEnum):
    """How to write what was found."""

    TABLE = "table"
    JSON = "json"
    WIDE = "wide"


Output = Annotated[
    Format,
    typer.Option(
        "-o", "--output", help="A table for people, JSON for programs, or a table with all columns."
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="Settings file, in place of ./zreg.toml.", metavar="FILE"),
]
Url = Annotated[
    str | None,
    typer.Option(help="Sessions to ask: zreg://HOST:PORT[,HOST:PORT...] [ZREG_URL]"),
]
Meta = Annotated[
    str | None,
    typer.Option(
        help="Ask these meta nodes instead of a session: HOST:PORT[,HOST:PORT...]. "
        "Works also when no session runs."
    ),
]
Cluster = Annotated[str | None, typer.Option(help="Name of the cluster [ZREG_CLUSTER]")]
Timeout = Annotated[
    float,
    typer.Option(
        min=0.1,
        max=Limits.seconds_max,
        help="How long to wait for an answer.",
        metavar="SECONDS",
    ),
]
Watch = Annotated[bool, typer.Option("-w", "--watch", help="Show it each second, until Ctrl-C.")]
Group = Annotated[str, typer.Option(help="Group of the data id.")]
InstanceId = Annotated[str, typer.Option(help="Instance id of the data id.")]


def with_settings(
    *names: str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting; it gets them all in its argument `flags`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: object) -> None:
            flags = {name: _text(arguments.pop(name)) for name in names}
            command(flags=flags, **arguments)

        signature = inspect.signature(command)
        others = [each for each in signature.parameters.values() if each.name != "flags"]
        parameters = [*others, *map(_option, names)]
        run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        # typer reads the signature, not the parameters that the function really has.
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _option(name: str) -> inspect.Parameter:
    field = {**CONFIG_FIELDS, **OPTION_FIELDS}[name]
    about = _about(name, field.default)
    annotation: object
    if name == "peer":
        option = typer.Option(flag(name), help=about, rich_help_panel=_PANEL, metavar="PEER")
        annotation = Annotated[list[str] | None, option]
    elif field.type is bool:
        option = typer.Option(flag(name), help=about, rich_help_panel=_PANEL)
        annotation = Annotated[bool | None, option]
    else:
        names = dict.fromkeys((flag(name), f"--{name.replace('_', '-')}"))
        option = typer.Option(*names, help=about, rich_help_panel=_PANEL, metavar="VALUE")
        annotation = Annotated[str | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _about(name: str, default: object) -> str:
    """Return the help text of a setting, with its default where it has one."""
    text = ",".join(default) if isinstance(default, tuple) else default
    # Not `in`: 0 is a default, and equal to False.
    has_none = text is None or text is False or text == ""
    return _ABOUT[name] if has_none else f"{_ABOUT[name]}; default {text}"


def _text(value: object) -> str | None:
    if isinstance(value, list):
        return ",".join(value) or None
    return None if value is None else str(value)
