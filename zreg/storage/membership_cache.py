"""Keep the membership that a node follows in a file, for the process after this one.

The file is a convenience: one that is missing, damaged or of others is not there, and a write that
fails costs a line in the log. It is replaced as a whole, so a process that dies while it writes
leaves the one before. Writing happens in a thread, the newest membership first and last, with a
pause in between.
"""

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from zreg.errors import UsageError
from zreg.model import EMPTY_MEMBERSHIP, Membership
from zreg.storage.directory_lock import DirectoryLock
from zreg.wire.cached_membership import (
    KEPT_BYTES_MAX,
    CachedMembershipError,
    decode_cached_membership,
    encode_cached_membership,
)

KEPT_NAME: Final = "membership.msgpack"
# Members come and go in bursts, and each write waits for the disk.
PAUSE_SECONDS: Final = 0.2
# A write that failed is tried again after this: somebody has to free space first.
RETRY_SECONDS: Final = 5.0

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
        self.path = directory / KEPT_NAME
        self._cluster = cluster
        self._node_id = node_id

    def read(self) -> Membership:
        """Return what was kept; empty, with a warning that says why, if there is nothing to use."""
        try:
            with self.path.open("rb") as file:
                data = file.read(KEPT_BYTES_MAX + 1)
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

    def write(self, membership: Membership) -> None:
        """Replace what is kept; an empty membership removes it. Raises `OSError`."""
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
        # Without this the name may still lead to the former content after a power cut.
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class MembershipCache:
    """Writes the newest membership, outside the loop's thread; `keep` returns at once."""

    def __init__(
        self,
        file: MembershipFile,
        *,
        held: DirectoryLock | None = None,
        pause_seconds: float = PAUSE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.kept = file.read()
        self._file = file
        self._held = held
        self._pause_seconds = pause_seconds
        self._retry_seconds = retry_seconds
        self._newest = self.kept
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        # Why the last write failed, for people; empty: it did not.
        self.trouble = ""

    def keep(self, membership: Membership) -> None:
        """Have this written soon, unless a newer one comes before; the loop must run."""
        self._newest = membership
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Return when the newest membership is written, or cannot be."""
        self._closing.set()
        if self._task is not None:
            await self._task
        self.release()

    def release(self) -> None:
        """Let another node use the directory."""
        if self._held is not None:
            self._held.release()

    async def _write(self) -> None:
        """Write until there is nothing newer; each pause ends early when the node does."""
        while self._newest is not self.kept:
            is_last = self._closing.is_set()
            is_written = await self._try(self._newest)
            if is_last and not is_written:
                break
            pause = self._pause_seconds if is_written else self._retry_seconds
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)
        self._task = None

    async def _try(self, membership: Membership) -> bool:
        try:
            await asyncio.to_thread(self._file.write, membership)
        except OSError as error:
            self._tell(error)
            return False
        self.trouble = ""
        self.kept = membership
        return True

    def _tell(self, error: OSError) -> None:
        is_told = bool(self.trouble)
        self.trouble = (
            f"{self._file.path} cannot be written ({error.strerror}): free space or mend its "
            "directory; until then a restart of this node needs meta"
        )
        if not is_told:
            logger.warning("membership.keep.failed detail=%r", self.trouble)
