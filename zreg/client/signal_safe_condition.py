"""A condition that Ctrl-C cannot leave locked.

`threading.Condition` enters and leaves its lock in Python code. A signal handler that raises, as
that of Ctrl-C does, may run between the lock and the block that it guards, or between the block and
the unlock. The lock then stays held for good, and every other thread waits for it.
"""

import threading
from operator import attrgetter
from typing import Any, Final

# A thread that waits longer than this looks up in between. CPython runs no handler for a signal
# that comes between its last look for signals and the wait in the kernel, until the wait ends:
# Ctrl-C would do nothing, about once in 2,000 times with two busy processors.
WAIT_SECONDS_MAX: Final = 0.5


class SignalSafeCondition(threading.Condition):
    """A condition whose `with` statement locks and unlocks without any Python code.

    The interpreter runs no handler between a lock in C and the block: a signal finds the lock free,
    or the block entered.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        super().__init__(self.lock)

    __enter__: Any = property(attrgetter("lock.__enter__"))
    __exit__: Any = property(attrgetter("lock.__exit__"))
