"""A client on its LAN: sees what is announced while its core browses, and holds nothing else."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from zreg.discovery.sightings import BrowseFailed
from zreg.effects import Local
from zreg.model import Role
from zreg.reactor.log_lines import LogLines, write_failure

_NOT_INSTALLED: Final = (
    "the LAN was not looked at, since zeroconf is not installed (pip install 'zreg[lan]')"
)


class ClientLan:
    """Runs a `LanWatch` on the loop of a client from one `Browse` to the next.

    Only the thread of the loop calls it. Invariant: while the core does not browse, there is no
    task and no socket, or they are ending.
    """

    def __init__(self, post: Callable[[Local], None], log_lines: LogLines) -> None:
        self._post = post
        self._log_lines = log_lines
        self._task: asyncio.Task[None] | None = None
        # Those of before, which close their sockets.
        self._ending: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        """Show whether it browses."""
        return f"<ClientLan browsing={self._task is not None}>"

    def browse(self, *, is_wanted: bool) -> None:
        """Look at the LAN from now on, or no longer."""
        if is_wanted and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif not is_wanted and self._task is not None:
            self._task.cancel()
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
            self._task = None

    async def close(self) -> None:
        """End, and wait until the sockets are closed, also those of an end that was begun before.

        The loop may end after this, and would drop a task that has not ended.
        """
        self.browse(is_wanted=False)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _run(self) -> None:
        try:
            # Most clients have a url, and a program without zeroconf is none the worse.
            from zreg.lan.lan_watch import LanWatch  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if error.name != "zeroconf":
                raise
            self._post(BrowseFailed(_NOT_INSTALLED))
            return
        try:
            watch = LanWatch(self._post, write_line=partial(self._log_lines.write, "zreg.lan"))
            watch.browse(Role.SESSION)
            await watch.run()
        except Exception:  # noqa: BLE001 -- it is logged, and zeroconf raises many kinds
            write_failure(self._log_lines, "lan.watch.failed")
            self._post(BrowseFailed("the LAN could not be looked at: see the log"))
