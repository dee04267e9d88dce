"""Which process dialled: the process that holds the other end of a connection on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

# The columns of /proc/net/tcp (proc_pid_net(5)).
_LOCAL, _REMOTE, _INODE = 1, 2, 9
_FILES: Final = Path("/proc")


def owner_of(port: int, to_port: int, pids: Mapping[int, str]) -> str | None:
    """Return the name of the process that connects from one port to the other; None if unknown."""
    inode = _inode_of(f":{port:04X}", f":{to_port:04X}")
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    return next((name for pid, name in pids.items() if _has_open(pid, wanted)), None)


def _inode_of(local: str, remote: str) -> str | None:
    for line in (_FILES / "net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        columns = line.split()
        if columns[_LOCAL].endswith(local) and columns[_REMOTE].endswith(remote):
            return columns[_INODE]
    return None


def _has_open(pid: int, wanted: str) -> bool:
    try:
        links = list((_FILES / str(pid) / "fd").iterdir())
    except OSError:
        # The process has ended.
        return False
    return any(_target_of(link) == wanted for link in links)


def _target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        # The process has closed it meanwhile.
        return ""
