"""Run `zreg` commands in the process of a test: starting one takes longer than most commands."""

import io
import logging
import signal
import sys
import tempfile
from typing import NamedTuple

import pytest
from loguru import logger

from zreg.cli.app import run


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def inline_zreg(*arguments: str, encoding: str = "utf-8", is_terminal: bool = False) -> Ended:
    """Run a command that ends by itself, with streams of this encoding."""
    out, err = _Stream(encoding, is_terminal=is_terminal), _Stream(encoding, is_terminal=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    client_filters = logging.getLogger("zreg.client").filters[:]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    signals = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        try:
            code = run(list(arguments))
        except SystemExit as error:
            # So ends what answers a completion script.
            code = int(error.code or 0)
        finally:
            logger.remove()
            root.handlers[:] = handlers
            root.setLevel(level)
            logging.getLogger("zreg.client").filters[:] = client_filters
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for number, handler in signals.items():
                signal.signal(number, handler)
    return Ended(code, out.text(), err.text())


class _Stream(io.TextIOWrapper):
    """A text stream into a file that may say that it is a terminal."""

    def __init__(self, encoding: str, *, is_terminal: bool) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `text`
        self._is_terminal = is_terminal
        super().__init__(self._file, encoding=encoding)

    def isatty(self) -> bool:
        return self._is_terminal

    def text(self) -> str:
        """Return what was written, and close the file."""
        self.flush()
        self._file.seek(0)
        text = self._file.read().decode(self.encoding)
        self.close()
        return text
