"""Show something again and again, as `--watch` does, until Ctrl-C."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from zreg.cli.output import complain, say
from zreg.cli.process.streams import drop_output
from zreg.errors import RefusedError, UnavailableError

_SECONDS: Final = 1.0
_CLEAR: Final = "\x1b[H\x1b[2J"


def now_text() -> str:
    """Return the local time with its date and zone, to the millisecond."""
    return datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")


def show_again(show: Callable[[], object], *, is_for_programs: bool) -> None:
    """Call `show` each second until Ctrl-C, which ends it with success.

    A terminal is cleared before each time. In a pipe, a line with the time stands before each one,
    except for programs, which get one JSON document each. While no node answers, it goes on.
    """
    is_terminal = sys.stdout.isatty()
    try:
        while True:
            if is_terminal:
                sys.stdout.write(_CLEAR)
            if not is_for_programs:
                say(f"{now_text()}  (Ctrl-C ends this)" if is_terminal else now_text())
            try:
                show()
            except (UnavailableError, RefusedError) as error:
                complain(str(error))
            time.sleep(_SECONDS)
    except KeyboardInterrupt:
        drop_output()
