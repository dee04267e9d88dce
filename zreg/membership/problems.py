"""Problems of a session or data node that come from its place in the cluster."""

from typing import Final

from msgspec.structs import replace

from zreg.health import Harm, Problem
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.gone_nodes import gone_problems
from zreg.model import Role, Status
from zreg.wire.records.membership_messages import GoneNode

_FLAPS: Final = (
    "this node departed more than twice in ten minutes, so meta admits it to its work only after a "
    "pause of at most a minute: find out why it ended"
)
_COPIES: Final = (
    "this data node copies what it will own, and works when it has it; if it departed more than "
    "twice in ten minutes, it also waits for at most a minute"
)


def membership_problems(
    cluster_member: ClusterMember, now: float, *, still_works: str, not_admitted: Harm
) -> list[Problem]:
    """Return the problems between this node and meta.

    `still_works` says what the node does without meta. `not_admitted` is the harm when meta has not
    admitted this node, although it knows a membership.
    """
    found = _admission_problems(cluster_member, not_admitted)
    is_urgent = cluster_member.incarnation is None
    outage = cluster_member.outage.problem(now, still_works, is_urgent=is_urgent)
    if outage is not None:
        found.append(outage)
    return [*found, *gone_problems(_gone(cluster_member, now), cluster_member.membership)]


def _gone(cluster_member: ClusterMember, now: float) -> list[GoneNode]:
    """Return the lost nodes that meta named last, with the times of now."""
    counts = cluster_member.counts
    passed = int((now - counts.gone_at) * 1000)
    return [replace(each, milliseconds_ago=each.milliseconds_ago + passed) for each in counts.gone]


def _admission_problems(cluster_member: ClusterMember, not_admitted: Harm) -> list[Problem]:
    membership, incarnation = cluster_member.membership, cluster_member.incarnation
    if membership.epoch == 0:
        detail = (
            "meta has not admitted this node yet, and it knows of no other node: start meta, or "
            "correct --meta"
        )
        return [Problem("not-admitted", detail, Harm.STOPS_WORK)]
    if incarnation is None:
        detail = "meta has not admitted this node (again) yet: it asks; if this stays, see its log"
        if cluster_member.is_membership_cached:
            detail = (
                "this node started from the membership on its disk and meta has not admitted it "
                "yet: start meta, or correct --meta"
            )
        return [Problem("not-admitted", detail, not_admitted)]
    member = membership.living(incarnation.node_id)
    if member is not None and member.status is Status.WORKING:
        return []
    if member is not None and member.status is Status.INITIAL:
        detail = _COPIES if member.role is Role.DATA else _FLAPS
        return [Problem("waiting", detail, Harm.STOPS_WORK)]
    detail = "this node is leaving the membership: it hands over what it holds"
    return [Problem("leaving", detail, Harm.STOPS_WORK)]
