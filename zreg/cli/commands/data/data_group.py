"""`zreg data`: run one data node; the commands beside it are loaded when they are called."""

from collections.abc import Mapping
from typing import ClassVar

import typer

from zreg.cli.commands.nodes.run_node import (
    addresses,
    directory_of,
    node_settings,
    run_beside_commands,
)
from zreg.cli.options.settings_sources import Settings
from zreg.cli.parsing.lazy_group import LazyGroup
from zreg.nodes.base import Node
from zreg.nodes.data import DataNode
from zreg.reactor import EventCallback


class DataGroup(LazyGroup):
    """The commands of `zreg data`."""

    homes: ClassVar[Mapping[str, str]] = {
        "drain": "zreg.cli.commands.data.data_commands:drain",
        "replica-count": "zreg.cli.commands.data.data_commands:replica_count",
    }


app = typer.Typer(cls=DataGroup, add_completion=False)


def build_data(loaded: Settings, on_event: EventCallback) -> Node:
    """Return a data node whose sockets are bound."""
    address, pub = addresses("data", loaded.options)
    return DataNode(
        node_settings(loaded),
        address=address,
        changes_address=pub,
        directory=directory_of(loaded),
        on_event=on_event,
    )


run_beside_commands(
    app,
    "data",
    build_data,
    "Run one data node until it is stopped; with a command: have a data node leave.",
)
