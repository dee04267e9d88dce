"""Run nodes on one event loop until a signal comes, or until a node cannot go on."""

import asyncio
import gc
import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from zreg.cli.exits import CommandFailedError
from zreg.cli.process.sd_notify import feed_watchdog, notify
from zreg.cli.process.stop_signals import is_urgent, stop_signals
from zreg.errors import Error
from zreg.membership.cluster_member import NodeFailed
from zreg.nodes.base import Node

# How often to look whether all nodes serve.
_POLL_SECONDS: Final = 0.05
# Collect the youngest generation after so many allocations, and each older generation after so many
# collections of the younger one.
_COLLECTOR_THRESHOLDS: Final = (50_000, 50, 100)

logger = logging.getLogger("zreg.node")


def block_signals() -> None:
    """Keep the signals that a server handles from this process until `Server.run` handles them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _handled_signals())


def _handled_signals() -> tuple[signal.Signals, ...]:
    return (*stop_signals(), signal.SIGUSR1)


class Server:
    """Runs the nodes of this process, and ends them together."""

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()
        # Why the nodes cannot go on.
        self._failure: Error | None = None
        self._is_stopping = False

    def take_event(self, event: msgspec.Struct) -> None:
        """Take an event of a core; a node that failed stops all nodes."""
        if isinstance(event, NodeFailed):
            self._fail(CommandFailedError(event.reason))

    async def run(
        self,
        nodes: Sequence[Node],
        *,
        on_serving: Callable[[], None],
    ) -> None:
        """Serve until `stop`; `on_serving` is called once all nodes serve.

        Raises `CommandFailedError` if a node failed, and what `on_serving` raises.
        """
        self._nodes = nodes
        tune_garbage_collector()
        loop = asyncio.get_running_loop()
        handled = _handled_signals()
        for number in stop_signals():
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGUSR1, self._log_statistics)
        # `block_signals` blocked them, so that none was lost before the handlers were set.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        helpers = [
            asyncio.create_task(self._wait_serving(on_serving)),
            asyncio.create_task(feed_watchdog()),
        ]
        try:
            await asyncio.gather(*(node.run() for node in nodes))
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Have all nodes say goodbye and end; `run` then returns."""
        if self._is_stopping:
            return
        self._is_stopping = True
        notify("STOPPING=1")
        for node in self._nodes:
            node.stop()

    def _on_stop_signal(self, number: signal.Signals) -> None:
        if self._is_stopping:
            if is_urgent(number):
                # A second signal: do not wait for the goodbyes.
                os._exit(128 + number)
            return
        logger.info("node.stopping signal=%s", number.name)
        self.stop()

    async def _wait_serving(self, on_serving: Callable[[], None]) -> None:
        while not all(node.is_serving for node in self._nodes):  # noqa: ASYNC110 -- a core is no asyncio event
            await asyncio.sleep(_POLL_SECONDS)
        if self._is_stopping:
            return
        notify("READY=1")
        try:
            on_serving()
        except Error as error:
            self._fail(error)

    def _fail(self, error: Error) -> None:
        """End all nodes; `run` then raises the first error."""
        if self._failure is None:
            self._failure = error
            self.stop()

    def _log_statistics(self) -> None:
        for node in self._nodes:
            described = {"node_id": node.node_id, "role": node.role, **node.statistics()}
            logger.warning("node.statistics %s", json.dumps(described))


def tune_garbage_collector() -> None:
    """Let the garbage collector run rarely: the objects of a registry are long-lived and acyclic.

    With Python's own thresholds it visits all of them again and again, which takes a fifth of a
    data node's time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
