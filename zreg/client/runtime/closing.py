"""The ends of clients that no call of `close` asked for: of the process, of a fork, of a drop."""

import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from zreg.client.runtime.lifecycle import CLOSED
from zreg.forks_and_signals import call_in_children

CLOSE_SECONDS_MAX: Final = 1.0
DROPPED: Final = "this client was dropped without close()"
ENDED: Final = "this client was closed as its process ended"
# The goodbyes take a second at most; the interpreter stops daemon threads right after them.
_HOLD_SECONDS: Final = CLOSE_SECONDS_MAX + 1.0


class Closable(Protocol):
    """One running client: a `Runtime`."""

    def begin_close(self, why: str) -> None:
        """Say goodbye."""
        ...

    def finish_close(self, deadline: float) -> None:
        """Wait until the goodbye has left, but not beyond the deadline."""
        ...

    def on_forked(self) -> None:
        """Note that this is a forked child."""
        ...


# What a forked child makes anew before its clients learn of the fork.
_resets: list[Callable[[], None]] = []
# The runtimes that are not garbage: for the end of the process, and for forked children.
_running: "weakref.WeakSet[Closable]" = weakref.WeakSet()


def add(runtime: Closable) -> None:
    """Close this one too at the end of the process."""
    _running.add(runtime)


def reset_in_children(reset: Callable[[], None]) -> None:
    """Have forked children call this before their clients may begin afresh.

    What runs clients is loaded with the first client, so a call of its own would come later.
    """
    _resets.append(reset)


def running() -> list[Closable]:
    """Return the runtimes of this process that are not garbage."""
    return list(_running)


def close_all(
    runtimes: Sequence[Closable], timeout_seconds: float = CLOSE_SECONDS_MAX, *, why: str = CLOSED
) -> None:
    """Close several clients together, within the time of one."""
    deadline = time.monotonic() + timeout_seconds
    for runtime in runtimes:
        runtime.begin_close(why)
    for runtime in runtimes:
        runtime.finish_close(deadline)


def hold_daemon_thread(why_closed: str) -> None:
    """Keep a daemon thread whose wait was ended by the end of the process.

    It ends with the process. An error now would only print a traceback, as the last words of a
    program in which nothing is wrong. The hold is bounded, because a hook of the program may join
    the thread.
    """
    if why_closed == ENDED and threading.current_thread().daemon:
        time.sleep(_HOLD_SECONDS)


def warn_dropped(
    runtime: Closable,
    addresses: str,
    *,
    kind: str = "zreg.Client",
    is_loop_thread: bool = False,
) -> None:
    """Warn of a client that the program has dropped without closing it.

    What shows a warning is the user's code. It does not run on the thread of all clients, which
    drops the last reference if it has just taken one for an event.
    """

    def warn(source: Closable | None) -> None:
        message = f"unclosed {kind} for {addresses}: call close(), or use it in a with block"
        warnings.warn(message, ResourceWarning, stacklevel=3, source=source)

    if is_loop_thread:
        threading.Thread(target=warn, args=(None,), name="zreg-warning", daemon=True).start()
    else:
        warn(runtime)


def _on_forked() -> None:
    for reset in _resets:
        reset()
    for runtime in running():
        runtime.on_forked()


call_in_children(_on_forked)
