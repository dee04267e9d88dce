"""What a member tells the leader of meta besides its lease; nothing while it is not admitted."""

from zreg.effects import Effect, Link, Send
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Incarnation
from zreg.wire.records.membership_messages import Drain, Ready, ReportGone


def report_ready(member: ClusterMember, ring_epoch: int) -> list[Effect]:
    """Tell the leader that this node holds what it will own under the ring of this epoch.

    Meta refuses if the ring has moved, and the answer may be lost: the node checks again, and
    reports again, as long as its own member is INITIAL.
    """
    if not (member.leader and member.incarnation):
        return []
    request_id, cluster_id = member.next_request_id(), member.membership.cluster_id
    ready = Ready(request_id, member.incarnation, cluster_id, ring_epoch)
    return [Send(Link.META, member.leader, ready)]


def report_leaving(member: ClusterMember) -> list[Effect]:
    """Ask the leader to make this data node LEAVING; again as long as it is not."""
    if not (member.leader and member.incarnation):
        return []
    node_id, epoch = member.incarnation.node_id, member.incarnation.epoch
    request_id, cluster_id = member.next_request_id(), member.membership.cluster_id
    return [Send(Link.META, member.leader, Drain(request_id, node_id, cluster_id, epoch))]


def report_gone(member: ClusterMember, gone: Incarnation) -> list[Effect]:
    """Tell the leader that a connection to a member ended; nothing while it is not reached."""
    if not (member.leader and member.incarnation and member.membership.has_living(gone)):
        return []
    report = ReportGone(member.incarnation, gone, member.membership.cluster_id)
    return [Send(Link.META, member.leader, report)]
