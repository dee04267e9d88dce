"""Run one node (`zreg meta`, `zreg session`, `zreg data`) or one of each role (`zreg dev`)."""

import asyncio
import faulthandler
import functools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec.structs import replace

from zreg.cli.exits import CommandFailedError
from zreg.cli.flags import ConfigFile, Flags, Format, Output, with_settings
from zreg.cli.options.address_options import bind_host, peers
from zreg.cli.options.http_option import http_port
from zreg.cli.options.node_options import (
    CONFIG_FIELDS,
    SHARED_OPTION_FIELDS,
    NodeOptions,
    flag,
)
from zreg.cli.options.settings_sources import Settings, load_settings
from zreg.cli.output import announce
from zreg.cli.process.children import ParentPid, end_with_parent
from zreg.cli.process.logs import rename, route
from zreg.cli.process.own_ports import check_own_ports
from zreg.cli.process.serve import Server, block_signals
from zreg.config import Config
from zreg.errors import UnavailableError, UsageError
from zreg.hosts import bracketed
from zreg.nodes.base import Node, NodeSettings
from zreg.nodes.data import DataNode
from zreg.nodes.meta import MetaNode, MetaPlace
from zreg.nodes.opening import load_http_server
from zreg.nodes.session import SessionNode
from zreg.reactor import EventCallback

if TYPE_CHECKING:
    from zreg.http.server import HttpServer

# The default port of a role, and the distance from it to the port on which it broadcasts.
_PORTS: Final = {"meta": (9610, 2), "session": (9600, 0), "data": (9620, 1)}
_ANY_PORT: Final = "tcp://127.0.0.1:0"

Build = Callable[[Settings, EventCallback], Node]


def addresses(role: str, options: NodeOptions) -> tuple[str, str]:
    """Return the address that a node binds to, and the address on which it broadcasts."""
    port, distance = _port(role, options), _PORTS[role][1]
    pub_port = options.pub_port
    if pub_port is None:
        pub_port = port + distance if port else 0
    host = bracketed(bind_host(options.host, "host"))
    return f"tcp://{host}:{port}", f"tcp://{host}:{pub_port}"


def _port(role: str, options: NodeOptions) -> int:
    return _PORTS[role][0] if options.port is None else options.port


def _check_ports(role: str, options: NodeOptions, web_port: int | None) -> None:
    """Raise `UsageError` if this node would need one port twice."""
    _, pub = addresses(role, options)
    pub_port = 0 if role == "session" else int(pub.rpartition(":")[2])
    ports = {"--port": _port(role, options), "--pub-port": pub_port, "--http-port": web_port}
    own = peers(options.peer).get(options.id) if role == "meta" else None
    if own is not None:
        ports[f"--peer {options.id}"] = int(own.rpartition(":")[2])
    check_own_ports(ports)


def build_meta(loaded: Settings, on_event: EventCallback) -> Node:
    """Return a meta node whose sockets are bound."""
    address, pub = addresses("meta", loaded.options)
    known_peers = peers(loaded.options.peer)
    place = MetaPlace(
        address=address,
        membership_address=pub,
        directory=_meta_directory(loaded),
        peers=known_peers,
        is_joining=loaded.options.join,
    )
    return MetaNode(_node_settings(loaded), place, on_event=on_event)


def build_session(loaded: Settings, on_event: EventCallback) -> Node:
    """Return a session node whose sockets are bound."""
    address, _ = addresses("session", loaded.options)
    return SessionNode(
        _node_settings(loaded), address=address, directory=_directory(loaded), on_event=on_event
    )


def build_data(loaded: Settings, on_event: EventCallback) -> Node:
    """Return a data node whose sockets are bound."""
    address, pub = addresses("data", loaded.options)
    return DataNode(
        _node_settings(loaded),
        address=address,
        changes_address=pub,
        directory=_directory(loaded),
        on_event=on_event,
    )


def start(
    role: str,
    build: Build,
    flags: Flags,
    config: Path | None,
    output: Format,
    parent_pid: int,
) -> None:
    """Load the settings of a node command, and run the node."""
    if parent_pid:
        end_with_parent(parent_pid)
    loaded = load_settings(flags, os.environ, file=config)
    run_node(role, build, loaded, is_json=output is Format.JSON)


def start_unless_command(  # noqa: PLR0913 -- what the callback of a command group gets
    context: typer.Context,
    role: str,
    build: Build,
    flags: Flags,
    *,
    config: Path | None,
    output: Format,
    parent_pid: int,
) -> None:
    """Run a node, unless one of the commands beside it is called, such as `zreg meta ls`."""
    name = context.invoked_subcommand
    if name is None:
        start(role, build, flags, config, output, parent_pid)
    elif given := [flag(option) for option, value in flags.items() if value is not None]:
        raise UsageError(
            f"{', '.join(given)} cannot be given before {name!r}: write the options of the command "
            f"after `zreg {role} {name}`"
        )


@with_settings(*CONFIG_FIELDS, *SHARED_OPTION_FIELDS)
def session(
    *,
    flags: Flags,
    config: ConfigFile = None,
    output: Output = Format.TABLE,
    parent_pid: ParentPid = 0,
) -> None:
    """Run one session node until it is stopped."""
    start("session", build_session, flags, config, output, parent_pid)


