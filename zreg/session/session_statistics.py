"""The counters and sizes of a session, for its pages, metrics and signals."""

from zreg.membership.cluster_member import ClusterMember
from zreg.session.clients.client_handler import ClientHandler
from zreg.session.data_handler import DataHandler
from zreg.session.pages.page_handler import PageHandler


def statistics_of(
    cluster_member: ClusterMember, data: DataHandler, clients: ClientHandler, pages: PageHandler
) -> dict[str, int | float | str]:
    """Return the counters and sizes; none of them scans what the session holds."""
    pusher = clients.subscriptions.pusher
    return {
        **cluster_member.statistics(),
        "clients": len(clients.table),
        "publishers": len(data.registrations),
        "pending": data.queues.pending_count,
        "publishes_delayed": clients.pending_reason.count,
        "publishes_refused": clients.publishing.refused_count,
        "subscribers": len(pusher),
        "interests": len(data.followed),
        "interests_of_pages": len(pages.datums),
        "pushes": pusher.push_count,
        "fetches": data.followed.fetch_count,
        "gaps": data.followed.gap_count,
        "compares": data.followed.compare_count,
        "clients_off": clients.removed_count,
        "clients_asked": clients.rebalancing.asked_count,
        "clients_moved": clients.rebalancing.moved_count,
        "stalls": clients.table.stall_count,
    }
