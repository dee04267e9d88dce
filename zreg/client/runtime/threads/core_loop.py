"""The event loop on which clients run."""

import asyncio
import select
import selectors
from typing import Final

from zreg.errors import UnavailableError

# Without epoll: poll looks at each descriptor of each client at each wake-up.
_Selector: Final[type[selectors.BaseSelector]] = getattr(
    selectors, "PollSelector", selectors.DefaultSelector
)
# Gevent and eventlet take it away when they put greenlets in the place of threads.
_HAS_THREADS: Final = hasattr(select, "epoll")


class GreenSelector(_Selector):  # type: ignore[misc,valid-type]  # one of two classes
    """A selector for a loop that shares its thread with other loops, each on a greenlet.

    Greenlets change where a loop waits. asyncio remembers the running loop of a thread, so it must
    forget this one meanwhile: the loop of another client may run.
    """

    loop: asyncio.AbstractEventLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, and let other loops run."""
        asyncio._set_running_loop(None)  # noqa: SLF001 -- documented, for event loops
        try:
            ready: list[tuple[selectors.SelectorKey, int]] = super().select(timeout)
        finally:
            asyncio._set_running_loop(self.loop)  # noqa: SLF001 -- the same
        return ready


def new_loop() -> asyncio.SelectorEventLoop:
    """Return a loop of asyncio itself, not of a policy that the program has set.

    Raises `UnavailableError` if it cannot be made.
    """
    selector = selectors.EpollSelector() if _HAS_THREADS else GreenSelector()
    try:
        loop = asyncio.SelectorEventLoop(selector)
    except OSError as error:
        selector.close()
        raise UnavailableError(f"a client's event loop cannot be made: {error}") from error
    if isinstance(selector, GreenSelector):
        selector.loop = loop
    return loop
