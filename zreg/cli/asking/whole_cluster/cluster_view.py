"""The whole of what a session or a meta node tells about its cluster, in one value."""

from typing import Final

from zreg.cli.asking.ask import ask_now
from zreg.cli.asking.targets import Target
from zreg.cli.showing.cluster_findings import ClusterView
from zreg.errors import RefusedError, UnavailableError
from zreg.membership.shown_nodes import shown_members, status_of
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply

# Meta's leader answers at once, and a session without a leader says so within this time.
_META_SECONDS_MAX: Final = 2.0


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
