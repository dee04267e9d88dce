"""The clients that wait at this session while it is no member, of which all data nodes know.

What such a client publishes here cannot be registered yet. A former session of it may suspect it
meanwhile, and the data nodes would remove what it published there.
"""

import math
from typing import TYPE_CHECKING, Final

from zreg.effects import Effect, Link, Send
from zreg.primitives.timing.deadlines import Deadlines
from zreg.wire.records.data_messages import ClientWaits

if TYPE_CHECKING:
    from zreg.session.upstream.data_links import DataLinks

# A client that this session has sent away tries all others, and has come back after so many leases
# if it reaches none of them.
_RETURN_LEASES: Final = 2


class WaitingClients:
    """Tells each data node who waits, and each change of that once.

    A client waits until it ends, is registered elsewhere as it says, or has lost its connection for
    two leases. Bounded by the clients of this session. One of them is named again once a lease: a
    data node that has forgotten this session refuses it, and is told everything then. Times are
    monotonic seconds.
    """

    def __init__(self, links: "DataLinks", lease_seconds: float) -> None:
        self._links = links
        self._lease_seconds = lease_seconds
        self._clients: dict[bytes, None] = {}
        # When clients without a connection are waited for no longer.
        self._ends: Deadlines[bytes] = Deadlines()
        # What the data nodes do not know yet.
        self._untold: dict[bytes, None] = {}
        self._remind_at = math.inf

    def add(self, client_id: bytes) -> None:
        """Note that a client has greeted, or that its writes could not be registered."""
        self._ends.drop(client_id)
        if client_id not in self._clients:
            self._clients[client_id] = None
            self._untold[client_id] = None

    def await_return(self, client_id: bytes, now: float) -> None:
        """Note that a client has lost its connection: it may come back."""
        if client_id in self._clients:
            self._ends.set(client_id, now + _RETURN_LEASES * self._lease_seconds)

    def discard(self, client_id: bytes) -> None:
        """Note that a client does not wait, or not any more."""
        if client_id in self._clients:
            self._ends.drop(client_id)
            del self._clients[client_id]
            self._untold[client_id] = None

    def take_all(self) -> dict[bytes, float | None]:
        """Forget all, since this session is a member again; return until when each may come back.

        None: the client is connected. A `NodeHello` tells the data nodes.
        """
        ends = {client_id: self._ends.get(client_id) for client_id in self._clients}
        for client_id in self._clients:
            self._ends.drop(client_id)
        self._clients.clear()
        self._untold.clear()
        self._remind_at = math.inf
        return ends

    def tell(self, peer: str) -> list[Effect]:
        """Tell a data node that knows nothing of this session who waits."""
        return [Send(Link.DATA, peer, ClientWaits(client_id)) for client_id in self._clients]

    def settle(self, now: float) -> list[Effect]:
        """Tell all data nodes what has changed; name one client again if it is time."""
        for client_id in self._ends.take_due(now):
            self.discard(client_id)
        if self._clients and now >= self._remind_at:
            self._untold[next(iter(self._clients))] = None
        if not self._untold:
            return []
        self._remind_at = now + self._lease_seconds if self._clients else math.inf
        peers = [peer for peer in self._links.peers() if self._links.is_up(peer)]
        told = [ClientWaits(each, each in self._clients) for each in self._untold]
        self._untold.clear()
        return [Send(Link.DATA, peer, record) for peer in peers for record in told]

    def next_tick_at(self) -> float:
        """Return when a client is waited for no longer or named again; infinity if none waits."""
        at = self._ends.next_at()
        return self._remind_at if at is None else min(at, self._remind_at)
