"""Join the session core to a reactor: a ROUTER for clients, data nodes and meta."""

from pathlib import Path
from random import SystemRandom
from typing import Final

from zreg.effects import Link
from zreg.model import Role
from zreg.nodes.base import Node, NodeSettings, clock, new_member, opened_doors, opened_keeper
from zreg.reactor.effect_runner import EventCallback
from zreg.reactor.link_table import LinkTable
from zreg.session.core import SessionCore

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9600"


class SessionNode(Node):
    """One session node; its sockets are bound when this returns.

    In `directory` it keeps the membership; without it, it needs meta at every start.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        address: str = DEFAULT_ADDRESS,
        directory: Path | None = None,
        on_event: EventCallback | None = None,
    ) -> None:
        table = LinkTable(
            routers={Link.CLIENTS: address},
            dealers=(Link.META, Link.DATA),
            subs=(Link.MEMBERSHIP, Link.CHANGES),
        )
        with opened_doors(table, settings) as doors:
            member = new_member(Role.SESSION, doors, settings, Link.CLIENTS)
            keeper = opened_keeper(directory, settings, member)
            core = SessionCore(
                member,
                settings.config,
                rng=SystemRandom(),
                now=clock(),
                cached=None if keeper is None else keeper.kept,
            )
        super().__init__(core, doors, member, settings, on_event, keeper=keeper)

    @property
    def is_serving(self) -> bool:
        """Whether clients are served: with a membership from its disk, what can be read."""
        return self.is_joined or self._core.epoch > 0
