"""Run a client's core on the event loop of the program."""

import asyncio
from collections.abc import Callable
from typing import Final

from zreg.client.locating.transports import CoreNode
from zreg.client.runtime.aio.program_loop import ProgramLoop, check_is_running, running_loop
from zreg.client.runtime.aio.waits import Waits
from zreg.client.runtime.core_runner import CoreRunner, LoopMember
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.reactor.sockets.link_socket import ZmqContext

LOOP_ENDED: Final = "the event loop of this client ended before the client was closed"


class LoopRunner(CoreRunner):
    """One client's core on the loop on which the client is first used."""

    _host: ProgramLoop

    def __init__(
        self,
        changed: Waits,
        outgoing: OutgoingQueue,
        new_node: Callable[[ZmqContext], CoreNode],
        on_failed: Callable[[], None],
    ) -> None:
        super().__init__(changed, outgoing, new_node, on_failed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.has_ended = False

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread; True before there is one."""
        return self._loop is None or self._host.is_current

    @property
    def is_unused(self) -> bool:
        """Whether it has not begun on a loop."""
        return self._loop is None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the loop is that of another thread, and not closed."""
        return self._loop is not None and not (self._host.is_current or self._loop.is_closed())

    @property
    def was_abandoned(self) -> bool:
        """Whether it has begun, and was not told to end."""
        return self._loop is not None and (not self.is_closed or self.why_closed == LOOP_ENDED)

    def enter(self) -> None:
        """Begin on the running loop; later, raise `UsageError` on any other loop or thread."""
        if self._loop is not None:
            check_is_running(self._loop)
            return
        loop = running_loop()

        def join(_member: LoopMember) -> ProgramLoop:
            return ProgramLoop(loop)

        try:
            self.start_on(join)
        except BaseException:
            self.has_ended = True
            raise
        self._loop = loop

    def check_may_close(self) -> None:
        """Raise `UsageError` on any other loop or thread than that on which it has still to end."""
        if self._loop is not None and not (self.has_ended or self._loop.is_closed()):
            check_is_running(self._loop)

    def close(self, why: str) -> None:
        """Have the core say goodbye and end, if it has begun. Needs the lock."""
        if self._loop is None:
            self.is_closed, self.has_ended, self.why_closed = True, True, why
        elif self._loop.is_closed():
            self.is_closed, self.why_closed = True, LOOP_ENDED
        else:
            super().close(why)

    def on_loop_ended(self) -> None:
        """Note that the core has ended."""
        self.has_ended = True
        super().on_loop_ended()

    async def _run(self) -> None:
        try:
            await self._serve()
        except asyncio.CancelledError:
            # `asyncio.run` cancels what is left when the program's coroutine has ended. The reactor
            # has said goodbye before it passed this on.
            if not self.is_closed:
                self.is_closed, self.why_closed = True, LOOP_ENDED
                self._on_failed()
            raise
        except BaseException as error:  # noqa: BLE001 -- what ends a client is told to the user
            self._note_failure(error)
