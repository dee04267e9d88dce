"""A directory serves one node: a second one learns which process holds it."""

import errno
import fcntl
import logging
import os
from pathlib import Path

import pytest

from zreg.errors import UsageError
from zreg.storage.directory_lock import DirectoryLock


def test_a_second_node_learns_which_process_holds_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "made" / "for it"
    first = DirectoryLock(path)
    assert repr(first) == f"<DirectoryLock {path} held>"

    with pytest.raises(UsageError) as caught:
        DirectoryLock(path)

    said = str(caught.value)
    assert said.startswith(f"{path} is in use by process {os.getpid()} (")
    assert said.endswith("): stop that one, or give each node a --dir of its own")
    first.release()
    first.release()
    assert repr(first) == f"<DirectoryLock {path} released>"
    DirectoryLock(path).release()


def test_a_holder_that_the_kernel_does_not_show_is_called_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zreg.storage.directory_lock._LOCKS", tmp_path / "none")
    first = DirectoryLock(tmp_path)

    with pytest.raises(UsageError, match="is in use by another process: stop that one"):
        DirectoryLock(tmp_path)
    first.release()


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"file cannot be used: File exists; name another --dir"):
        DirectoryLock(tmp_path / "file")


def test_a_file_system_without_locks_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING):
        DirectoryLock(tmp_path).release()

    assert "directory.unlocked" in caplog.text
    assert "No locks available" in caplog.text


def test_a_lock_knows_that_its_directory_was_removed_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "node"
    lock = DirectoryLock(path)
    assert not lock.is_lost

    path.rmdir()
    assert lock.is_lost
    path.mkdir()
    assert lock.is_lost
    lock.take()
    assert not lock.is_lost
    with pytest.raises(UsageError, match="is in use by process"):
        DirectoryLock(path)
    lock.release()
    assert lock.is_lost


def test_a_directory_that_another_node_took_meanwhile_is_not_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "node"
    lock = DirectoryLock(path)
    path.rmdir()
    other = DirectoryLock(path)

    with pytest.raises(UsageError, match="is in use by process"):
        lock.take()
    assert lock.is_lost
    assert not other.is_lost
    other.release()


def test_a_directory_that_cannot_be_looked_at_is_not_taken_for_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    lock = DirectoryLock(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", fail)
        assert not lock.is_lost
    lock.release()
