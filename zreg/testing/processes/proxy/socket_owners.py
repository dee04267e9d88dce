"""Which processes dialled: those that hold the other ends of connections on this machine."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

# The port that a connection comes from, and the port that it was made to.
Ports = tuple[int, int]

# The columns of /proc/net/tcp (proc_pid_net(5)).
_LOCAL, _REMOTE, _INODE = 1, 2, 9
_PROC: Final = "/proc"


def owners_of(connections: Sequence[Ports], pids: Mapping[int, str]) -> list[str | None]:
    """Return the name of the process that made each connection; None if it is none of these."""
    inodes = _inodes_of(set(connections))
    names = {inode: name for pid, name in pids.items() for inode in _open_inodes(pid)}
    return [names.get(inodes.get(ports, "")) for ports in connections]


def _inodes_of(wanted: set[Ports]) -> dict[Ports, str]:
    found: dict[Ports, str] = {}
    for line in Path(_PROC, "net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        columns = line.split()
        ports = _port_of(columns[_LOCAL]), _port_of(columns[_REMOTE])
        if ports in wanted:
            found[ports] = columns[_INODE]
    return found


def _port_of(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _open_inodes(pid: int) -> list[str]:
    """Return the inodes of the sockets that a process has open."""
    folder = f"{_PROC}/{pid}/fd"
    try:
        names = os.listdir(folder)  # noqa: PTH208 -- as below
    except OSError:
        # The process has ended.
        return []
    targets = (_target_of(f"{folder}/{name}") for name in names)
    return [target[len("socket:[") : -1] for target in targets if target.startswith("socket:[")]


def _target_of(link: str) -> str:
    try:
        # A process has hundreds of descriptors, and `Path` takes ten times as long.
        return os.readlink(link)  # noqa: PTH115 -- as above
    except OSError:
        # The process has closed it meanwhile.
        return ""
