"""The problems of a meta node, as its health pages show them."""

from typing import Final

from zreg.health import Harm, Health, Problem, some
from zreg.meta.founding.gathering import Gathering
from zreg.meta.group.quorum_alarm import QuorumAlarm
from zreg.meta.group.raft_driver import TICK_SECONDS, RaftDriver

_STILL_WORKS: Final = (
    "clients are served as before; no node joins or departs, nothing is evicted, no setting changes"
)


def health_of(
    raft_driver: RaftDriver, quorum_alarm: QuorumAlarm, gathering: Gathering, node_id: str
) -> Health:
    """Return the health of a meta node; it is ready while it leads or knows the leader."""
    raft = raft_driver.raft
    sentence = quorum_alarm.sentence()
    if gathering.is_gathering:
        return Health((Problem("not-founded", sentence, Harm.STOPS_WORK),))
    if not raft.configuration.members:
        return Health((Problem("not-added", sentence, Harm.STOPS_WORK),))
    other_clusters = _other_clusters(gathering, node_id)
    if sentence:
        seconds = raft_driver.silent_ticks * TICK_SECONDS
        detail = f"{sentence}. This has lasted {seconds:.0f} s; meanwhile {_STILL_WORKS}"
        return Health((Problem("meta-quorum-missing", detail, Harm.STOPS_WORK), *other_clusters))
    found = []
    is_mine = raft.leader == node_id
    if raft.leader is None or (is_mine and not raft_driver.is_leading):
        detail = "meta elects a leader, which takes a second or two: ask again"
        found.append(Problem("meta-electing", detail, Harm.STOPS_WORK))
    return Health((*found, *_missing_peers(raft_driver, node_id), *other_clusters))


def _other_clusters(gathering: Gathering, node_id: str) -> list[Problem]:
    others = gathering.other_clusters()
    if not others:
        return []
    if not gathering.may_elect():
        detail = (
            f"{node_id} has agreed with others on a list of founders, and met {others}, of the "
            "same name: it helps to found no second one; stop the founders in the list, and start "
            "them again on empty directories, with another name or to be added to that cluster"
        )
        return [Problem("another-cluster", detail, Harm.STOPS_WORK)]
    detail = (
        f"{node_id} is announced beside {others}, of the same name: they stay apart, but nodes and "
        "clients that look for a cluster of this name may find either; give one of them another "
        "name, or stop it"
    )
    return [Problem("another-cluster", detail)]


def _missing_peers(raft_driver: RaftDriver, node_id: str) -> list[Problem]:
    missing = [f"{peer} ({why})" for peer, why in raft_driver.peers.missing().items()]
    if not missing:
        return []
    voter_count = len(raft_driver.raft.configuration.voters)
    spare_count = raft_driver.peers.spare_voter_count()
    detail = (
        f"{node_id} has no connection to {some(missing)}: as far as it sees, {spare_count} more of "
        f"meta's {voter_count} voters may fail; start the missing nodes, or check the network "
        "between"
    )
    return [Problem("meta-node-missing", detail)]
