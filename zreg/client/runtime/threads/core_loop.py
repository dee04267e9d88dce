"""The event loop on which clients run."""

import asyncio
import select
import selectors

from zreg.errors import UnavailableError


class GreenWaits:
    """What a selector adds for a loop that shares its thread with others, each on a greenlet.

    Greenlets change where a loop waits. asyncio remembers the running loop of a thread, so it must
    forget this one meanwhile: the loop of another client may run.
    """

    loop: asyncio.AbstractEventLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, and let other loops run."""
        asyncio._set_running_loop(None)  # noqa: SLF001 -- documented, for event loops
        try:
            ready: list[tuple[selectors.SelectorKey, int]] = super().select(timeout)  # type: ignore[misc]  # a selector
        finally:
            asyncio._set_running_loop(self.loop)  # noqa: SLF001 -- the same
        return ready


def new_loop() -> asyncio.SelectorEventLoop:
    """Return a loop of asyncio itself, not of a policy that the program has set.

    Raises `UnavailableError` if it cannot be made.
    """
    selector = _new_selector()
    try:
        loop = asyncio.SelectorEventLoop(selector)
    except OSError as error:
        selector.close()
        raise UnavailableError(f"a client's event loop cannot be made: {error}") from error
    if isinstance(selector, GreenWaits):
        selector.loop = loop
    return loop


def _new_selector() -> selectors.BaseSelector:
    """Return epoll's, or one for greenlets if they are in the place of threads.

    Looked up for each loop: gunicorn's workers have greenlets where their parent has threads.
    """
    # Gevent and eventlet take it away when they put greenlets in the place of threads.
    if hasattr(select, "epoll"):
        return selectors.EpollSelector()
    # Without epoll: poll looks at each descriptor of each client at each wake-up.
    base: type[selectors.BaseSelector] = getattr(
        selectors, "PollSelector", selectors.DefaultSelector
    )
    selector: selectors.BaseSelector = type("GreenSelector", (GreenWaits, base), {})()
    return selector
