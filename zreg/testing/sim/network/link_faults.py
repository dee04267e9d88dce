"""What is wrong with the simulated network and its machines; nothing, unless a test says so."""

from collections import Counter
from typing import Final

from zreg.effects import Link

# As the sockets of nodes are set (`zreg/reactor/sockets/socket_options.py`).
CONNECT_TIMEOUT_SECONDS: Final = 2.0
HEARTBEAT_SECONDS: Final = 3.0
RAFT_HEARTBEAT_SECONDS: Final = 1.5
# Clients have no heartbeats: the kernel probes a connection that is silent.
KEEPALIVE_SECONDS: Final = 25.0
# After which silences connections of some link end.
SILENCES_SECONDS: Final = (RAFT_HEARTBEAT_SECONDS, HEARTBEAT_SECONDS, KEEPALIVE_SECONDS)
# What waits for a peer that does not read, in frames; what comes after it is dropped.
BACKLOG_FRAMES_MAX: Final = 64


def silence_seconds_max(link: Link) -> float:
    """Return after how many seconds without a sign of the peer a connection of a link ends."""
    if link in (Link.SESSION, Link.CLIENTS):
        return KEEPALIVE_SECONDS
    is_raft = link in (Link.RAFT_ASK, Link.RAFT_ANSWER)
    return RAFT_HEARTBEAT_SECONDS if is_raft else HEARTBEAT_SECONDS


class LinkFaults:
    """The faults of the moment, by process name; `fired` counts how often each kind had an effect.

    Cuts are directed: (sender, receiver). A process that is *deaf* runs and does not read. A *slow*
    process takes this many seconds for each frame. A *late* process's frames are this many seconds
    on their way. Of a *lossy* pair, (publisher, subscriber), this share of broadcasts is lost.
    """

    def __init__(self) -> None:
        # With the time when each cut began.
        self.cut: dict[tuple[str, str], float] = {}
        self.black_holes: set[str] = set()
        # Addresses without a process at which a dial times out; at others it is refused.
        self.silent_addresses: set[str] = set()
        self.deaf: set[str] = set()
        self.slow: dict[str, float] = {}
        self.late: dict[str, float] = {}
        self.lossy: dict[tuple[str, str], float] = {}
        self.fired: Counter[str] = Counter()
        # Frames that wait for a deaf process, by connection and direction.
        self.backlog_frames_max = BACKLOG_FRAMES_MAX

    def is_cut(self, left: str, right: str) -> bool:
        """Return whether the two cannot talk, in one direction or in both."""
        return (left, right) in self.cut or (right, left) in self.cut

    def clear(self) -> None:
        """End all faults, and keep the counts."""
        self.cut.clear()
        self.black_holes.clear()
        self.silent_addresses.clear()
        self.deaf.clear()
        self.slow.clear()
        self.late.clear()
        self.lossy.clear()
