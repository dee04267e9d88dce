"""The standard streams of this process: closed, full, or unable to encode a character.

A command that cannot write its output ends with one sentence and exit code 1. What cannot be
written to stderr is dropped, because there is no other place for it, and changes no exit code. A
character that a stream cannot encode is written as an escape.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Final, TextIO, cast

from zreg.cli.exits import CommandFailedError, ReaderGoneError

_DESCRIPTORS: Final = (0, 1, 2)
_ADVICE: Final = "redirect it to another place"


def open_descriptors() -> None:
    """Lead each closed one of stdin, stdout and stderr to /dev/null; call it before all else.

    Otherwise the next socket or file would get the number of the closed one, and what a library
    writes to stderr would reach a peer or a journal.
    """
    for number in _DESCRIPTORS:
        try:
            os.fstat(number)
        except OSError:
            # The kernel gives the lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 -- its own form


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Let `sys.stdout` and `sys.stderr` fail as described above, for the length of the block."""
    stdout, stderr = cast("list[TextIO | None]", [sys.stdout, sys.stderr])
    output, errors = _Output(stdout), _Errors(stderr)
    sys.stdout, sys.stderr = cast("list[TextIO]", [output, errors])
    try:
        yield
    finally:
        errors.drop_unwritten()
        output.end()
        errors.end()
        # None where they were closed: what Python writes there when it ends has no place.
        sys.stdout, sys.stderr = cast("list[TextIO]", [stdout, stderr])


def drop_output() -> None:
    """Discard what an interrupted command has not written: a full pipe may have no reader."""
    if isinstance(sys.stdout, _Output):
        sys.stdout.drop()


class _Stream:
    """A text stream, or a substitute for one that is closed."""

    def __init__(self, stream: TextIO | None) -> None:
        self.is_closed = stream is None
        self._stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115, PTH123 -- for the life of the process
        if isinstance(self._stream, io.TextIOWrapper):
            # It looks where the stream stands, which fails if that is another file by now.
            with contextlib.suppress(OSError):
                self._stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> object:
        """Return what the stream itself has."""
        return getattr(self._stream, name)

    def drop(self) -> None:
        """Discard buffered text: the interpreter would try to write it once more when it ends."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def end(self) -> None:
        """Close the substitute of a closed stream."""
        if self.is_closed:
            self._stream.close()


class _Output(_Stream):
    """Stdout: a failure is `ReaderGoneError` or `CommandFailedError`."""

    def write(self, text: str) -> int:
        """Write text, which may stay in a buffer until `flush`."""
        if self.is_closed:
            raise CommandFailedError(f"the output cannot be written (it is closed): {_ADVICE}")
        with self._explaining():
            return self._stream.write(text)

    def flush(self) -> None:
        """Write what is in the buffer."""
        with self._explaining():
            self._stream.flush()

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError as error:
            self.drop()
            raise ReaderGoneError from error
        except OSError as error:
            self.drop()
            raise CommandFailedError(
                f"the output cannot be written ({error.strerror}): {_ADVICE}"
            ) from error


# ValueError: a stream in memory, or a substitute, that was closed meanwhile.
_UNWRITABLE: Final = (OSError, ValueError)


class _Errors(_Stream):
    """Stderr: it takes everything, also while its disk is full, and goes on when there is space."""

    def write(self, text: str) -> int:
        """Write text, as far as that is possible."""
        with contextlib.suppress(*_UNWRITABLE):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is in the buffer, as far as that is possible."""
        with contextlib.suppress(*_UNWRITABLE):
            self._stream.flush()

    def drop_unwritten(self) -> None:
        """Discard what could not be written; it would change the exit code of the process."""
        try:
            self._stream.flush()
        except _UNWRITABLE:
            self.drop()
