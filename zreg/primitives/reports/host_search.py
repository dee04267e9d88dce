"""What a node finds on a host: each role has a part of it, and says that it lacks the rest."""

from zreg.wire.records.common_messages import (
    ClientsFound,
    FindClients,
    FindInstances,
    InstancesFound,
)


class HostSearch:
    """A node that knows neither what is published nor who subscribes, as meta does not.

    A search takes no memory between its pages: each page begins where the request says, and looks
    at a bounded part of what the node holds.
    """

    def instances(self, question: FindInstances, node_id: str) -> InstancesFound:
        """Return a page of what is published on a host."""
        return InstancesFound(question.request_id, node_id, ())

    def clients(self, question: FindClients, node_id: str) -> ClientsFound:
        """Return a page of the clients on a host, with what they subscribe to."""
        return ClientsFound(question.request_id, node_id, ())
