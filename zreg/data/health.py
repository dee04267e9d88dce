"""The health of a data node."""

from typing import Final

from zreg.data.replication.copy_watch import CopyWatch
from zreg.data.sessions.publisher_limits import PublisherLimits
from zreg.health import Harm, Health, Problem
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.problems import membership_problems

_STILL_WORKS: Final = (
    "it takes writes and answers as before; no node joins or departs, nothing is evicted"
)
_STILL_WORKS_UNADMITTED: Final = "it holds nothing and serves no requests"


def health_of(
    cluster_member: ClusterMember, copy_watch: CopyWatch, limits: PublisherLimits, now: float
) -> Health:
    """Return the problems of a data node; it can be sent work while it is a WORKING member."""
    is_admitted = cluster_member.incarnation is not None
    still_works = _STILL_WORKS if is_admitted else _STILL_WORKS_UNADMITTED
    found = membership_problems(
        cluster_member, now, still_works=still_works, not_admitted=Harm.STOPS_WORK
    )
    is_told = any(problem.code == "copies-missing" for problem in found)
    if is_admitted and not is_told and (detail := copy_watch.problem(now)):
        found.append(Problem("copies-missing", detail))
    return Health((*found, *limits.problems(now)))
