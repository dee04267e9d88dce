"""`zreg meta`: run one meta node; the commands beside it are loaded when they are called."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import typer

from zreg.cli.commands.nodes.run_node import (
    addresses,
    node_settings,
    raft_address,
    run_beside_commands,
)
from zreg.cli.options.address_options import peers
from zreg.cli.options.settings_sources import Settings
from zreg.cli.parsing.lazy_group import LazyGroup
from zreg.errors import UsageError
from zreg.nodes.base import Node
from zreg.nodes.meta import MetaNode, MetaPlace
from zreg.reactor import EventCallback


class MetaGroup(LazyGroup):
    """The commands of `zreg meta`."""

    homes: ClassVar[Mapping[str, str]] = {
        "ls": "zreg.cli.commands.meta.meta_commands:ls",
        "add": "zreg.cli.commands.meta.meta_commands:add",
        "rm": "zreg.cli.commands.meta.meta_commands:remove",
        "recover": "zreg.cli.commands.meta.recover_command:recover",
    }


app = typer.Typer(cls=MetaGroup, add_completion=False)


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
        bootstrap_expect=loaded.options.bootstrap_expect,
        raft_address=raft_address(loaded.options),
    )
    return MetaNode(node_settings(loaded), place, on_event=on_event)


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


run_beside_commands(
    app,
    "meta",
    build_meta,
    "Run one meta node until it is stopped; with a command: list or change the nodes of meta.",
)
