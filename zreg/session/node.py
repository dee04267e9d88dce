"""Join the session core to a reactor: a ROUTER for clients, data nodes and meta."""

from random import SystemRandom
from typing import Final

from zreg.effects import Link
from zreg.model import Role
from zreg.reactor.node import Node, NodeSettings, clock, new_member, opened_doors
from zreg.reactor.perform import EventCallback
from zreg.reactor.table import LinkTable
from zreg.session.core import SessionCore

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9600"


class SessionNode(Node):
    """One session node; its sockets are bound when this returns."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        address: str = DEFAULT_ADDRESS,
        on_event: EventCallback | None = None,
    ) -> None:
        table = LinkTable(
            routers={Link.CLIENTS: address},
            dealers=(Link.META, Link.DATA),
            subs=(Link.MEMBERSHIP, Link.CHANGES),
        )
        with opened_doors(table, settings) as doors:
            member = new_member(Role.SESSION, doors, settings, Link.CLIENTS)
            core = SessionCore(member, settings.config, rng=SystemRandom(), now=clock())
        super().__init__(core, doors, member, settings, on_event)
