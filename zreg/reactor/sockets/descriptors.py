"""Whether this process may open more descriptors.

libzmq ends the whole process if a context gets none for its threads, and reports a connection for
which there was none as refused. So they are counted before libzmq asks for them.
"""

import os
from typing import Final

from zreg.errors import UnavailableError

# An epoll and a mailbox.
OF_AN_IO_THREAD: Final = 2
# The termination of a context, its reaper, and one I/O thread.
OF_A_CONTEXT: Final = 3 + OF_AN_IO_THREAD
# A socket's mailbox, both ends of its monitor, and the TCP connection.
OF_A_CONNECTION: Final = 4


def check_descriptors(count: int, what: str) -> None:
    """Raise `UnavailableError` if this process cannot open so many descriptors now.

    `what` needs them. Another thread may still take them: then the error comes later and is worse.
    """
    opened: list[int] = []
    try:
        while len(opened) < count:
            opened += os.pipe()
    except OSError as error:
        raise UnavailableError(
            f"{what} needs {count} descriptors and this process has only {len(opened)} left "
            f"({error.strerror}): close what it leaves open, or raise its limit (ulimit -n, "
            "LimitNOFILE=)"
        ) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)
