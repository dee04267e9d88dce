"""Cache the membership that a node follows in a file, for the next process of this node.

The cache is a convenience. A file that is missing, damaged or of another node is not used, and a
write that fails costs a line in the log. The file is replaced as a whole, so a process that dies
while it writes leaves the former file.

A thread writes the file, and pauses after each write. It always writes the newest membership, so
one that is replaced before its turn is never written.
"""

import asyncio
import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Final

from zreg.errors import UsageError
from zreg.model import EMPTY_MEMBERSHIP, Membership
from zreg.storage.directory_lock import DirectoryLock
from zreg.wire.cached_membership import (
    CACHED_BYTES_MAX,
    CachedMembershipError,
    decode_cached_membership,
    encode_cached_membership,
)

CACHE_NAME: Final = "membership.msgpack"
# The pause after a write: members join and depart in bursts, and each write waits for the disk.
PAUSE_SECONDS: Final = 0.2
# A write that failed is tried again after this time: the operator has to free space first.
RETRY_SECONDS: Final = 5.0

_TAKEN_AGAIN: Final = (
    "was removed or replaced while this node ran: it is created and locked again; give each node "
    "its own --dir, which no other program cleans up"
)

logger = logging.getLogger("zreg.membership")


class MembershipFile:
    """The file of one node, read and written as a whole."""

    def __init__(self, directory: Path, *, cluster: str, node_id: str) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{directory} cannot be used: {error.strerror}; name another --dir"
            ) from error
        self.path = directory / CACHE_NAME
        self._cluster = cluster
        self._node_id = node_id

    def read(self) -> Membership:
        """Return the cached membership, or an empty one; a warning says why a file is not used."""
        try:
            with self.path.open("rb") as file:
                data = file.read(CACHED_BYTES_MAX + 1)
            return decode_cached_membership(data, cluster=self._cluster, node_id=self._node_id)
        except FileNotFoundError:
            return EMPTY_MEMBERSHIP
        except OSError as error:
            why = f"cannot be read ({error.strerror})"
        except CachedMembershipError as error:
            why = str(error)
        detail = f"{self.path} {why}: it is not used, the node starts without it and asks meta"
        logger.warning("membership.ignored detail=%r", detail)
        return EMPTY_MEMBERSHIP

    def is_missing(self, membership: Membership) -> bool:
        """Whether the file does not exist, although it should hold this membership."""
        return membership.epoch > 0 and not self.path.exists()

    def write(self, membership: Membership) -> None:
        """Replace the file; an empty membership removes it. Raises `OSError`."""
        if membership.epoch == 0:
            self.path.unlink(missing_ok=True)
        else:
            data = encode_cached_membership(
                membership, cluster=self._cluster, node_id=self._node_id
            )
            temporary = self.path.with_suffix(".new")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        # Without this sync the name may still lead to the former content after a power cut.
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class MembershipCache:
    """Writes the newest membership outside the loop's thread; `store` returns at once.

    A write is due exactly while `_newest` is another membership than `cached`, or the file is lost.
    """

    def __init__(
        self,
        file: MembershipFile,
        *,
        lock: DirectoryLock | None = None,
        pause_seconds: float = PAUSE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        # The membership in the file.
        self.cached = file.read()
        self._file = file
        self._lock = lock
        self._pause_seconds = pause_seconds
        self._retry_seconds = retry_seconds
        self._newest = self.cached
        # The file was removed, or is no longer where the path leads.
        self._is_lost = False
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        # One thread at a time looks at the directory, takes it or writes there: another node may
        # take it in between.
        self._turn = threading.Lock()
        # Why the last write failed, for people; None if it did not fail.
        self.failure: str | None = None

    def store(self, membership: Membership) -> None:
        """Have this membership written soon, unless a newer one replaces it; the loop must run."""
        self._newest = membership
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Wait until the newest membership is written, or its write has failed."""
        self._closing.set()
        if self._task is not None:
            await self._task
        self.release()

    async def check_directory(self) -> None:
        """Take the directory again if it was removed or replaced, and write the file again."""
        try:
            self._is_lost = await asyncio.to_thread(self._find_loss) or self._is_lost
        except UsageError as error:
            self._is_lost = True
            self._on_failure(str(error))
        if self._is_lost:
            self.store(self._newest)

    def _find_loss(self) -> bool:
        """Return whether the file has to be written again; raises `UsageError`. Disks may hang."""
        if self._lock is None:
            return False
        with self._turn:
            if not self._lock.is_lost:
                return self._file.is_missing(self.cached)
            self._lock.take()
        logger.warning("directory.lost detail=%r", f"{self._lock.path} {_TAKEN_AGAIN}")
        return True

    def release(self) -> None:
        """Let another node use the directory."""
        if self._lock is not None:
            self._lock.release()

    async def _write(self) -> None:
        """Write until nothing newer is left. When the node ends, the current pause ends early."""
        while self._newest is not self.cached or self._is_lost:
            is_last = self._closing.is_set()
            await self._try_to_write(self._newest)
            if is_last and self.failure is not None:
                break
            pause = self._pause_seconds if self.failure is None else self._retry_seconds
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)
        self._task = None

    async def _try_to_write(self, membership: Membership) -> None:
        try:
            await asyncio.to_thread(self._write_file, membership)
        except UsageError as error:
            self._on_failure(str(error))
        except OSError as error:
            self._on_failure(
                f"{self._file.path} cannot be written ({error.strerror}): free space or repair its "
                "directory"
            )
        else:
            self.failure = None
            self.cached = membership
            self._is_lost = False

    def _write_file(self, membership: Membership) -> None:
        with self._turn:
            if self._lock is not None and self._lock.is_lost:
                # Another node may have the directory by now: what is not locked is not written.
                self._lock.take()
            self._file.write(membership)

    def _on_failure(self, why: str) -> None:
        """Remember why a write failed, and log the first of several failures in succession."""
        was_failing = self.failure is not None
        self.failure = f"{why}; until then a restart of this node needs meta"
        if not was_failing:
            logger.warning("membership.keep.failed detail=%r", self.failure)
