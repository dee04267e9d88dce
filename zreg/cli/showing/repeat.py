"""Show something again and again, as `--watch` does, until Ctrl-C."""

import itertools
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from zreg.cli.output import complain, say
from zreg.cli.process.streams import drop_output
from zreg.errors import RefusedError, UnavailableError

_SECONDS: Final = 1.0
_CLEAR: Final = "\x1b[H\x1b[2J"

Found = TypeVar("Found")


def now_text() -> str:
    """Return the local time with its date and zone, to the millisecond."""
    return datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")


def show_again(
    look: Callable[[], Found],
    show: Callable[[Found], object],
    *,
    is_for_programs: bool,
    seconds: float = _SECONDS,
    count: int | None = None,
) -> None:
    """Look, show what was found, and pause, until Ctrl-C, which ends it with success.

    A terminal keeps what it shows until the next look is made. In a pipe, a line with the time
    stands before each one, except for programs, which get one JSON document each. While no node
    answers, it goes on. It ends after `count` looks, with the error of the last one if it failed.
    """
    is_terminal = sys.stdout.isatty()
    try:
        for number in itertools.count(1):
            found: Found | UnavailableError | RefusedError
            try:
                found = look()
            except (UnavailableError, RefusedError) as error:
                if number == count:
                    raise
                found = error
            if is_terminal:
                sys.stdout.write(_CLEAR)
            if not is_for_programs:
                say(f"{now_text()}  (Ctrl-C ends this)" if is_terminal else now_text())
            if isinstance(found, UnavailableError | RefusedError):
                complain(str(found))
            else:
                show(found)
            if number == count:
                return
            time.sleep(seconds)
    except KeyboardInterrupt:
        drop_output()
