"""Which signals end a node or a command in good order."""

import signal
from typing import Final

_ALWAYS: Final = (signal.SIGTERM, signal.SIGINT)


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return SIGTERM, SIGINT and SIGHUP; without SIGHUP under `nohup`, which has it ignored.

    A shell has SIGINT ignored in background processes as well, which may still be sent on purpose.
    """
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return _ALWAYS if is_ignored else (*_ALWAYS, signal.SIGHUP)


def unblock_stop_signals() -> None:
    """Receive the stop signals, also if the program that started this process has them blocked."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop_signals())


def is_urgent(number: signal.Signals) -> bool:
    """Return whether a second signal like this one ends a process at once, without goodbyes.

    A terminal that is closed may send SIGHUP twice.
    """
    return number != signal.SIGHUP
