"""The status of a Raft node, for health, metrics and the command line."""

from enum import Enum

import msgspec

from zreg.raft.configuration import Configuration
from zreg.raft.leader.progress import CatchUpState


class Role(Enum):
    """The roles of the paper's figure 4, and the pre-candidate of a pre-vote (thesis §9.6)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the leader knows of one peer; `silent_ticks` have passed since its last answer."""

    match_index: int
    silent_ticks: int
    catch_up: CatchUpState | None


class RaftStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one node now; `peers` is empty unless it leads."""

    node_id: str
    role: Role
    term: int
    leader: str | None
    commit_index: int
    applied_index: int
    last_index: int
    snapshot_index: int
    log_bytes: int
    configuration: Configuration
    transfer_target: str | None
    peers: dict[str, PeerStatus]
