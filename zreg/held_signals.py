"""Hold signals back while modules are loaded."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signals_held() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM wait until the block is left.

    msgspec makes decoders in C while the modules of records are loaded; an exception of a signal
    handler there crashes the process or is lost.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
