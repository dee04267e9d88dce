"""A zreg.toml in any encoding is read or named with it, and a forbidden place is named."""

import codecs
import errno
import os
from pathlib import Path

import pytest

from zreg.client.locating.registry_url import configured_url
from zreg.client.locating.settings_file import ForbiddenError, find_settings, read_settings
from zreg.errors import UsageError

TEXT = '[client]\r\nurl = "zreg://there:1"\r\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "zreg.toml"


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let this process not enter a folder, as one of another user."""
    really_stat, really_open = os.stat, Path.open

    def refuse(path: object) -> None:
        if Path(str(path)).parent == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def stat(path: object, **more: object) -> os.stat_result:
        refuse(path)
        return really_stat(path, **more)  # type: ignore[call-overload, no-any-return]

    def opened(path: Path, *more: object, **named: object) -> object:
        refuse(path)
        return really_open(path, *more, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(Path, "open", opened)


def test_a_byte_order_mark_of_utf8_is_no_part_of_the_text(path: Path) -> None:
    path.write_bytes(codecs.BOM_UTF8 + TEXT.encode())

    assert configured_url({}, [path]) == "zreg://there:1"


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", " is encoded in UTF-16, as its byte order mark says: save it as UTF-8"),
        ("utf-32", " is encoded in UTF-32, as its byte order mark says: save it as UTF-8"),
        ("utf-16-le", " holds zero bytes, as UTF-16 does, and is no UTF-8: save it as UTF-8"),
        ("utf-16-be", " holds zero bytes, as UTF-16 does, and is no UTF-8: save it as UTF-8"),
    ],
)
def test_another_encoding_is_named(path: Path, encoding: str, said: str) -> None:
    path.write_bytes(TEXT.encode(encoding))

    with pytest.raises(UsageError) as caught:
        read_settings(path)
    assert str(caught.value) == f"{path}{said}"


def test_a_byte_that_is_no_utf8_is_named_with_its_line(path: Path) -> None:
    path.write_bytes(b"# fine\nzone = '\xe9t\xe9'\n")

    with pytest.raises(UsageError, match=r"zreg\.toml, line 2: the byte 0xe9 is no UTF-8: save"):
        read_settings(path)


def test_a_place_without_a_file_is_skipped(path: Path) -> None:
    path.mkdir()
    nowhere = [path, path / "none" / "zreg.toml"]

    assert list(find_settings(nowhere, pytest.fail)) == []
    path.joinpath("file").touch()
    assert read_settings(path / "file" / "zreg.toml") is None


def test_a_pipe_can_be_read() -> None:
    """A shell makes one of `-c <(...)`."""
    reader, writer = os.pipe()
    os.write(writer, TEXT.encode())
    os.close(writer)

    found = read_settings(Path(f"/dev/fd/{reader}"))
    os.close(reader)

    assert found is not None
    assert found.values == {"client": {"url": "zreg://there:1"}}


def test_a_folder_that_may_not_be_entered_is_named_and_the_next_place_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    private, system = tmp_path / "private", tmp_path / "system.toml"
    system.write_text(TEXT)
    forbid(monkeypatch, private)
    said: list[str] = []

    with pytest.raises(ForbiddenError):
        read_settings(private / "zreg.toml")
    assert configured_url({}, [private / "zreg.toml", system], warn=said.append) == "zreg://there:1"
    sentence = (
        f"{private}/zreg.toml may not be read by this user (Permission denied): permit it, or "
        "start this in another folder; until then its settings are left out"
    )
    assert said == [sentence]
    assert configured_url({}, [private / "zreg.toml"]) is None
    assert "client.settings.forbidden detail=" in caplog.text
