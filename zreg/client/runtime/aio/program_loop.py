"""The event loop of the program, and the ZeroMQ context that all its asyncio clients share.

A context has two threads of ZeroMQ's own, which carry bytes and run no Python.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Final

from zreg.client.runtime import closing
from zreg.client.runtime.core_runner import LoopMember
from zreg.errors import UsageError
from zreg.reactor.sockets.descriptors import OF_A_CONNECTION, OF_A_CONTEXT, check_descriptors
from zreg.reactor.sockets.link_socket import ZmqContext
from zreg.reactor.sockets.socket_options import new_context

_NO_LOOP: Final = (
    "an AsyncClient lives on a running event loop, and none runs on this thread: call it inside a "
    "coroutine, from another thread through loop.call_soon_threadsafe, or use zreg.Client"
)
_OTHER_LOOP: Final = (
    "this AsyncClient lives on another event loop: make one AsyncClient for each loop, or pass the "
    "call on with loop.call_soon_threadsafe"
)


class ProgramLoop:
    """The loop of one asyncio client, and its share of the context."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.context = _acquire_context()
        self._thread_id = threading.get_ident()

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread."""
        return threading.get_ident() == self._thread_id

    def call_soon(self, call: Callable[[], None], context: contextvars.Context) -> None:
        """Have the loop make a call; a finalizer may ask for it on any thread."""
        # A loop that is closed has ended the client as well, which may not have learnt it.
        with contextlib.suppress(RuntimeError):
            if self.is_current:
                self.loop.call_soon(call, context=context)
            else:
                self.loop.call_soon_threadsafe(call, context=context)

    def remove(self, member: LoopMember) -> None:  # noqa: ARG002 -- a loop of one client
        """Give back the share of the context."""
        _release_context(self.context)

    def __repr__(self) -> str:
        """Show the loop."""
        return f"<ProgramLoop {self.loop!r}>"


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs on this thread; `UsageError` without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(_NO_LOOP) from None


def check_is_running(loop: asyncio.AbstractEventLoop) -> None:
    """Raise `UsageError` unless this loop runs on this thread."""
    if running_loop() is not loop:
        raise UsageError(_OTHER_LOOP)


# Loops may run on several threads.
_lock = threading.Lock()
_shared: ZmqContext | None = None
_share_count = 0
# What a forked child must not collect: its descriptors belong to the parent as well.
_of_parents: list[ZmqContext] = []


def _acquire_context() -> ZmqContext:
    global _shared, _share_count  # noqa: PLW0603 -- there is one for the process
    with _lock:
        if _shared is None:
            check_descriptors(OF_A_CONTEXT + OF_A_CONNECTION, "a client")
            _shared = new_context()
        else:
            check_descriptors(OF_A_CONNECTION, "one more client")
        _share_count += 1
        return _shared


def _release_context(context: ZmqContext) -> None:
    global _shared, _share_count  # noqa: PLW0603 -- there is one for the process
    with _lock:
        if context is not _shared:
            return
        _share_count -= 1
        if _share_count:
            return
        _shared = None
    # Ending a context waits for what still lingers, and the loop must not.
    with contextlib.suppress(RuntimeError):  # no thread can be started: it ends with the process
        threading.Thread(target=context.term, name="zreg-terminate", daemon=True).start()


def _on_forked() -> None:
    global _lock, _shared, _share_count
    if _shared is not None:
        _of_parents.append(_shared)
    _lock, _shared, _share_count = threading.Lock(), None, 0


closing.reset_in_children(_on_forked)
