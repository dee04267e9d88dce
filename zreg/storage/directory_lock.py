"""Lock a node's directory, so that no second node uses it at the same time.

The kernel holds the lock, on the directory itself. The lock needs no file and no space on the disk,
and ends with the process, also if that is killed.
"""

import fcntl
import logging
import os
from pathlib import Path
from typing import Final

from zreg.errors import UsageError

_LOCKS: Final = Path("/proc/locks")
_COMMAND_CHARACTERS_MAX: Final = 120

logger = logging.getLogger("zreg.directory")


class DirectoryLock:
    """A directory that no other node can use until `release`, or until the process ends."""

    def __init__(self, path: Path) -> None:
        """Create and lock it; `UsageError` names its holder, or why it cannot be used."""
        self.path = path
        self._descriptor = -1
        self.take()

    def take(self) -> None:
        """Create and lock the directory that the path leads to now; raises `UsageError`."""
        self.release()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(
                f"{self.path} cannot be used: {error.strerror}; name another --dir"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise UsageError(
                f"{self.path} is in use by {holder}: stop that one, or give each node a --dir of "
                "its own"
            ) from None
        except OSError as error:
            # The node starts without a lock on a file system that has none.
            detail = (
                f"{self.path} cannot be locked ({error.strerror}): make sure that no second node "
                "uses it"
            )
            logger.warning("directory.unlocked detail=%r", detail)
        # Not before: another thread must not take an open directory for a locked one.
        self._descriptor = descriptor

    @property
    def is_lost(self) -> bool:
        """Whether the path leads to another directory, or to none: the lock then protects nothing.

        A path that cannot be looked at proves nothing.
        """
        if self._descriptor < 0:
            return True
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        return not os.path.samestat(found, os.fstat(self._descriptor))

    def release(self) -> None:
        """Let another node use the directory; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __repr__(self) -> str:
        """Show the path, and whether it is held."""
        return f"<DirectoryLock {self.path} {'held' if self._descriptor >= 0 else 'released'}>"


def _holder(descriptor: int) -> str:
    """Return which process holds the lock on this directory, as far as the kernel shows it."""
    inode = str(os.fstat(descriptor).st_ino)
    try:
        lines = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        lines = []
    for fields in lines:
        # A line looks like `1: FLOCK ADVISORY WRITE 4711 fe:01:131075 0 EOF`.
        is_of_directory = (
            fields[1:2] == ["FLOCK"] and fields[5:6] and fields[5].endswith(f":{inode}")
        )
        if is_of_directory and int(fields[4]) > 0:
            return f"process {fields[4]}{_command(fields[4])}"
    return "another process"


def _command(pid: str) -> str:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
    command = " ".join(filter(None, text.split("\0")))
    if len(command) > _COMMAND_CHARACTERS_MAX:
        command = command[:_COMMAND_CHARACTERS_MAX] + "…"
    return f" ({command})" if command.isprintable() and command else ""
