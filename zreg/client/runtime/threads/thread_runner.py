"""Run a client's core on the thread of all clients of the process."""

import threading
import time
from collections.abc import Callable

from zreg.client.locating.transports import CoreNode
from zreg.client.runtime.core_runner import CoreRunner
from zreg.client.runtime.events.changed import Changed
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.client.runtime.threads.loop_thread import LoopThread, join_loop_thread
from zreg.reactor.sockets.link_socket import ZmqContext


class ThreadRunner(CoreRunner):
    """One client's core on the shared loop; any thread may wait for its end."""

    _host: LoopThread

    def __init__(
        self,
        changed: Changed,
        outgoing: OutgoingQueue,
        new_node: Callable[[ZmqContext], CoreNode],
        on_failed: Callable[[], None],
    ) -> None:
        self._ended: threading.Event
        super().__init__(changed, outgoing, new_node, on_failed)

    def _reset(self, outgoing: OutgoingQueue, new_node: Callable[[ZmqContext], CoreNode]) -> None:
        super()._reset(outgoing, new_node)
        # In a forked child a thread of the parent may have held the lock of the former one.
        self._ended = threading.Event()

    @property
    def has_ended(self) -> bool:
        """Whether the core has ended and its sockets are closed."""
        return self._ended.is_set()

    def start(self) -> None:
        """Begin to run; `UnavailableError` without a thread or descriptors."""
        self.start_on(join_loop_thread)

    def join(self, timeout_seconds: float) -> None:
        """Wait until the goodbye has left, and for the thread if this was its last client.

        On the thread itself there is nothing to wait for.
        """
        deadline = time.monotonic() + timeout_seconds
        if not self.is_current and self._ended.wait(timeout_seconds):
            self._host.join(max(0.0, deadline - time.monotonic()))

    def on_loop_ended(self) -> None:
        """Note that the loop has ended before this member."""
        super().on_loop_ended()
        self._ended.set()
