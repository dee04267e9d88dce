"""What forks and signals wait for, and what a forked child does first.

`import zreg` loads this module, so that its hooks of forks are there before those of the program.
"""

# Its hook, which takes a lock that loads need, is to be added before the one below: hooks before a
# fork run last in, first out.
import logging  # noqa: F401
import os
import signal
from _thread import RLock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# Both waits end: the one may hold a lock of the program that the other one wants.
_LOAD_SECONDS_MAX: Final = 5.0
_FORK_SECONDS_MAX: Final = 1.0


@contextmanager
def loading() -> Iterator[None]:
    """Have Ctrl-C, SIGTERM and forks wait until the block, which loads modules, is left.

    msgspec makes decoders in C while the modules of records are loaded; an exception of a signal
    handler there crashes the process or is lost. A child that another thread forks meanwhile would
    wait for ever with its first use of zreg: the thread that loads the module is not there.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        with without_forks():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextmanager
def without_forks() -> Iterator[None]:
    """Have forks of other threads wait until the block is left."""
    is_alone = _LOADS_AND_FORKS.acquire(timeout=_FORK_SECONDS_MAX)
    try:
        yield
    finally:
        if is_alone:
            _LOADS_AND_FORKS.release()


def call_in_children(call: Callable[[], None]) -> None:
    """Have forked children make this call before any hook of the program, which may use zreg.

    The interpreter runs hooks in the order in which they were added. What adds its call here is
    loaded with the first use of zreg, and the program may have added a hook before.
    """
    _calls_in_children.append(call)


_calls_in_children: Final[list[Callable[[], None]]] = []

# Held by the thread that forks, or does what no fork may cut in two.
_LOADS_AND_FORKS: Final = RLock()


class _Fork:
    """The fork of this process that is under way."""

    is_alone = False

    def begin(self) -> None:
        self.is_alone = _LOADS_AND_FORKS.acquire(timeout=_LOAD_SECONDS_MAX)

    def end_in_parent(self) -> None:
        if self.is_alone:
            self.is_alone = False
            _LOADS_AND_FORKS.release()

    def end_in_child(self) -> None:
        self.end_in_parent()
        for call in _calls_in_children:
            call()


_FORK: Final = _Fork()
os.register_at_fork(
    before=_FORK.begin, after_in_parent=_FORK.end_in_parent, after_in_child=_FORK.end_in_child
)
