"""The problems of a session node, as its health pages show them."""

from typing import Final

from zreg.health import Harm, Health, Problem, some
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.problems import membership_problems
from zreg.session.upstream.data_links import DataLinks

_STILL_WORKS: Final = (
    "clients are served and what they publish is accepted; no node joins or departs, no setting "
    "changes"
)
_STILL_WORKS_UNADMITTED: Final = "clients are served what is published; what they publish waits"


def health_of(
    cluster_member: ClusterMember,
    links: DataLinks,
    now: float,
    *,
    is_full: bool,
    is_sending_away: bool,
) -> Health:
    """Return the health of a session: it can do its work as long as it takes clients.

    A session that meta has not admitted yet takes clients, and serves reads. A session that meta
    declared dead, and that cannot join again, sends its clients to other sessions.
    """
    not_admitted = Harm.STOPS_WORK if is_sending_away else Harm.DEGRADES
    still_works = (
        _STILL_WORKS if cluster_member.incarnation is not None else _STILL_WORKS_UNADMITTED
    )
    found = membership_problems(
        cluster_member, now, still_works=still_works, not_admitted=not_admitted
    )
    if cluster_member.membership.epoch > 0:
        found += _data_problems(links)
    if is_full:
        detail = (
            "this session has as many clients as it takes: new ones are sent to other sessions; "
            "add a session, or raise clients_max"
        )
        found.append(Problem("clients-full", detail, Harm.STOPS_WORK))
    return Health(tuple(found))


def _data_problems(links: DataLinks) -> list[Problem]:
    peers = links.peers()
    if not peers:
        detail = "no data node is WORKING: what clients publish waits; start one, see `zreg nodes`"
        return [Problem("no-data-node", detail)]
    missing = [peer.rpartition("@")[0] for peer in peers if not links.is_up(peer)]
    if not missing:
        return []
    detail = (
        f"no connection to {some(missing)}: changes of what they hold wait, views stay as they "
        "are; check that these nodes run, and check the network between"
    )
    return [Problem("data-unreachable", detail)]
