"""Join the data core to a reactor: a ROUTER for the sessions, a PUB for changes, links to meta."""

from pathlib import Path
from random import SystemRandom
from typing import Final

import msgspec

from zreg.data.core import DataCore
from zreg.effects import HandedOver, HandOver, Link
from zreg.model import Role
from zreg.nodes.base import Node, NodeSettings, clock
from zreg.nodes.opening import new_member, open_membership_cache, open_socket_set
from zreg.reactor import EventCallback, LinkTable

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9620"
DEFAULT_CHANGES_ADDRESS: Final = "tcp://127.0.0.1:9621"


class DataNode(Node):
    """One data node; its sockets are bound when this returns.

    It caches the membership in `directory`. Published data are in memory only.
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
        link_table = LinkTable(
            routers={Link.REQUESTS: address},
            pubs={Link.CHANGES: changes_address},
            dealers=(Link.META, Link.DATA),
            subs=(Link.MEMBERSHIP,),
        )
        with open_socket_set(link_table, settings) as socket_set:
            member = new_member(
                Role.DATA,
                socket_set,
                settings,
                Link.REQUESTS,
                changes_link=Link.CHANGES,
                peers=settings.config.meta_addresses,
            )
            cache = open_membership_cache(directory, settings, member)
            core = DataCore(
                member,
                settings.config,
                rng=SystemRandom(),
                now=clock(),
                cached=None if cache is None else cache.cached,
            )
        self._on_node_event = on_event
        super().__init__(
            core,
            socket_set,
            member,
            settings,
            self._take_event,
            membership_cache=cache,
            peers=settings.config.meta_addresses,
        )

    def _say_goodbye(self) -> None:
        """Hand over the buckets of this node, and end."""
        self._reactor.post(HandOver())

    def _take_event(self, event: msgspec.Struct) -> None:
        if isinstance(event, HandedOver):
            self._reactor.stop()
        elif self._on_node_event is not None:
            self._on_node_event(event)
