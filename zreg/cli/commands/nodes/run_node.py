"""Run one node of any role: what the commands `zreg meta`, `zreg session` and `zreg data` share."""

import asyncio
import faulthandler
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from zreg.cli.exits import CommandFailedError
from zreg.cli.flags import ConfigFile, Flags, Format, Output, with_settings
from zreg.cli.options.address_options import bind_host, peers
from zreg.cli.options.http_option import http_port
from zreg.cli.options.node_options import NodeOptions, fields_of, flag
from zreg.cli.options.settings_sources import Settings, load_settings
from zreg.cli.output import announce
from zreg.cli.process.children import ParentPid, end_with_parent
from zreg.cli.process.logs import rename, route
from zreg.cli.process.own_ports import check_own_ports
from zreg.cli.process.serve import Server, block_signals
from zreg.cli.versions import version_of
from zreg.config import Config
from zreg.errors import UnavailableError, UsageError
from zreg.hosts import bracketed
from zreg.nodes.base import Node, NodeSettings
from zreg.nodes.opening import load_http_server
from zreg.reactor import EventCallback

if TYPE_CHECKING:
    from zreg.http.server import HttpServer

# The default port of a role, and the distance from it to the port on which it broadcasts.
_PORTS: Final = {"meta": (9610, 2), "session": (9600, 0), "data": (9620, 1)}
# And to the port of a meta node's Raft.
_RAFT_DISTANCE: Final = 1

logger = logging.getLogger("zreg.node")

Build = Callable[[Settings, EventCallback], Node]


def addresses(role: str, options: NodeOptions) -> tuple[str, str]:
    """Return the address that a node binds to, and the address on which it broadcasts."""
    port, distance = _port(role, options), _PORTS[role][1]
    pub_port = options.pub_port
    if pub_port is None:
        pub_port = port + distance if port else 0
    host = bracketed(bind_host(options.host, "host"))
    return f"tcp://{host}:{port}", f"tcp://{host}:{pub_port}"


def raft_address(options: NodeOptions) -> str:
    """Return the address that the Raft of a meta node binds to, if `--peer` does not say it."""
    host = bracketed(bind_host(options.host, "host"))
    port = _port("meta", options)
    return f"tcp://{host}:{port + _RAFT_DISTANCE if port else 0}"


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
    elif role == "meta" and options.bootstrap_expect:
        ports["Raft, beside --port"] = int(raft_address(options).rpartition(":")[2])
    check_own_ports(ports)


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


def run_beside_commands(app: typer.Typer, role: str, build: Build, about: str) -> None:
    """Have `app` run a node, unless one of its commands is called, such as `zreg meta ls`."""

    @app.callback(invoke_without_command=True, help=about)
    @with_settings(*fields_of(role))
    def node(
        context: typer.Context,
        *,
        flags: Flags,
        config: ConfigFile = None,
        output: Output = Format.TABLE,
        parent_pid: ParentPid = 0,
    ) -> None:
        name = context.invoked_subcommand
        if name is None:
            start(role, build, flags, config, output, parent_pid)
        elif given := [flag(option) for option, value in flags.items() if value is not None]:
            raise UsageError(
                f"{', '.join(given)} cannot be given before {name!r}: write the options of the "
                f"command after `zreg {role} {name}`"
            )


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
        bind_http([node], http_server, web_port)
    if is_json:
        try:
            announce([json.dumps(about(node))], is_for_programs=True)
        except BaseException:
            node.close()
            raise
    _log_start(node, options, loaded.config)
    asyncio.run(server.run([node], on_serving=lambda: None))


def _log_start(node: Node, options: NodeOptions, config: Config) -> None:
    """Log who this node is, where it is reached, and which nodes it looks for."""
    shown = {"cluster": node.cluster, **about(node), "version": version_of("zreg")}
    if node.role != "meta":
        # Without an address it looks on this machine and on the LAN.
        metas = ",".join(at.removeprefix("tcp://") for at in config.meta_addresses)
        shown["meta"] = metas or "auto"
    elif options.peer:
        shown["peers"] = ",".join(options.peer)
    fields = " ".join(f"{name}={value}" for name, value in shown.items() if value is not None)
    logger.info("node.started %s", fields)


def bind_http(nodes: Sequence[Node], server: "type[HttpServer]", port: int) -> None:
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


def directory_of(loaded: Settings) -> Path | None:
    """Return where a node keeps its membership cache, if it keeps one."""
    return Path(loaded.options.dir) if loaded.options.dir else None


def node_settings(loaded: Settings) -> NodeSettings:
    """Return what a node is built with, besides its addresses."""
    options = loaded.options
    return NodeSettings(
        config=loaded.config,
        node_id=options.id,
        advertise_host=options.advertise_host,
        insecure=options.insecure,
        lan=options.lan,
    )
