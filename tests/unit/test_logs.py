"""A log line never makes a node wait."""

import fcntl
import io
import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from zreg.cli.process.logs import LogStream


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Return both ends of a small pipe."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 8192)
    with os.fdopen(writer, "w") as stream:
        yield reader, stream
        os.close(reader)


def test_lines_are_dropped_and_counted_while_nothing_reads_them(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    log = LogStream(stream, notice_prefix="<4>")

    for _ in range(20):
        log.write("x" * 999 + "\n")
    count = len(os.read(reader, 100_000)) // 1000
    log.write("kept\n")

    assert 4 <= count <= 8
    assert os.read(reader, 1000).decode() == f"<4>log.dropped lines={20 - count}\nkept\n"


def test_a_line_that_is_longer_than_the_room_is_cut_instead_of_waited_for(
    pipe: tuple[int, TextIO],
) -> None:
    reader, stream = pipe

    LogStream(stream).write("\u6ce8" * 10_000 + "\n")

    assert 4096 <= len(os.read(reader, 100_000)) <= 8192


def test_a_stream_without_a_descriptor_takes_every_line() -> None:
    stream = io.StringIO()

    LogStream(stream).write("line\n")

    assert (stream.getvalue(), LogStream(stream).isatty()) == ("line\n", False)
