"""What a command writes suits the encoding of stdout, and an output that fails has its sentence."""

import io
import json
import sys

import pytest

from zreg.cli.exits import CommandFailedError, ReaderGoneError
from zreg.cli.output import announce, say, say_json
from zreg.cli.process.streams import standard_streams
from zreg.cli.showing.tables import table_text


class Failing(io.StringIO):
    """A stream that fails with an error at each flush."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def flush(self) -> None:
        raise self.error


def stdout_with(encoding: str, monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Let stdout have an encoding, as the locale or PYTHONIOENCODING says; return what it gets."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    return written


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_every_line_can_be_written_in_every_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = stdout_with(encoding, monkeypatch)
    value = "\u00f6 \u6ce8 \U0001f600 \udcff"

    with standard_streams():
        say(value)
        say_json({"value": value})

    line, document = written.getvalue().decode(encoding).splitlines()
    assert line == value.encode(encoding, "backslashreplace").decode(encoding)
    assert json.loads(document) == {"value": value}


@pytest.mark.parametrize(("encoding", "line"), [("ascii", "-"), ("utf-8", "\u2500")])
def test_a_table_keeps_its_columns_whatever_is_escaped(
    encoding: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout_with(encoding, monkeypatch)

    rows = [["\u6ce8\u6587", "1"], ["plain", "2"]]
    text = [row for row in table_text(["id", "x"], rows).splitlines() if row.strip()]
    head, below, *lines = text

    assert set(below.strip()) == {line}
    assert [row.split()[1] for row in (head, *lines)] == ["x", "1", "2"]
    if encoding == "ascii":
        assert len({row.index(row.split()[1]) for row in (head, *lines)}) == 1


def test_an_output_that_fails_has_its_own_error_for_each_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stream, kind, text in (
        (None, CommandFailedError, r"cannot be written \(it is closed\): redirect it"),
        (Failing(OSError(28, "No space left")), CommandFailedError, r"\(No space left\): redirect"),
        (Failing(BrokenPipeError(32, "Broken pipe")), ReaderGoneError, "^$"),
    ):
        monkeypatch.setattr(sys, "stdout", stream)
        with standard_streams(), pytest.raises(kind, match=text):
            say("line")
        assert sys.stdout is stream


def test_a_failing_stderr_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, Failing(OSError(28, "No space left"))):
        monkeypatch.setattr(sys, "stderr", stream)
        with standard_streams():
            sys.stderr.write("sentence\n")
            sys.stderr.flush()
        assert sys.stderr is stream


@pytest.mark.parametrize("error", [OSError(28, "No space left"), BrokenPipeError(32, "Broken")])
def test_a_registry_runs_on_if_only_lines_for_people_are_lost(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(error))
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    with standard_streams():
        announce(["ready"], is_for_programs=False)
        with pytest.raises(CommandFailedError, match=r"cannot be written|has closed the pipe"):
            announce(["{}"], is_for_programs=True)
