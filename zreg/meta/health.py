"""What is the matter with a meta node."""

from typing import Final

from zreg.health import Harm, Health, Problem, some
from zreg.meta.group.quorum_alarm import QuorumAlarm
from zreg.meta.group.raft_driver import TICK_SECONDS, RaftDriver
from zreg.raft.quorum import majority

_STILL_WORKS: Final = (
    "clients are served as before; no node joins or departs, nothing is evicted, no setting changes"
)


def health_of(agreement: RaftDriver, trouble: QuorumAlarm, node_id: str) -> Health:
    """Return the health of a meta node; it has work to do while it leads or knows who does."""
    raft = agreement.raft
    if not raft.configuration.members:
        problem = Problem("not-added", trouble.sentence(), Harm.STOPS_WORK)
        return Health((problem,))
    if sentence := trouble.sentence():
        seconds = agreement.silent_ticks * TICK_SECONDS
        detail = f"{sentence}. It has been so for {seconds:.0f} s; meanwhile {_STILL_WORKS}"
        return Health((Problem("meta-quorum-missing", detail, Harm.STOPS_WORK),))
    found = []
    is_mine = raft.leader == node_id
    if raft.leader is None or (is_mine and not agreement.is_leading):
        detail = "meta elects a leader, which takes a second or two: ask again"
        found.append(Problem("meta-electing", detail, Harm.STOPS_WORK))
    return Health((*found, *_peer_problems(agreement, node_id)))


def _peer_problems(agreement: RaftDriver, node_id: str) -> list[Problem]:
    missing = [f"{peer} ({why})" for peer, why in agreement.peers.troubles().items()]
    if not missing:
        return []
    voters = agreement.raft.configuration.voters
    here = sum(voter == node_id or agreement.peers.is_up(voter) for voter in voters)
    spare = max(0, here - majority(len(voters)))
    detail = (
        f"{node_id} has no connection to {some(missing)}: as far as it sees, {spare} more of "
        f"meta's {len(voters)} voters may fail; see what became of them, or look at the network "
        "between"
    )
    return [Problem("meta-node-missing", detail)]
