"""The ends of clients that no call of `close` asked for: of the process, of a fork, of a drop."""

import os
import threading
import time
import warnings
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zreg.client.runtime.lifecycle import CLOSED

if TYPE_CHECKING:
    from zreg.client.runtime.runtime import Runtime

CLOSE_SECONDS_MAX: Final = 1.0
DROPPED: Final = "this client was dropped without close()"

# The runtimes that are not garbage: for the end of the process, and for forked children.
_running: "weakref.WeakSet[Runtime]" = weakref.WeakSet()


def add(runtime: "Runtime") -> None:
    """Close this one too at the end of the process."""
    _running.add(runtime)


def running() -> "list[Runtime]":
    """Return the runtimes of this process that are not garbage."""
    return list(_running)


def close_all(
    runtimes: "Sequence[Runtime]", timeout_seconds: float = CLOSE_SECONDS_MAX, *, why: str = CLOSED
) -> None:
    """Close several clients together, within the time of one."""
    deadline = time.monotonic() + timeout_seconds
    for runtime in runtimes:
        runtime.begin_close(why)
    for runtime in runtimes:
        runtime.finish_close(deadline)


def warn_dropped(runtime: "Runtime", addresses: str) -> None:
    """Warn of a client that the program has dropped without closing it.

    What shows a warning is the user's code. It does not run on the loop's thread, which drops the
    last reference if it has just taken one for an event.
    """

    def warn(source: "Runtime | None") -> None:
        message = f"unclosed zreg.Client for {addresses}: call close(), or use it in a with block"
        warnings.warn(message, ResourceWarning, stacklevel=3, source=source)

    if runtime.core_thread.is_current:
        threading.Thread(target=warn, args=(None,), name="zreg-warning", daemon=True).start()
    else:
        warn(runtime)


def _on_forked() -> None:
    for runtime in running():
        runtime.on_forked()


os.register_at_fork(after_in_child=_on_forked)
