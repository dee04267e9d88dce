"""What is not well in a cluster, and what to do about it; pure, so that tests compare."""

import enum
from collections.abc import Mapping, Sequence

import msgspec

from zreg.membership.gone_nodes import gone_text
from zreg.model import Member, Membership, Role, Status
from zreg.wire.records.meta_messages import MetaNodesReply, MetaNodeState, MetaNodeStatus


class State(enum.IntEnum):
    """How well a cluster is; the numbers are the exit codes of Nagios plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not well: how bad it is, what it is, and what to do."""

    state: State
    what: str
    advice: str


class ClusterView(msgspec.Struct, frozen=True):
    """What a session or meta node has told; `meta_nodes` is a reason if meta's leader told none.

    `statuses` has the status of each living member by its id, as `zreg nodes` shows it.
    """

    membership: Membership
    statuses: Mapping[str, str]
    meta_nodes: MetaNodesReply | str


def findings_of(view: ClusterView) -> list[Finding]:
    """Return what is not well, the worst first."""
    found = [*_meta_findings(view), *_role_findings(view), *_member_findings(view)]
    return sorted(found, key=lambda finding: -finding.state)


def state_of(findings: Sequence[Finding]) -> State:
    """Return the worst state."""
    return max((finding.state for finding in findings), default=State.OK)


def counts_of(view: ClusterView) -> dict[str, int]:
    """Return how many WORKING nodes there are of each role, and how many clients."""
    working = {
        f"{role.name.lower()}_nodes": sum(
            member.role is role and view.statuses.get(member.node_id) == Status.WORKING.name
            for member in _living(view)
        )
        for role in (Role.SESSION, Role.DATA, Role.META)
    }
    loads = view.meta_nodes.session_loads if isinstance(view.meta_nodes, MetaNodesReply) else ()
    return {**working, "clients": sum(load.client_count for load in loads)}


def _living(view: ClusterView) -> list[Member]:
    """Return the members without departed incarnations, whose ids may have been taken again."""
    return [each for each in view.membership.members if each.status is not Status.DEPARTED]


def summary_of(view: ClusterView) -> str:
    """Return how large the cluster is, in one line."""
    counts = counts_of(view)
    parts = [
        f"{count} {name.removesuffix('s') if count == 1 else name}".replace("_", " ")
        for name, count in counts.items()
    ]
    leader = ""
    if isinstance(view.meta_nodes, MetaNodesReply):
        leads = [n.node_id for n in view.meta_nodes.nodes if n.state is MetaNodeState.LEADER]
        leader = f", {leads[0]} leads meta" if leads else ""
    return f"{', '.join(parts)}{leader}, epoch {view.membership.epoch}"


def _meta_findings(view: ClusterView) -> list[Finding]:
    if isinstance(view.meta_nodes, str):
        advice = "start the meta nodes, or check the network to them; sessions and data serve on"
        return [Finding(State.CRITICAL, view.meta_nodes, advice)]
    return [
        _finding_of_added(node)
        for node in view.meta_nodes.nodes
        if node.state in {MetaNodeState.LEARNER, MetaNodeState.STUCK}
    ]


def _finding_of_added(node: MetaNodeStatus) -> Finding:
    at, why = node.address.removeprefix("tcp://"), node.trouble or "it gets the log"
    what = f"{node.node_id} is added to meta at {at} and has no vote yet ({why})"
    advice = (
        f"start it with --join; if it is elsewhere: `zreg meta add {node.node_id}=HOST:PORT`; if "
        f"it is not to come: `zreg meta rm {node.node_id}`"
    )
    return Finding(State.WARNING, what, advice)


def _role_findings(view: ClusterView) -> list[Finding]:
    found = []
    for role, advice in (
        (Role.SESSION, "start one with `zreg session`: clients have no place to go"),
        (Role.DATA, "start one with `zreg data`: nothing can be published"),
    ):
        if not view.membership.of(role):
            what = f"no {role.name.lower()} node is WORKING"
            found.append(Finding(State.CRITICAL, what, advice))
    wanted, working = view.membership.ring.replica_count, len(view.membership.of(Role.DATA))
    if 0 < working < wanted:
        is_ = "is" if working == 1 else "are"
        what = f"each datum should be on {wanted} data nodes, and only {working} {is_} WORKING"
        advice = (
            f"start more data nodes, or lower the number with `zreg data replica-count {working}`"
        )
        found.append(Finding(State.WARNING, what, advice))
    return found


def _member_findings(view: ClusterView) -> list[Finding]:
    gone = view.meta_nodes.gone if isinstance(view.meta_nodes, MetaNodesReply) else ()
    found = []
    for each in gone:
        node_id = each.incarnation.node_id
        advice = f"start it again; if it is not to come back: `zreg nodes dismiss {node_id}`"
        found.append(Finding(State.WARNING, gone_text(each), advice))
    for member in _living(view):
        status = view.statuses.get(member.node_id, Status.WORKING.name)
        if status == "SILENT":
            what = f"{member.node_id} is not heard"
            advice = "see its log, or start it"
            if member.role is Role.META:
                advice += "; to remove it for good: `zreg meta rm`"
            found.append(Finding(State.WARNING, what, advice))
        elif status == Status.INITIAL.name:
            what = f"{member.node_id} is admitted and does not work yet"
            advice = "wait; if it stays so, see its health at /readyz and its log"
            found.append(Finding(State.WARNING, what, advice))
        elif status == Status.LEAVING.name:
            what = f"{member.node_id} is leaving and hands over its data"
            found.append(Finding(State.WARNING, what, "wait: see `zreg nodes`"))
    return found
