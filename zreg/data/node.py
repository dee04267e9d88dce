"""Join the data core to a reactor: a ROUTER for the sessions, a PUB for changes, meta."""

from random import SystemRandom
from typing import Final

from zreg.data.core import DataCore
from zreg.effects import Link
from zreg.model import Role
from zreg.reactor.node import Node, NodeSettings, clock, new_member, opened_doors
from zreg.reactor.perform import EventCallback
from zreg.reactor.table import LinkTable

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9620"
DEFAULT_CHANGES_ADDRESS: Final = "tcp://127.0.0.1:9621"


class DataNode(Node):
    """One data node; its sockets are bound when this returns."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        address: str = DEFAULT_ADDRESS,
        changes_address: str = DEFAULT_CHANGES_ADDRESS,
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
            core = DataCore(member, settings.config, rng=SystemRandom(), now=clock())
        super().__init__(core, doors, member, settings, on_event)
