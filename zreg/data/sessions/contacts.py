"""Which session is behind each connection of a data node, and which sessions it does not hear."""

from collections.abc import Collection

from zreg.effects import Peer
from zreg.model import Incarnation, Membership, Role, Status

# Sessions that may take a client in. One that leaves sends its clients away.
_MAY_TAKE_CLIENTS = (Status.INITIAL, Status.WORKING)


class SessionContacts:
    """The sessions by connection; times are monotonic seconds.

    Invariant: a session is in `_unheard` exactly if it may take clients in and no connection has
    said that it is this session.
    """

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._by_peer: dict[Peer, Incarnation] = {}
        self._members: dict[Incarnation, None] = {}
        # Since when.
        self._unheard: dict[Incarnation, float] = {}
        # Connections with writes that were refused as this node was behind: they come again.
        self._refused: dict[Peer, None] = {}
        # Connections whose session is no member, as it says, and may become one with the clients
        # that it has.
        self._unadmitted: dict[Peer, None] = {}
        # The clients that wait at these, as the session says.
        self._clients: dict[Peer, dict[bytes, None]] = {}
        # Connections whose session has writes that it may not send yet.
        self._waiting: dict[Peer, None] = {}
        # Raised whenever less has to be waited for.
        self.news_count = 0

    def __len__(self) -> int:
        """Return how many connections have said which session they are."""
        return len(self._by_peer)

    def of_peer(self, peer: Peer) -> Incarnation | None:
        """Return the session behind a connection; None if it has not said which one it is."""
        return self._by_peer.get(peer)

    def peers_of(self, session: Incarnation) -> list[Peer]:
        """Return the connections that are this session."""
        return [peer for peer, each in self._by_peer.items() if each == session]

    def connected(self) -> list[tuple[Peer, Incarnation]]:
        """Return the connections of the sessions that may take clients in.

        Those of sessions that meta has not admitted, or takes for dead, are among them if they have
        said so: a client may wait there that reaches no other. One that says nothing is stopped.
        """
        members, unadmitted = self._members, self._unadmitted
        return [
            (peer, each)
            for peer, each in self._by_peer.items()
            if each in members or peer in unadmitted
        ]

    @property
    def owes_writes(self) -> bool:
        """Whether a session has to send a write yet that it may have got from a moved client."""
        return bool(self._refused or self._waiting)

    def hears_any_of(self, sessions: Collection[Incarnation]) -> bool:
        """Return whether one of these sessions is connected and may take clients in."""
        heard = set(self._by_peer.values())
        return any(session in heard and session in self._members for session in sessions)

    def has_unheard(self, at: float) -> bool:
        """Return whether a session that is not connected may hold a client that vanished then.

        A session that was not connected for the whole session grace before that time may not: its
        clients had the time to move to another one.
        """
        return any(at - since < self._grace_seconds for since in self._unheard.values())

    def follow(self, membership: Membership, now: float) -> None:
        """Take a new membership."""
        members = membership.of(Role.SESSION, *_MAY_TAKE_CLIENTS)
        self._members = dict.fromkeys(member.incarnation for member in members)
        heard = set(self._by_peer.values())
        self.news_count += 1
        self._unheard = {
            session: self._unheard.get(session, now)
            for session in self._members
            if session not in heard
        }

    def on_node_hello(
        self, peer: Peer, session: Incarnation, now: float, *, is_member: bool = True
    ) -> None:
        """Note which session is behind a connection; one that joins or departs says so again."""
        waits, clients = peer in self._waiting, self._clients.pop(peer, {})
        if self._by_peer.get(peer) != session:
            self.forget(peer, now)
            self._by_peer[peer] = session
        self._unadmitted.pop(peer, None)
        self._waiting.pop(peer, None)
        if not is_member:
            self._unadmitted[peer] = None
            self._clients[peer] = clients
        elif waits or clients:
            # Another incarnation of the session has the same queue, behind the same connection, and
            # what its clients waited for comes now.
            self._waiting[peer] = None
        self._unheard.pop(session, None)
        self.news_count += 1

    def give_up(self, peer: Peer) -> bool:
        """Wait no more for a session that is no member; return whether it was one of these.

        A member that does not answer is ended by its lease; this one has none.
        """
        if peer not in self._unadmitted:
            return False
        del self._unadmitted[peer]
        self._clients.pop(peer, None)
        self.news_count += 1
        return True

    def note_refused(self, peer: Peer) -> None:
        """Note that a write was refused because this node was behind: the session sends it again.

        It may be the new registration of a client that another session has seen vanish.
        """
        self._refused[peer] = None

    def note_served(self, peer: Peer) -> None:
        """Note that a session's writes were taken, or that nothing of it is missing here."""
        if peer in self._refused:
            del self._refused[peer]
            self.news_count += 1

    def note_waiting(self, peer: Peer) -> None:
        """Note that a session has writes that it may not send yet."""
        self._waiting[peer] = None

    def note_client(self, peer: Peer, client_id: bytes, *, is_waiting: bool) -> None:
        """Note that a client waits at a session that is no member, or no more."""
        clients = self._clients.setdefault(peer, {})
        if is_waiting:
            clients[client_id] = None
        else:
            clients.pop(client_id, None)
            self.news_count += 1

    def are_clients_waiting(self) -> bool:
        """Return whether any client waits at a session that is no member."""
        return any(self._clients.values())

    def is_client_waiting(self, client_id: bytes) -> bool:
        """Return whether this client waits at a session that is no member."""
        return any(client_id in clients for clients in self._clients.values())

    def note_all_sent(self, peer: Peer) -> None:
        """Note that a session has sent all its writes."""
        if peer in self._waiting:
            del self._waiting[peer]
            self.news_count += 1

    def forget(self, peer: Peer, now: float) -> Incarnation | None:
        """Forget a connection; return the member that it was if no other one of it is left."""
        self.note_served(peer)
        self.note_all_sent(peer)
        is_member = peer not in self._unadmitted
        self._unadmitted.pop(peer, None)
        self._clients.pop(peer, None)
        session = self._by_peer.pop(peer, None)
        self.news_count += 1
        if session is None or session in self._by_peer.values():
            return None
        if session in self._members:
            self._unheard[session] = now
        return session if is_member else None
