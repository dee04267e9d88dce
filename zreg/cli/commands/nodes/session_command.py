"""`zreg session`: run one session node."""

from zreg.cli.commands.nodes.run_node import addresses, directory_of, node_settings, start
from zreg.cli.flags import ConfigFile, Flags, Format, Output, with_settings
from zreg.cli.options.node_options import fields_of
from zreg.cli.options.settings_sources import Settings
from zreg.cli.process.children import ParentPid
from zreg.nodes.base import Node
from zreg.nodes.session import SessionNode
from zreg.reactor import EventCallback


def build_session(loaded: Settings, on_event: EventCallback) -> Node:
    """Return a session node whose sockets are bound."""
    address, _ = addresses("session", loaded.options)
    return SessionNode(
        node_settings(loaded), address=address, directory=directory_of(loaded), on_event=on_event
    )


@with_settings(*fields_of("session"))
def session(
    *,
    flags: Flags,
    config: ConfigFile = None,
    output: Output = Format.TABLE,
    parent_pid: ParentPid = 0,
) -> None:
    """Run one session node until it is stopped."""
    start("session", build_session, flags, config, output, parent_pid)
