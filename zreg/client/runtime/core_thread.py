"""Run a client's core on a thread and a loop of its own, and hand it the commands of the API."""

import asyncio
import logging
import threading
from collections.abc import Callable

from zreg.client.runtime.client_node import ClientNode
from zreg.client.runtime.outgoing_queue import OutgoingQueue

logger = logging.getLogger("zreg.client")


class CoreThread:
    """The thread of one client's core. The runtime's lock guards `is_woken` and `is_closed`.

    Invariants:
    - While `is_woken`, the loop is to take the commands of the queue: a burst of commands wakes it
      once. Commands reach the core in their order.
    - Once `is_closed`, it stays closed. Commands do not wake the loop any more, so the loop is not
      called after it has ended. The core gets all earlier commands before it says goodbye.
    - The loop's thread makes the node, and only that thread uses it, except for statistics.
    """

    def __init__(
        self,
        name: str,
        changed: threading.Condition,
        outgoing: OutgoingQueue,
        new_node: Callable[[], ClientNode],
    ) -> None:
        self._changed = changed
        self._outgoing = outgoing
        self._new_node = new_node
        self.node: ClientNode | None = None
        self.is_woken = False
        # Whether it was told to end, or has ended by itself.
        self.is_closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __repr__(self) -> str:
        """Show the node."""
        return f"<CoreThread {self._thread.name} closed={self.is_closed} {self.node!r}>"

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Have the loop take the commands of the queue. Needs the lock."""
        if not (self.is_woken or self.is_closed):
            self.is_woken = True
            self._loop.call_soon_threadsafe(self._take_commands)

    def close(self) -> None:
        """Have the core say goodbye, and the thread end. Needs the lock; not to be repeated."""
        self.is_closed = True
        self._loop.call_soon_threadsafe(self._stop)

    def join(self, timeout_seconds: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout_seconds)

    # --- on the loop's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            logger.exception("client.loop.failed")
        finally:
            with self._changed:
                self.is_closed = True
                self._changed.notify_all()
            self._loop.close()

    async def _serve(self) -> None:
        self.node = self._new_node()
        self._take_commands()
        if self.is_closed:
            self.node.stop()
        await self.node.run()

    def _take_commands(self) -> None:
        """Hand the commands of the queue to the core, in their order."""
        node = self.node
        if node is None:
            return
        with self._changed:
            self.is_woken = False
            for command in self._outgoing.take_all():
                node.post(command)

    def _stop(self) -> None:
        # A client that is closed before its node exists is stopped by `_serve`.
        if self.node is not None:
            self._take_commands()
            self.node.stop()
