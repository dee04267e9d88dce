"""Run nodes on one loop until a signal, or until one of them cannot go on."""

import asyncio
import gc
import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from zreg.cli.exits import CommandFailedError
from zreg.cli.process.sd_notify import notify, watchdog_seconds
from zreg.membership.cluster_member import NodeFailed
from zreg.nodes.base import Node

if TYPE_CHECKING:
    from zreg.http.server import HttpServer

# How often it is looked whether a node has joined.
_LOOK_SECONDS: Final = 0.05
# Allocations before the young are looked at, and how often that makes the older ones be.
_COLLECTOR_THRESHOLDS: Final = (50_000, 50, 100)
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
HANDLED_SIGNALS: Final = (*_STOP_SIGNALS, signal.SIGUSR1)

logger = logging.getLogger("zreg.node")


class Server:
    """The process around one node or several."""

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()
        self._failure = ""
        self._is_stopping = False

    def take_event(self, event: msgspec.Struct) -> None:
        """Take what a core tells the process around it."""
        if isinstance(event, NodeFailed) and not self._failure:
            self._failure = event.reason
            self.stop()

    async def run(
        self,
        nodes: Sequence[Node],
        https: Sequence["HttpServer"] = (),
        *,
        on_serving: Callable[[], None],
    ) -> None:
        """Serve; `on_serving` is called once all nodes do. A failure is raised."""
        self._nodes = nodes
        _spare_collector()
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._take_signal, number)
        loop.add_signal_handler(signal.SIGUSR1, self._log_statistics)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED_SIGNALS)
        helpers = [
            asyncio.create_task(self._wait_serving(on_serving)),
            asyncio.create_task(_feed_watchdog()),
        ]
        try:
            await asyncio.gather(*(http.start() for http in https))
            await asyncio.gather(*(node.run() for node in nodes))
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await asyncio.gather(*(http.stop() for http in https))
        if self._failure:
            raise CommandFailedError(self._failure)

    def stop(self) -> None:
        """Have all nodes say goodbye and end."""
        if self._is_stopping:
            return
        self._is_stopping = True
        notify("STOPPING=1")
        for node in self._nodes:
            node.stop()

    def _take_signal(self, number: signal.Signals) -> None:
        if self._is_stopping:
            # Whoever asks twice does not want to wait for goodbyes.
            os._exit(128 + number)
        logger.info("node.stopping signal=%s", number.name)
        self.stop()

    async def _wait_serving(self, on_serving: Callable[[], None]) -> None:
        while not all(node.is_serving for node in self._nodes):  # noqa: ASYNC110 -- a core has no event
            await asyncio.sleep(_LOOK_SECONDS)
        if not self._is_stopping:
            notify("READY=1")
            on_serving()

    def _log_statistics(self) -> None:
        for node in self._nodes:
            about = {"node_id": node.node_id, "role": node.role, **node.statistics()}
            logger.warning("node.statistics %s", json.dumps(about))


def _spare_collector() -> None:
    """Let the garbage collector look rarely: what a registry holds is long-lived and acyclic.

    With Python's thresholds it walks through everything again and again, a fifth of a data node's
    time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


async def _feed_watchdog() -> None:
    """Say that the loop turns, for as long as it does."""
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
