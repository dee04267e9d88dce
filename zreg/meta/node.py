"""Join the meta core to a reactor: a ROUTER for the nodes, a PUB for the membership."""

import os
from typing import Final

from zreg.effects import Link
from zreg.meta.core import MetaCore
from zreg.model import Role
from zreg.reactor.node import Node, NodeSettings, clock, new_member, opened_doors
from zreg.reactor.perform import EventCallback
from zreg.reactor.table import LinkTable

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9610"
DEFAULT_MEMBERSHIP_ADDRESS: Final = "tcp://127.0.0.1:9612"


class MetaNode(Node):
    """One meta node; its sockets are bound when this returns."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        address: str = DEFAULT_ADDRESS,
        membership_address: str = DEFAULT_MEMBERSHIP_ADDRESS,
        on_event: EventCallback | None = None,
    ) -> None:
        table = LinkTable(routers={Link.NODES: address}, pubs={Link.MEMBERSHIP: membership_address})
        with opened_doors(table, settings) as doors:
            member = new_member(Role.META, doors, settings, Link.NODES, Link.MEMBERSHIP)
            core = MetaCore(member, settings.config, cluster_id=os.urandom(16), now=clock())
        super().__init__(core, doors, member, settings, on_event)
