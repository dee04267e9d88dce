"""Wait until all clients of a fake registry have done what there is to do.

A round passes once through each loop and each thread of callbacks. When nothing was sent during a
whole round, and nothing waits, all is done.
"""

import asyncio
import threading
import time
from typing import Final

from zreg import errors
from zreg.client.runtime.aio.loop_runner import LoopRunner
from zreg.client.runtime.aio.loop_runtime import LoopRuntime
from zreg.client.runtime.closing import running
from zreg.client.runtime.threads.thread_runtime import ThreadRuntime
from zreg.testing.fake.exchange import Exchange
from zreg.testing.fake.memory_node import MemoryNode

AnyRuntime = ThreadRuntime | LoopRuntime

_AT_WORK: Final = (
    "the clients of the FakeRegistry are still at work: callbacks that publish without end, or one "
    "that waits for the test while the test waits for it, never finish"
)
# How often a wait looks whether its client was closed meanwhile.
_LOOK_SECONDS: Final = 0.05


def runtimes_of(url: str) -> list[AnyRuntime]:
    """Return the clients of this process that have this url and are open."""
    return [
        runtime
        for runtime in running()
        if isinstance(runtime, AnyRuntime)
        and runtime.settings.addresses == (url,)
        and runtime.lifecycle.is_running
    ]


def wait_for_threads(exchange: Exchange, url: str, timeout_seconds: float) -> None:
    """Wait for the clients whose loops run on other threads than the caller's.

    Raises `zreg.TimeoutError`, mostly because a callback does not return.
    """
    deadline = time.monotonic() + timeout_seconds
    is_idle = False
    while not is_idle:
        if time.monotonic() > deadline:
            raise errors.TimeoutError(_AT_WORK)
        activity = exchange.activity
        others = [each for each in runtimes_of(url) if not each.core_runner.is_current]
        for runtime in others:
            _pass_loop(runtime, deadline)
        for runtime in others:
            if isinstance(runtime, ThreadRuntime):
                _pass_callbacks(runtime, deadline)
        is_idle = exchange.activity == activity and not any(map(_is_busy, others))


async def wait_for_all(exchange: Exchange, url: str, timeout_seconds: float) -> None:
    """Wait for all clients, also those on the running loop."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while await _has_worked(exchange, url, timeout_seconds):
                pass
    except TimeoutError as error:
        if isinstance(error, errors.Error):
            raise
        raise errors.TimeoutError(_AT_WORK) from None


async def _has_worked(exchange: Exchange, url: str, timeout_seconds: float) -> bool:
    """Pass a round; return whether something was sent in it, or still waits."""
    activity = exchange.activity
    runtimes = runtimes_of(url)
    own = [
        runtime
        for runtime in runtimes
        if isinstance(runtime, LoopRuntime) and runtime.core_runner.is_current
    ]
    if len(own) < len(runtimes):
        await asyncio.to_thread(wait_for_threads, exchange, url, timeout_seconds)
    # A turn that was asked for comes in the next round of the loop.
    await asyncio.sleep(0)
    for runtime in own:
        await runtime.coroutine_callbacks.wait_ended()
    return exchange.activity != activity or any(map(_is_busy, own))


def _is_busy(runtime: AnyRuntime) -> bool:
    runner = runtime.core_runner
    if runner.is_closed:
        return False
    if isinstance(runner.node, MemoryNode):
        return runner.is_woken or not runner.node.is_idle
    # Its core begins soon; an asyncio client that was not used yet has nothing to do.
    return not isinstance(runner, LoopRunner) or runner.was_abandoned


def _pass_loop(runtime: AnyRuntime, deadline: float) -> None:
    """Wait until the loop of a client has done what it had to do."""
    runner = runtime.core_runner
    node = runner.node
    if isinstance(runtime, LoopRuntime) and not (
        isinstance(node, MemoryNode) and node.is_loop_running
    ):
        return
    passed = threading.Event()
    with runtime.changed:
        runner.call_soon(passed.set)
    _wait(passed, runtime, deadline)


def _pass_callbacks(runtime: ThreadRuntime, deadline: float) -> None:
    """Wait until the callbacks have returned that are due."""
    dispatcher = runtime.dispatcher
    if dispatcher.has_begun and not dispatcher.is_current:
        passed = threading.Event()
        dispatcher.submit(passed.set)
        _wait(passed, runtime, deadline)


def _wait(passed: threading.Event, runtime: AnyRuntime, deadline: float) -> None:
    while not passed.wait(_LOOK_SECONDS):
        if runtime.core_runner.is_closed:
            return
        if time.monotonic() > deadline:
            raise errors.TimeoutError(_AT_WORK)
