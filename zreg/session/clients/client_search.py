"""The clients of a session that are connected from a host, and what they subscribe to."""

from collections.abc import Iterator

from zreg.hosts import is_loopback_host
from zreg.membership.cluster_member import ClusterMember
from zreg.model import DataInfoId, Scope
from zreg.primitives.reports.host_search import HostSearch
from zreg.session.clients.client_table import Client, ClientTable
from zreg.tcp_address import bare_host
from zreg.wire.parts import first_subscriptions
from zreg.wire.records.common_messages import ClientsFound, FindClients, HostSubscription


class ClientSearch(HostSearch):
    """Looks through the clients of a session. One that came over loopback is on its host too."""

    def __init__(self, table: ClientTable, cluster_member: ClusterMember, node_id: str) -> None:
        self._table = table
        self._cluster_member = cluster_member
        self._node_id = node_id

    def clients(self, question: FindClients, node_id: str) -> ClientsFound:
        """Return the next page: a line for each client and id, in their order."""
        clients = [
            client
            for client in self._table.all()
            if client.client_id >= question.after_client and self._is_on(client, question.host)
        ]
        clients.sort(key=lambda client: client.client_id)
        lines = self._lines(clients, question)
        page = first_subscriptions(lines, question.limit)
        # What follows the page was looked at only up to the first line that did not fit.
        is_complete = len(page) < question.limit and next(lines, None) is None
        return ClientsFound(question.request_id, node_id, page, is_complete)

    def _is_on(self, client: Client, host: str) -> bool:
        if client.host == host:
            return True
        is_local = bool(client.host) and is_loopback_host(client.host)
        own = self._cluster_member.membership.living(self._node_id)
        return is_local and own is not None and host == bare_host(own.address)

    def _lines(self, clients: list[Client], question: FindClients) -> Iterator[HostSubscription]:
        for client in clients:
            scopes: dict[DataInfoId, list[Scope]] = {}
            for name, scope in client.subscription_keys:
                scopes.setdefault(name, []).append(scope)
            is_first = client.client_id == question.after_client
            for name in sorted(scopes) or [DataInfoId("")]:
                if not is_first or name > question.after_name:
                    yield _line(client, name, tuple(sorted(scopes.get(name, ()))))


def _line(client: Client, name: DataInfoId, scopes: tuple[Scope, ...]) -> HostSubscription:
    return HostSubscription(
        client.client_id,
        client.app,
        client.zone,
        client.data_center,
        client.peer is not None,
        len(client.publisher_ids),
        name,
        scopes,
    )
