"""The whole of what a session or a meta node tells about its cluster, in one value."""

from collections.abc import Iterable
from typing import Final

from zreg.cli.asking.ask import ask_now
from zreg.cli.asking.targets import Target
from zreg.cli.showing.cluster_findings import ClusterView
from zreg.errors import RefusedError, UnavailableError
from zreg.model import Member, Role, Status, in_order
from zreg.wire.records.membership_messages import FetchMembership, GoneNode, MembershipReply
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply

# Meta's leader answers at once, and a session without a leader says so within this time.
_META_SECONDS_MAX: Final = 2.0
# Raft's leader hears from each meta node several times a second.
_SILENT_MILLISECONDS: Final = 1500


def fetch_view(target: Target, timeout_seconds: float) -> ClusterView:
    """Ask for the membership, and for what meta's leader knows; raises as `ask_now`."""
    question = FetchMembership, MembershipReply
    reply = ask_now(target, question, timeout_seconds=timeout_seconds)
    meta_nodes: MetaNodesReply | str = reply.trouble
    if not reply.trouble:
        meta_nodes = _fetch_meta_nodes(target, timeout_seconds)
    members = shown_members(reply.membership.members, meta_nodes)
    statuses = {member.node_id: status_of(member, meta_nodes) for member in members}
    return ClusterView(reply.membership, statuses, meta_nodes)


def _fetch_meta_nodes(target: Target, timeout_seconds: float) -> MetaNodesReply | str:
    """Return which meta nodes the leader hears, or the reason why it cannot say so."""
    seconds = min(timeout_seconds, _META_SECONDS_MAX)
    try:
        return ask_now(target, (FetchMetaNodes, MetaNodesReply), timeout_seconds=seconds)
    except (RefusedError, UnavailableError) as error:
        return str(error)


def gone_of(meta_nodes: MetaNodesReply | str) -> tuple[GoneNode, ...]:
    """Return the nodes that were lost; none if meta's leader did not answer."""
    return meta_nodes.gone if isinstance(meta_nodes, MetaNodesReply) else ()


def shown_members(
    members: Iterable[Member], meta_nodes: MetaNodesReply | str
) -> tuple[Member, ...]:
    """Return the members and the lost nodes, in the order of a membership.

    A lost session stays in the membership for its grace.
    """
    listed = {member.incarnation: member for member in members}
    for gone in gone_of(meta_nodes):
        node_id, epoch = gone.incarnation.node_id, gone.incarnation.epoch
        lost = Member(node_id, gone.role, epoch, Status.DEPARTED, gone.address)
        listed.setdefault(gone.incarnation, lost)
    return in_order(listed.values())


def status_of(member: Member, meta_nodes: MetaNodesReply | str) -> str:
    """Return the status to show for a member.

    `meta_nodes` is the answer of meta's leader, or the reason why there is none. Sessions and data
    nodes have a lease, so the membership tells whether they live. Meta nodes have none: whether one
    of them lives is known only by the leader of Raft, which hears from it or does not. GONE is a
    node that was lost, SILENT also one that is not heard and stays, since no other node of its role
    could take its place.
    """
    reply = meta_nodes if isinstance(meta_nodes, MetaNodesReply) else None
    if member.role is not Role.META:
        if any(gone.incarnation == member.incarnation for gone in gone_of(meta_nodes)):
            return "GONE"
        is_kept = reply is not None and member.incarnation in reply.silent
        return "SILENT" if is_kept else member.status.name
    nodes = () if reply is None else reply.nodes
    node = next((node for node in nodes if node.node_id == member.node_id), None)
    if node is None:
        return "UNKNOWN"
    is_silent = node.trouble or node.silent_milliseconds >= _SILENT_MILLISECONDS
    return "SILENT" if is_silent else member.status.name
