"""Join the data core to a reactor: a ROUTER for the sessions, a PUB for changes, meta."""

from pathlib import Path
from random import SystemRandom
from typing import Final

from zreg.data.core import DataCore
from zreg.effects import Link
from zreg.model import Role
from zreg.nodes.base import Node, NodeSettings, clock, new_member, opened_doors, opened_keeper
from zreg.reactor.effect_runner import EventCallback
from zreg.reactor.link_table import LinkTable

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9620"
DEFAULT_CHANGES_ADDRESS: Final = "tcp://127.0.0.1:9621"


class DataNode(Node):
    """One data node; its sockets are bound when this returns.

    In `directory` it keeps the membership, and nothing of what is published.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        address: str = DEFAULT_ADDRESS,
        changes_address: str = DEFAULT_CHANGES_ADDRESS,
        directory: Path | None = None,
        on_event: EventCallback | None = None,
    ) -> None:
        table = LinkTable(
            routers={Link.REQUESTS: address},
            pubs={Link.CHANGES: changes_address},
            dealers=(Link.META,),
            subs=(Link.MEMBERSHIP,),
        )
        with opened_doors(table, settings) as doors:
            member = new_member(Role.DATA, doors, settings, Link.REQUESTS, Link.CHANGES)
            keeper = opened_keeper(directory, settings, member)
            core = DataCore(
                member,
                settings.config,
                rng=SystemRandom(),
                now=clock(),
                cached=None if keeper is None else keeper.kept,
            )
        super().__init__(core, doors, member, settings, on_event, keeper=keeper)
