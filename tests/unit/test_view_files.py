"""The files of a cache directory: replaced as a whole, private, and trimmed to the limits."""

import os
from pathlib import Path

import pytest
from view_fakes import A, make_record

from zreg.client.cache import retention, view_files
from zreg.client.cache.view_files import ViewFiles
from zreg.model import DataInfoId, Scope, Version
from zreg.wire.cached_view import CachedView, CachedViewError, encode_cached_view

IDS = [DataInfoId(f"{name}#@#I#@#G") for name in ("pay", "ship", "mail")]


def view_of(files: ViewFiles, data_info_id: DataInfoId = IDS[0], size: int = 1) -> CachedView:
    record = make_record(A, "x" * size)
    return CachedView(files.key(data_info_id, Scope.ZONE), 5.0, Version(1, 1), (record,))


@pytest.fixture
def files(tmp_path: Path) -> ViewFiles:
    return ViewFiles(tmp_path / "deep" / "views", cluster="c", data_center="dc", zone="z")


def names(files: ViewFiles) -> set[str]:
    return {path.name for path in files.directory.iterdir()}


def test_a_view_is_read_back_and_replaced(files: ViewFiles) -> None:
    first, second = view_of(files), view_of(files, size=9)
    assert files.read(first.key) is None

    files.write(first)
    assert files.read(first.key) == first
    files.write(second)
    assert files.read(first.key) == second
    assert names(files) == {files.path(first.key).name}


def test_only_this_user_may_read_what_is_cached(files: ViewFiles) -> None:
    view = view_of(files)
    files.write(view)

    assert files.directory.stat().st_mode & 0o777 == 0o700
    assert files.path(view.key).stat().st_mode & 0o777 == 0o600


def test_clients_of_other_clusters_and_zones_have_files_of_their_own(files: ViewFiles) -> None:
    files.write(view_of(files))
    for labels in (("c2", "dc", "z"), ("c", "dc2", "z"), ("c", "dc", "z2")):
        cluster, data_center, zone = labels
        other = ViewFiles(files.directory, cluster=cluster, data_center=data_center, zone=zone)
        assert other.read(other.key(IDS[0], Scope.ZONE)) is None


def test_what_is_no_file_of_this_user_is_not_read(
    files: ViewFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    view = view_of(files)
    files.write(view)
    path = files.path(view.key)
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(CachedViewError, match="another user"):
            files.read(view.key)

    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CachedViewError, match="not a plain file"):
        files.read(view.key)
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(encode_cached_view(view))
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        files.read(view.key)


def test_a_write_that_fails_leaves_the_former_file_and_no_other(
    files: ViewFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = view_of(files)
    files.write(first)

    def fail(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space"):
            files.write(view_of(files, size=9))

    assert files.read(first.key) == first
    assert names(files) == {files.path(first.key).name}


def test_a_view_that_grew_too_large_leaves_no_old_file(
    files: ViewFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = view_of(files)
    files.write(view)
    monkeypatch.setattr("zreg.wire.cached_view.CACHED_VIEW_BYTES_MAX", 100)

    with pytest.raises(CachedViewError, match="the limit is 100"):
        files.write(view)
    assert names(files) == set()


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def surplus_of_two(files: list[retention.StoredFile]) -> list[str]:
        return retention.surplus(files, files_max=2)

    monkeypatch.setattr(view_files, "surplus", surplus_of_two)


@pytest.mark.usefixtures("few_files")
def test_trimming_removes_the_oldest_views_and_leaves_other_files_alone(files: ViewFiles) -> None:
    views = [view_of(files, name) for name in IDS]
    for age, view in enumerate(reversed(views)):
        files.write(view)
        os.utime(files.path(view.key), (1e9 + age, 1e9 + age))
    for name in ("of-the-user", "killed.tmp", "present.tmp"):
        (files.directory / name).touch()
    os.utime(files.directory / "killed.tmp", (1e9, 1e9))

    files.trim()

    kept = {files.path(view.key).name for view in views[:2]}
    assert names(files) == {"of-the-user", "present.tmp", *kept}


def test_a_directory_that_does_not_exist_needs_no_trim(files: ViewFiles) -> None:
    files.trim()

    assert not files.directory.exists()
