"""The sessions that are no members, as they say, and the clients that wait there.

Such a session may become a member with the clients that it has. What another session concludes of
one of these clients must not be carried out meanwhile.
"""

from typing import NamedTuple

from zreg.config import Config
from zreg.effects import Peer


class _Lost(NamedTuple):
    """The clients that waited at a session whose connection is gone, and until when they count."""

    until: float
    clients: dict[bytes, None]


class UnadmittedSessions:
    """The connections whose session is no member, each with its clients.

    A connection that is lost may be made again at once, and a session may be started again: the
    clients count for a lease after it, or until the session is a member. Bounded by the clients
    that one session accepts, for each connection. Times are monotonic seconds.
    """

    def __init__(self, config: Config) -> None:
        self._lease_seconds = config.lease_seconds
        self._clients_max = config.clients_max
        # The connections; of each, whether its answer is waited for.
        self._must_answer: dict[Peer, bool] = {}
        # The clients by connection. A member names them before it says that it is none any more.
        self._clients: dict[Peer, dict[bytes, None]] = {}
        # By the id of the node.
        self._lost: dict[str, _Lost] = {}
        # The clients that do not wait any more at one of these; emptied by its reader.
        self.released: list[bytes] = []

    def __contains__(self, peer: Peer) -> bool:
        """Return whether the session behind a connection is no member, as it says."""
        return peer in self._must_answer

    def must_answer(self, peer: Peer) -> bool:
        """Return whether a session takes part in roll calls."""
        return self._must_answer.get(peer, False)

    def on_hello(self, peer: Peer, node_id: str, *, is_member: bool) -> bool:
        """Take what a session says of itself; return whether clients wait that it has to register.

        One that is no member and connects names all its clients behind this, and answers a call
        after that.
        """
        if not is_member:
            self._must_answer[peer] = True
            return False
        self._must_answer.pop(peer, None)
        clients = self._clients.pop(peer, {})
        if lost := self._lost.pop(node_id, None):
            clients |= lost.clients
        self.released += clients
        return bool(clients)

    def give_up(self, peer: Peer) -> bool:
        """Wait no more for the answer of a session; return whether it was waited for.

        A member that does not answer is ended by its lease; this one has none. Its clients go on to
        wait there.
        """
        if not self.must_answer(peer):
            return False
        self._must_answer[peer] = False
        return True

    def note_heard(self, peer: Peer) -> bool:
        """Note that a session has said something; return whether it was given up before."""
        if self._must_answer.get(peer, True):
            return False
        self._must_answer[peer] = True
        return True

    def note_client(self, peer: Peer, client_id: bytes, *, is_waiting: bool) -> bool:
        """Note that a client waits, or no more; return whether there was room for it."""
        clients = self._clients.setdefault(peer, {})
        if not is_waiting and client_id in clients:
            del clients[client_id]
            self.released.append(client_id)
        elif is_waiting and client_id not in clients:
            if len(clients) >= self._clients_max:
                return False
            clients[client_id] = None
        return True

    def forget(self, peer: Peer, node_id: str, now: float) -> None:
        """Note that a connection is gone."""
        self._must_answer.pop(peer, None)
        if clients := self._clients.pop(peer, None):
            if lost := self._lost.get(node_id):
                clients |= lost.clients
            self._lost[node_id] = _Lost(now + self._lease_seconds, clients)

    def expire(self, now: float) -> None:
        """Forget the clients of sessions that did not come back."""
        for node_id in [each for each, lost in self._lost.items() if lost.until <= now]:
            self.released += self._lost.pop(node_id).clients

    def is_client_waiting(self, client_id: bytes) -> bool:
        """Return whether a client waits at one of these sessions."""
        return any(client_id in clients for clients in self._clients.values()) or any(
            client_id in lost.clients for lost in self._lost.values()
        )

    def are_clients_waiting(self) -> bool:
        """Return whether any client waits."""
        return bool(self._lost) or any(self._clients.values())
