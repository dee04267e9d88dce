"""A node on its LAN: whether it announces itself and looks for meta, and what runs for that."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from zreg.discovery.announcement import Announcement
from zreg.discovery.interfaces.reach import Reach
from zreg.discovery.lan_settings import LanSettings, Switch
from zreg.effects import Local
from zreg.health import Problem
from zreg.hosts import is_loopback_host
from zreg.model import Role

if TYPE_CHECKING:
    from zreg.lan.lan_watch import LanWatch

_ADVICE: Final = (
    "the node works; machines without configuration do not find it there: check the interface, or "
    "name others with --lan-interfaces"
)
_NOT_INSTALLED: Final = (
    "zeroconf is not installed, so this node is not announced on the LAN and looks for none: run "
    "pip install 'zreg[node]', or say --announce off --discover off"
)

logger = logging.getLogger("zreg.lan")


class NodeLan:
    """Runs the `LanWatch` of a node while it has something to announce or to look for.

    `announced` returns what the node announces, None while it announces nothing. `depends`: the
    node has to find others, or to be found, by announcements.
    """

    def __init__(
        self,
        settings: LanSettings,
        reach: Reach,
        *,
        depends: bool,
        announced: Callable[[], Announcement | None],
        on_event: Callable[[Local], None],
    ) -> None:
        is_automatic = depends and not is_loopback_host(reach.bound_host)
        self.is_announcing = _is_on(settings.announce, is_automatic=is_automatic)
        self._is_looking = _is_on(settings.discover, is_automatic=is_automatic)
        self._settings = settings
        self._reach = reach
        self._announced = announced
        self._on_event = on_event
        self._watch: LanWatch | None = None
        self._is_browsing = False
        self._failure: str | None = None
        self._needed = asyncio.Event()
        if self.is_announcing:
            self._needed.set()

    def __repr__(self) -> str:
        """Show what it does."""
        return f"<NodeLan announcing={self.is_announcing} browsing={self._is_browsing}>"

    @property
    def problem(self) -> Problem | None:
        """Why the node is not announced, or finds no other node; None if there is no reason."""
        reason = self._failure
        if self._watch is not None and self._watch.problem is not None:
            reason = f"mDNS does not work on {self._watch.problem}: {_ADVICE}"
        return None if reason is None else Problem("lan-failed", reason)

    def statistics(self) -> Mapping[str, int]:
        """Return the counters."""
        return {} if self._watch is None else self._watch.statistics()

    def browse(self, *, is_wanted: bool) -> None:
        """Look for meta nodes from now on, or no longer, if this node may."""
        self._is_browsing = is_wanted and self._is_looking
        if self._watch is not None:
            self._watch.browse(*self._roles())
        elif self._is_browsing:
            self._needed.set()

    async def run(self) -> None:
        """Announce and look until this is cancelled; then take back what was announced."""
        await self._needed.wait()
        try:
            # A node that needs neither does not load zeroconf.
            from zreg.lan.lan_watch import LanWatch, announce_nothing  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if error.name != "zeroconf":
                raise
            self._failure = _NOT_INSTALLED
            logger.warning("lan.library.missing detail=%r", _NOT_INSTALLED)
            return
        announced = self._announced if self.is_announcing else announce_nothing
        self._watch = LanWatch(
            self._on_event,
            announced=announced,
            reach=self._reach,
            names=self._settings.interfaces,
        )
        self._watch.browse(*self._roles())
        await self._watch.run()

    def _roles(self) -> tuple[Role, ...]:
        return (Role.META,) if self._is_browsing else ()


def _is_on(switch: Switch, *, is_automatic: bool) -> bool:
    return is_automatic if switch == "auto" else switch == "on"
