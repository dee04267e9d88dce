"""The files of a cache directory, one for each view, each read and written as a whole.

A file is replaced by a rename, so a reader gets the former or the new one, also if several
processes share the directory. Nothing waits for the disk (no fsync): after a power cut a file may
be lost or damaged, which its checksum tells, and the program then starts as without a cache.
"""

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zreg.client.cache.retention import StoredFile, surplus
from zreg.model import DataInfoId, Scope
from zreg.wire.cached_view import (
    CACHED_VIEW_BYTES_MAX,
    CachedView,
    CachedViewError,
    ViewKey,
    decode_cached_view,
    encode_cached_view,
)

SUFFIX: Final = ".view"
_TEMPORARY_SUFFIX: Final = ".tmp"
# Left by a process that was killed while it wrote.
_TEMPORARY_SECONDS_MAX: Final = 3600.0


class ViewFiles:
    """The files for the views of one client. Several clients and processes may share them."""

    def __init__(self, directory: Path, *, cluster: str, data_center: str, zone: str) -> None:
        self.directory = directory
        self._cluster = cluster
        self._data_center = data_center
        self._zone = zone

    def key(self, data_info_id: DataInfoId, scope: Scope) -> ViewKey:
        """Return what the view of this client belongs to."""
        return ViewKey(self._cluster, self._data_center, self._zone, data_info_id, scope)

    def path(self, key: ViewKey) -> Path:
        """Return the file of a view."""
        return self.directory / f"{key.file_name}{SUFFIX}"

    def read(self, key: ViewKey) -> CachedView | None:
        """Return a view, None if there is none; `OSError` or `CachedViewError` say what is wrong.

        It never waits for a pipe, and takes only a file that this user has written: a program must
        not be led elsewhere by another user of the machine.
        """
        try:
            descriptor = os.open(self.path(key), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CachedViewError("is not a plain file")
            if status.st_uid != os.geteuid():
                raise CachedViewError("belongs to another user of this machine")
            data = file.read(CACHED_VIEW_BYTES_MAX + 1)
        return decode_cached_view(data, key)

    def write(self, view: CachedView) -> None:
        """Replace the file of a view; raise `OSError`, or `CachedViewError` if it is too large.

        A file that is too old for the view must not stay in its place, so it is then removed.
        """
        path = self.path(view.key)
        try:
            data = encode_cached_view(view)
        except CachedViewError:
            path.unlink(missing_ok=True)
            raise
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only this user may read the file.
        descriptor, temporary = tempfile.mkstemp(suffix=_TEMPORARY_SUFFIX, dir=self.directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def trim(self) -> None:
        """Remove the oldest files beyond the limits, and what killed processes left."""
        now = time.time()  # noqa: TID251 -- files have the time of the wall clock
        stored: list[StoredFile] = []
        for file in self._stored():
            if file.name.endswith(SUFFIX):
                stored.append(file)
            elif now - file.written_at > _TEMPORARY_SECONDS_MAX:
                self._remove(file.name)
        for name in surplus(stored):
            self._remove(name)

    def _stored(self) -> Iterator[StoredFile]:
        """Yield the files that zreg has written; other files of the directory are left alone."""
        if not self.directory.is_dir():
            return
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.name.endswith((SUFFIX, _TEMPORARY_SUFFIX)):
                    # Another process may have removed it meanwhile.
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        yield StoredFile(entry.name, status.st_size, status.st_mtime)

    def _remove(self, name: str) -> None:
        (self.directory / name).unlink(missing_ok=True)
