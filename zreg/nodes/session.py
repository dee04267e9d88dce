"""Join the session core to a reactor: a ROUTER for clients, links to data nodes and meta."""

from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Final

import msgspec

from zreg.discovery.announcement import Announcement
from zreg.effects import Link, Local
from zreg.model import Role
from zreg.nodes.base import Node, NodeSettings, clock
from zreg.nodes.opening import new_member, open_membership_cache, open_socket_set
from zreg.nodes.page_dialogs import PageDialogs
from zreg.reactor import EventCallback, LinkTable
from zreg.session.core import SessionCore
from zreg.session.pages.page_watches import DatumMoved
from zreg.session.proxy.askers import PageAnswered

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9600"


class SessionNode(Node):
    """One session node; its sockets are bound when this returns.

    It caches the membership in `directory`; without a directory it needs meta at every start.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        address: str = DEFAULT_ADDRESS,
        directory: Path | None = None,
        on_event: EventCallback | None = None,
    ) -> None:
        link_table = LinkTable(
            routers={Link.CLIENTS: address},
            dealers=(Link.META, Link.DATA, Link.EVENTS),
            subs=(Link.MEMBERSHIP, Link.CHANGES),
        )
        with open_socket_set(link_table, settings) as socket_set:
            member = new_member(
                Role.SESSION,
                socket_set,
                settings,
                Link.CLIENTS,
                peers=settings.config.meta_addresses,
            )
            cache = open_membership_cache(directory, settings, member)
            core = SessionCore(
                member,
                settings.config,
                rng=SystemRandom(),
                now=clock(),
                cached=None if cache is None else cache.cached,
            )
        self._session_core = core
        self._on_other_event = on_event
        self._on_moved: Callable[[DatumMoved], None] | None = None
        super().__init__(
            core,
            socket_set,
            member,
            settings,
            self._take_event,
            membership_cache=cache,
            peers=settings.config.meta_addresses,
        )
        self._dialogs = PageDialogs(self._reactor.post)

    async def ask(self, question: msgspec.Struct) -> msgspec.Struct:
        """Ask the core a question of a page; return its answer, or `Refused`."""
        return await self._dialogs.ask(question)

    def watch(self, on_moved: Callable[[DatumMoved], None]) -> Callable[[Local], None]:
        """Have moves of watched datums told to this callback; return how to tell what to watch."""
        self._on_moved = on_moved
        return self._reactor.post

    def _take_event(self, event: msgspec.Struct) -> None:
        if isinstance(event, PageAnswered):
            self._dialogs.take(event)
        elif isinstance(event, DatumMoved):
            if self._on_moved is not None:
                self._on_moved(event)
        elif self._on_other_event is not None:
            self._on_other_event(event)

    @property
    def is_serving(self) -> bool:
        """Whether it serves clients: with a cached membership it serves reads before it joins."""
        return self.is_joined or self._core.epoch > 0

    def announcement(self) -> Announcement | None:
        """Return what clients are told; nothing while it serves none."""
        if not self.is_serving or self._is_stopping:
            return None
        return self._announced_as(Role.SESSION, self._session_core.membership.cluster_id)