def run_node(role: str, build: Build, loaded: Settings, *, is_json: bool) -> None:
    """Bind a node, write where it is bound, and serve until a signal comes."""
    faulthandler.enable()
    block_signals()
    options = loaded.options
    route(options.id or role, level=options.log_level or "info")
    web_port = http_port(role, options, _port(role, options))
    _check_ports(role, options, web_port)
    http_server = None if web_port is None else load_http_server()
    server = Server()
    try:
        node = build(loaded, server.take_event)
    except UnavailableError as error:
        # Exit code 1, not 4: this node cannot start, rather than another one cannot be reached.
        raise CommandFailedError(f"{error} with --port") from error
    rename(node.node_id)
    if http_server is not None and web_port is not None:
        _bind_http([node], http_server, web_port)
    if is_json:
        try:
            announce([json.dumps(about(node))], is_for_programs=True)
        except BaseException:
            node.close()
            raise
    asyncio.run(server.run([node], on_serving=lambda: None))


def _bind_http(nodes: Sequence[Node], server: "type[HttpServer]", port: int) -> None:
    """Bind the HTTP server of each node: the last one's at `port`, the others' at any free port.

    All nodes are closed if one cannot be bound.
    """
    try:
        for node in nodes:
            node.bind_http(server, port if node is nodes[-1] else 0)
    except BaseException as error:
        for node in nodes:
            node.close()
        if isinstance(error, UnavailableError):
            raise CommandFailedError(f"{error} with --http-port") from error
        raise


def about(node: Node) -> dict[str, str | int | None]:
    """Return the line for programs that describes a node."""
    return {
        "role": node.role,
        "node_id": node.node_id,
        "pid": os.getpid(),
        "address": node.address.removeprefix("tcp://"),
        "http": node.http_address,
    }


def _meta_directory(loaded: Settings) -> Path:
    """Return where a meta node keeps its journal; systemd's own directory if none is set."""
    first_state_directory = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    directory = loaded.options.dir or first_state_directory
    if not directory:
        raise UsageError(
            "a meta node keeps its journal in a directory, and none is set: say which with --dir "
            "(or ZREG_DIR; systemd sets STATE_DIRECTORY)"
        )
    return Path(directory)


def _directory(loaded: Settings) -> Path | None:
    return Path(loaded.options.dir) if loaded.options.dir else None


def _node_settings(loaded: Settings) -> NodeSettings:
    options = loaded.options
    return NodeSettings(
        config=loaded.config,
        node_id=options.id,
        advertise_host=options.advertise_host,
        insecure=options.insecure,
    )


@with_settings(
    *(name for name in CONFIG_FIELDS if name != "meta_addresses"), "http_port", "log_level"
)
def dev(
    *,
    flags: Flags,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for clients; 0: any free port.")
    ] = 9600,
    config: ConfigFile = None,
    output: Output = Format.TABLE,
    parent_pid: ParentPid = 0,
) -> None:
    """Run a whole registry in this process, on loopback; it keeps nothing when it ends."""
    faulthandler.enable()
    if parent_pid:
        end_with_parent(parent_pid)
    loaded = load_settings(flags, os.environ, file=config, base=Config.for_loopback())
    # Only warnings: lines of normal operation would hide the hints that `dev` prints.
    route("dev", level=loaded.options.log_level or "warning")
    web_port = http_port("session", loaded.options, port)
    check_own_ports({"--port": port, "--http-port": web_port})
    http_server = None if web_port is None else load_http_server()
    server = Server()
    with tempfile.TemporaryDirectory(prefix="zreg-") as directory:
        try:
            nodes = build_all(loaded.config, port, Path(directory), server.take_event)
        except UnavailableError as error:
            raise CommandFailedError(
                f"{error} with --port, or any free port with --port 0"
            ) from error
        if http_server is not None and web_port is not None:
            _bind_http(nodes, http_server, web_port)
        say_ready = functools.partial(_say_ready, nodes, is_json=output is Format.JSON)
        asyncio.run(server.run(nodes, on_serving=say_ready))


def build_all(
    config: Config, port: int, meta_directory: Path, on_event: EventCallback
) -> list[Node]:
    """Return one node of each role, bound; they use the same sockets as in three processes."""
    nodes: list[Node] = []
    try:
        meta = MetaNode(
            NodeSettings(config=config, node_id="meta-1"),
            MetaPlace(address=_ANY_PORT, membership_address=_ANY_PORT, directory=meta_directory),
            on_event=on_event,
        )
        nodes.append(meta)
        config = replace(config, meta_addresses=(meta.address,))
        data = NodeSettings(config=config, node_id="data-1")
        nodes.append(
            DataNode(data, address=_ANY_PORT, changes_address=_ANY_PORT, on_event=on_event)
        )
        session = NodeSettings(config=config, node_id="session-1")
        nodes.append(SessionNode(session, address=f"tcp://127.0.0.1:{port}", on_event=on_event))
    except BaseException:
        for node in nodes:
            node.close()
        raise
    return nodes


def _say_ready(nodes: list[Node], *, is_json: bool) -> None:
    meta, _, session = nodes
    url = session.address.replace("tcp://", "zreg://")
    if is_json:
        lines = [json.dumps(about(node)) for node in nodes]
        announce([*lines, json.dumps({"ready": True, "url": url})], is_for_programs=True)
        return
    is_default = url == "zreg://127.0.0.1:9600"
    option = "" if is_default else f" --url {url}"
    lines = [
        f"zreg is ready at {url} (meta at {meta.address.removeprefix('tcp://')}); Ctrl-C ends it.",
        "Try in two other terminals:",
        f"  zreg subscribe hello{option}",
        f"  zreg publish hello world --hold{option}",
    ]
    if (where := session.http_address) is not None:
        lines.append(f"  curl http://{where}/healthz")
    announce(lines, is_for_programs=False)
