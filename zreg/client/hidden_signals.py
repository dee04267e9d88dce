"""Leave the signals of the process to the threads of the program.

A signal goes to any thread that does not block it, most likely to one that starts a thread just
then. Python runs the handler on the main thread, and the main thread learns of it at once only if
it is the thread that was interrupted. A signal that a thread of zreg takes while the main thread
waits for a lock or an event would wait as long: Ctrl-C and SIGTERM would do nothing.
"""

import signal
import threading
import weakref
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Final

# Not those that a fault of the thread itself causes, nor those of profilers.
_SIGNALS: Final = frozenset(
    {
        signal.SIGALRM,
        signal.SIGCHLD,
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    }
)
# What is hidden from a thread, besides what its starter had blocked itself.
_hidden: "weakref.WeakKeyDictionary[threading.Thread, AbstractSet[int]]" = (
    weakref.WeakKeyDictionary()
)


def start_without_signals(thread: threading.Thread) -> None:
    """Start a thread that no signal for the process reaches, nor the threads that it starts."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        _hidden[thread] = hidden_signals() | (_SIGNALS - former)
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def hidden_signals() -> AbstractSet[int]:
    """Return what is hidden from this thread, and from each thread that it starts."""
    return _hidden.get(threading.current_thread(), frozenset())


def show_signals(hidden: AbstractSet[int]) -> None:
    """Let this thread have signals again: what the user's code starts inherits its mask."""
    if hidden:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, hidden)


@contextmanager
def shown_signals() -> Iterator[None]:
    """Let this thread have signals while it runs the user's code."""
    hidden = hidden_signals()
    if not hidden:
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_UNBLOCK, hidden)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
