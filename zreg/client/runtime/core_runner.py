"""Run a client's core on a loop, and hand it the commands of the API."""

import contextvars
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from zreg.client.core.commands import SetPublication
from zreg.client.locating.transports import CoreNode
from zreg.client.runtime.background_log import BACKGROUND_LOG
from zreg.client.runtime.events.changed import Changed
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.reactor.sockets.link_socket import ZmqContext

if TYPE_CHECKING:
    import asyncio


class LoopMember(Protocol):
    """What runs on the loop for one client. The loop's thread calls it."""

    def fail(self, error: BaseException) -> None:
        """End: the loop, or a call that it made for this member, has failed."""
        ...

    def on_loop_ended(self) -> None:
        """Note that no call is made any more."""
        ...


class LoopHost(Protocol):
    """The loop on which cores run, and the ZeroMQ context for their sockets."""

    @property
    def loop(self) -> "asyncio.AbstractEventLoop":
        """The loop."""
        ...

    @property
    def context(self) -> ZmqContext:
        """The ZeroMQ context."""
        ...

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread."""
        ...

    def call_soon(self, call: Callable[[], None], context: contextvars.Context) -> None:
        """Have the loop make a call."""
        ...

    def remove(self, member: LoopMember) -> None:
        """Let go of a member that has ended."""
        ...


# For whom the loop makes the present call. Each call that a member asks for inherits it.
MEMBER: contextvars.ContextVar[LoopMember] = contextvars.ContextVar("zreg_member")

# What a forked child must not collect: its descriptors belong to the parent as well.
_of_parents: list[object] = []


class CoreRunner:
    """One client's core on a loop. The runtime's lock guards `is_woken` and `is_closed`.

    Invariants:
    - While `is_woken`, the loop is to take the commands of the queue: a burst of commands wakes it
      once. Commands reach the core in their order.
    - Once `is_closed`, it stays closed. Commands do not wake the loop any more, so the loop is not
      called after it has ended. The core gets all earlier commands before it says goodbye.
    - The loop's thread makes the node, and only that thread uses it, except for statistics.
    - It never refers to the runtime, so that a client which the program drops can be collected.
    - It is a member of the loop's host from `start` until its sockets are closed.
    """

    def __init__(
        self,
        changed: Changed,
        outgoing: OutgoingQueue,
        new_node: Callable[[ZmqContext], CoreNode],
        on_failed: Callable[[], None],
    ) -> None:
        self._changed = changed
        self._on_failed = on_failed
        self._reset(outgoing, new_node)

    def _reset(self, outgoing: OutgoingQueue, new_node: Callable[[ZmqContext], CoreNode]) -> None:
        self.outgoing = outgoing
        self._new_node = new_node
        self.node: CoreNode | None = None
        self.is_woken = False
        # Whether it was told to end, or has ended by itself.
        self.is_closed = False
        # Why it was told to end; empty if it was not.
        self.why_closed = ""
        # What ended it, if it was not told to end.
        self.failure: BaseException | None = None
        self._host: LoopHost
        self._task: asyncio.Task[None] | None = None
        self._context = contextvars.Context()
        self._context.run(MEMBER.set, self)

    def __repr__(self) -> str:
        """Show the node."""
        return f"<{type(self).__name__} closed={self.is_closed} {self.node!r}>"

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread."""
        return self._host.is_current

    def start_on(self, join_host: Callable[[LoopMember], LoopHost]) -> None:
        """Begin to run on a host; raise what joining it raises, as `UnavailableError`."""
        try:
            self._host = join_host(self)
        except BaseException as error:
            self.is_closed, self.failure = True, error
            raise
        with self._changed:
            self.call_soon(self._begin)

    def publish(self, command: SetPublication) -> None:
        """Publish, or republish under a known id. Needs the lock."""
        self.outgoing.put_publication(command)
        if not self.is_woken:
            self.wake()

    def wake(self) -> None:
        """Have the loop take the commands of the queue. Needs the lock."""
        if not (self.is_woken or self.is_closed):
            self.is_woken = True
            self.call_soon(self._take_commands)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have the loop make a call, which must not raise. Needs the lock."""
        if not self.is_closed:
            self._host.call_soon(call, self._context)

    def call_later(self, seconds: float, call: Callable[[], None]) -> "asyncio.TimerHandle":
        """Have the loop make a call later, which must not raise; on the loop's thread."""
        return self._host.loop.call_later(seconds, call, context=self._context)

    def begin_in_child(self, new_node: Callable[[ZmqContext], CoreNode]) -> None:
        """Begin afresh in a forked child; what belongs to the parent is kept and not touched."""
        _of_parents.append((self.node, self._task))
        self._reset(OutgoingQueue(), new_node)

    def abandon(self, why: str) -> None:
        """End in a forked child, which has no loop for it. Needs the lock."""
        _of_parents.append((self.node, self._task))
        self.is_closed, self.why_closed = True, why

    def leave_to_parent(self) -> None:
        """Do nothing any more on a loop that this forked child has inherited, and may run on."""
        if self.node is not None:
            self.node.leave_to_parent()

    def close(self, why: str) -> None:
        """Have the core say goodbye and end. Needs the lock; not to be repeated."""
        self.call_soon(self._stop)
        self.is_closed = True
        self.why_closed = why

    # --- on the loop's thread ---------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """Keep the first cause, tell the runtime, log it, and close the sockets."""
        self._note_failure(error)
        if self._task is not None:
            self._task.cancel()

    def on_loop_ended(self) -> None:
        """Note that the loop has ended before this member."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    def _begin(self) -> None:
        # It inherits the context of this call: an eager task could not enter the same one again.
        self._task = self._host.loop.create_task(self._run())
        self._task.add_done_callback(self._on_done)

    async def _run(self) -> None:
        try:
            await self._serve()
        except BaseException as error:  # noqa: BLE001 -- what ends a client is told to the user
            self._note_failure(error)

    async def _serve(self) -> None:
        self.node = self._new_node(self._host.context)
        self._take_commands()
        if self.is_closed:
            self.node.stop()
        await self.node.run()

    def _on_done(self, _task: "asyncio.Task[None]") -> None:
        """Leave the loop."""
        self._host.remove(self)
        self.on_loop_ended()

    def _note_failure(self, error: BaseException) -> None:
        if self.failure is None:
            with self._changed:
                self.failure, self.is_closed = error, True
                self._on_failed()
            exc_info = sys.exc_info() if sys.exc_info()[1] is error else (type(error), error, None)
            BACKGROUND_LOG.write("zreg.client", logging.ERROR, "client.loop.failed", exc_info)

    def _take_commands(self) -> None:
        """Hand the commands of the queue to the core, in their order."""
        node = self.node
        if node is None:
            return
        with self._changed:
            self.is_woken = False
            commands = self.outgoing.take_all()
        # Without the lock: what the core tells of them may wake threads.
        if commands:
            node.hand_over(commands)

    def _stop(self) -> None:
        # A client that is closed before its node exists is stopped by `_serve`.
        if self.node is not None:
            self._take_commands()
            self.node.stop()
