"""A condition that Ctrl-C cannot leave locked.

`threading.Condition` enters and leaves its lock in Python code. A signal handler that raises, as
that of Ctrl-C does, may run between the lock and the block that it guards, or between the block and
the unlock. The lock then stays held for good, and every other thread waits for it.
"""

import threading
from operator import attrgetter
from typing import Any


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
