"""Run a client's core on a thread and a loop of its own, and hand it the commands of the API."""

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from zreg.client.core.commands import SetPublication
from zreg.client.runtime.threads.background_log import BACKGROUND_LOG
from zreg.client.runtime.threads.client_node import ClientNode
from zreg.client.runtime.threads.core_loop import new_loop
from zreg.client.runtime.threads.outgoing_queue import OutgoingQueue
from zreg.errors import UnavailableError

# The threads of all clients of this process.
_idents: set[int] = set()


def is_core_thread() -> bool:
    """Whether the caller is on the thread of a client: the collector may run on any of them."""
    return threading.get_ident() in _idents


class CoreThread:
    """The thread of one client's core. The runtime's lock guards `is_woken` and `is_closed`.

    Invariants:
    - While `is_woken`, the loop is to take the commands of the queue: a burst of commands wakes it
      once. Commands reach the core in their order.
    - Once `is_closed`, it stays closed. Commands do not wake the loop any more, so the loop is not
      called after it has ended. The core gets all earlier commands before it says goodbye.
    - The loop's thread makes the node, and only that thread uses it, except for statistics.
    - It never refers to the runtime, so that a client which the program drops can be collected.
    """

    def __init__(
        self,
        name: str,
        changed: threading.Condition,
        outgoing: OutgoingQueue,
        new_node: Callable[[], ClientNode],
        on_failed: Callable[[], None],
    ) -> None:
        self._changed = changed
        self.outgoing = outgoing
        self._new_node = new_node
        self._on_failed = on_failed
        self.node: ClientNode | None = None
        self.is_woken = False
        # Whether it was told to end, or has ended by itself.
        self.is_closed = False
        # Why it was told to end; empty if it was not.
        self.why_closed = ""
        # What ended it, if it was not told to end.
        self.failure: BaseException | None = None
        self._loop = new_loop()
        self._loop.set_exception_handler(self._on_loop_failed)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __repr__(self) -> str:
        """Show the node."""
        return f"<CoreThread {self._thread.name} closed={self.is_closed} {self.node!r}>"

    @property
    def is_current(self) -> bool:
        """Whether the caller is on this thread."""
        return threading.get_ident() == self._thread.ident

    def start(self) -> None:
        """Start the thread."""
        try:
            self._thread.start()
        except RuntimeError as error:
            self.is_closed, self.failure = True, error
            self._loop.close()
            raise UnavailableError(
                f"a client needs a thread of its own and none can be started: {error}"
            ) from error

    def publish(self, command: SetPublication) -> None:
        """Publish, or republish under a known id. Needs the lock."""
        self.outgoing.put_publication(command)
        if not self.is_woken:
            self.wake()

    def wake(self) -> None:
        """Have the loop take the commands of the queue. Needs the lock."""
        if not (self.is_woken or self.is_closed):
            self.is_woken = True
            self._loop.call_soon_threadsafe(self._take_commands)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have the loop make a call, which must not raise. Needs the lock."""
        if not self.is_closed:
            self._loop.call_soon_threadsafe(call)

    def close(self, why: str) -> None:
        """Have the core say goodbye, and the thread end. Needs the lock; not to be repeated."""
        self.is_closed = True
        self.why_closed = why
        self._loop.call_soon_threadsafe(self._stop)

    def join(self, timeout_seconds: float) -> None:
        """Wait until the thread has ended; on the thread itself there is nothing to wait for."""
        if not self.is_current:
            self._thread.join(timeout_seconds)

    # --- on the loop's thread ---------------------------------------------------------------

    def _run(self) -> None:
        _idents.add(threading.get_ident())
        try:
            self._run_loop()
        finally:
            _idents.discard(threading.get_ident())

    def _run_loop(self) -> None:
        task = self._loop.create_task(self._serve())
        try:
            self._loop.run_until_complete(task)
        except BaseException as error:  # noqa: BLE001 -- what ends the thread is told to the user
            self._fail(error)
            # Closes the sockets, as far as that is still possible.
            task.cancel()
            with contextlib.suppress(BaseException):
                self._loop.run_until_complete(task)
        finally:
            with self._changed:
                self.is_closed = True
                self._changed.notify_all()
            self._loop.close()

    def _fail(self, error: BaseException) -> None:
        """Keep the first cause, tell the runtime, and log it."""
        if self.failure is None:
            with self._changed:
                self.failure, self.is_closed = error, True
                self._on_failed()
            exc_info = sys.exc_info() if sys.exc_info()[1] is error else (type(error), error, None)
            BACKGROUND_LOG.write("zreg.client", logging.ERROR, "client.loop.failed", exc_info)

    async def _serve(self) -> None:
        self.node = self._new_node()
        self._take_commands()
        if self.is_closed:
            self.node.stop()
        await self.node.run()

    def _on_loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the client: what is called on its loop never raises, unless the loop is broken."""
        self._fail(context.get("exception") or RuntimeError(context.get("message")))
        loop.stop()

    def _take_commands(self) -> None:
        """Hand the commands of the queue to the core, in their order."""
        node = self.node
        if node is None:
            return
        with self._changed:
            self.is_woken = False
            for command in self.outgoing.take_all():
                node.post(command)

    def _stop(self) -> None:
        # A client that is closed before its node exists is stopped by `_serve`.
        if self.node is not None:
            self._take_commands()
            self.node.stop()
