"""The one thread on which the cores of all clients of a process run, with its loop and sockets.

A thread, a loop and a ZeroMQ context for each client would cost a client three threads and seven
descriptors. The interpreter runs one thread at a time, so threads of their own would not let
clients run at the same time either.
"""

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from zreg.client.hidden_signals import start_without_signals
from zreg.client.runtime import closing
from zreg.client.runtime.background_log import BACKGROUND_LOG
from zreg.client.runtime.core_runner import MEMBER, LoopMember
from zreg.client.runtime.threads.core_loop import new_loop
from zreg.errors import UnavailableError
from zreg.reactor.sockets.descriptors import OF_A_CONNECTION, OF_A_CONTEXT, check_descriptors
from zreg.reactor.sockets.socket_options import new_context

# Both ends of a socket pair, which wake the loop, and its epoll.
_OF_A_LOOP: Final = 3
# How long a loop that ends waits for what runs on it besides its clients.
_END_SECONDS_MAX: Final = 1.0
OF_THE_FIRST_CLIENT: Final = _OF_A_LOOP + OF_A_CONTEXT + OF_A_CONNECTION
OF_A_FURTHER_CLIENT: Final = OF_A_CONNECTION


class LoopThread:
    """A thread with an asyncio loop and a ZeroMQ context, which several members share.

    Invariants:
    - It runs while it has members. When the last one leaves, the thread ends its loop and its
      context: no other member may join any more.
    - A call that raises ends the member for which it was made, and no other. Only if that is not
      known, or the loop itself fails, all members end.
    - It never refers to a runtime. `_lock` guards the members and who may join.
    """

    def __init__(self, member: LoopMember) -> None:
        self.loop = new_loop()
        self.loop.set_exception_handler(self._on_exception)
        try:
            self.context = new_context()
        except BaseException:
            self.loop.close()
            raise
        self._members: dict[LoopMember, None] = {member: None}
        self._thread = threading.Thread(target=self._run, name="zreg-clients", daemon=True)

    @property
    def is_current(self) -> bool:
        """Whether the caller is on this thread."""
        return threading.get_ident() == self._thread.ident

    def start(self) -> None:
        """Start the thread; `UnavailableError` if none can be started now."""
        try:
            start_without_signals(self._thread)
        except RuntimeError as error:
            self.loop.close()
            self.context.term()
            raise UnavailableError(
                f"clients need a thread of their own and none can be started: {error}"
            ) from error

    def join(self, timeout_seconds: float) -> None:
        """Wait for the end of the thread, if its last member has left."""
        if not self._members:
            self._thread.join(timeout_seconds)

    def call_soon(self, call: Callable[[], None], context: contextvars.Context) -> None:
        """Have the loop make a call; any thread may ask for it."""
        self.loop.call_soon_threadsafe(call, context=context)

    def add(self, member: LoopMember) -> None:
        """Keep the thread running for one more member. Needs `_lock`."""
        self._members[member] = None

    # --- on the thread ----------------------------------------------------------------------

    def remove(self, member: LoopMember) -> None:
        """Let go of a member that has ended; the last one ends the thread."""
        with _lock:
            self._members.pop(member, None)
            if self._members:
                return
            _close_to_new_members(self)
        self.loop.stop()

    def _run(self) -> None:
        _idents.add(threading.get_ident())
        try:
            self._run_loop()
        finally:
            _idents.discard(threading.get_ident())

    def _run_loop(self) -> None:
        try:
            self.loop.run_forever()
        except BaseException as error:  # noqa: BLE001 -- what ends the thread is told to the user
            self._fail_all(error)
            # Closes the sockets, as far as that is still possible.
            if self._members:
                with contextlib.suppress(BaseException):
                    self.loop.run_forever()
        finally:
            with _lock:
                _close_to_new_members(self)
            for member in list(self._members):
                member.on_loop_ended()
            with contextlib.suppress(BaseException):
                self._end_tasks()
            self.loop.close()
            # Waits for sockets that linger; without members there are few.
            self.context.term()

    def _end_tasks(self) -> None:
        """Let what was cancelled come to its end, as `asyncio.run` does: it may have sockets."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=_END_SECONDS_MAX))

    def _on_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the member whose call raised: what is called on the loop never raises.

        Without an exception no call has raised. The loop complains of a task that was dropped, for
        example, when the garbage collector finds it: perhaps within the call of another client, or
        of one of another loop.
        """
        error, member = context.get("exception"), _member_of(context)
        if error is None or not self._members:
            line = f"client.loop.complained message={context.get('message')!r}"
            exc_info = None if error is None else (type(error), error, error.__traceback__)
            BACKGROUND_LOG.write("zreg.client", logging.ERROR, line, exc_info)
        elif member in self._members:
            member.fail(error)
        else:
            self._fail_all(error)

    def _fail_all(self, error: BaseException) -> None:
        with _lock:
            _close_to_new_members(self)
            members = list(self._members)
        for member in members:
            member.fail(error)

    def __repr__(self) -> str:
        """Show how many members it has."""
        return f"<LoopThread members={len(self._members)}>"


# A finalizer may make or end a client in the middle of a call.
_lock = threading.RLock()
# The thread that new clients share.
_shared: LoopThread | None = None
# The threads of this process that run clients.
_idents: set[int] = set()
# What a forked child must not collect: its descriptors belong to the parent as well.
_of_parents: list[LoopThread] = []


def join_loop_thread(member: LoopMember) -> LoopThread:
    """Return the thread that runs clients, which now also runs this one.

    Raises `UnavailableError` if the process has no descriptor or thread left for one more client.
    """
    global _shared  # noqa: PLW0603 -- there is one for the process
    with _lock:
        if _shared is None:
            check_descriptors(OF_THE_FIRST_CLIENT, "a client")
            # The member comes first: without one the thread would not know when to end.
            _shared = LoopThread(member)
            try:
                _shared.start()
            except BaseException:
                _shared = None
                raise
        else:
            check_descriptors(OF_A_FURTHER_CLIENT, "one more client")
            _shared.add(member)
        return _shared


def is_loop_thread() -> bool:
    """Whether the caller is on a thread of clients: the collector may run on any of them."""
    return threading.get_ident() in _idents


def _member_of(context: dict[str, Any]) -> LoopMember | None:
    """Return the member for which the call was made that raised; None if that is not known."""
    for what in ("handle", "task", "future"):
        # `get_context` exists since Python 3.12.
        found = getattr(context.get(what), "_context", None)
        if isinstance(found, contextvars.Context):
            return found.get(MEMBER)
    return MEMBER.get(None)


def _close_to_new_members(thread: LoopThread) -> None:
    """Have new clients use another thread. Needs `_lock`."""
    global _shared  # noqa: PLW0603 -- there is one for the process
    if _shared is thread:
        _shared = None


def _on_forked() -> None:
    # The threads of the parent are not here, and one of them may have held the lock.
    global _lock, _shared
    if _shared is not None:
        _of_parents.append(_shared)
    _lock, _shared = threading.RLock(), None
    _idents.clear()


closing.reset_in_children(_on_forked)
