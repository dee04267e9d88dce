"""`zreg dev`: run one node of each role in this process."""

import asyncio
import faulthandler
import functools
import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec.structs import replace

from zreg.cli.commands.nodes.run_node import about, bind_http
from zreg.cli.exits import CommandFailedError
from zreg.cli.flags import ConfigFile, Flags, Format, Output, with_settings
from zreg.cli.options.http_option import http_port
from zreg.cli.options.node_options import CONFIG_FIELDS
from zreg.cli.options.settings_sources import load_settings
from zreg.cli.output import announce
from zreg.cli.process.children import ParentPid, end_with_parent
from zreg.cli.process.logs import route
from zreg.cli.process.own_ports import check_own_ports
from zreg.cli.process.serve import Server
from zreg.config import Config
from zreg.errors import UnavailableError
from zreg.nodes.base import Node, NodeSettings
from zreg.nodes.data import DataNode
from zreg.nodes.meta import MetaNode, MetaPlace
from zreg.nodes.opening import load_http_server
from zreg.nodes.session import SessionNode
from zreg.reactor import EventCallback

_ANY_PORT: Final = "tcp://127.0.0.1:0"


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
    # There is one data node, so that more copies would be missing from the begin.
    base = replace(Config.for_loopback(), replica_count=1)
    loaded = load_settings(flags, os.environ, file=config, base=base)
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
            bind_http(nodes, http_server, web_port)
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
        lines.append(f"Dashboard: http://{where}/")
    announce(lines, is_for_programs=False)
