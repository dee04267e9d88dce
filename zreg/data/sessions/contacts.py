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
        """Return the connections of the sessions that may take clients in."""
        members = self._members
        return [(peer, each) for peer, each in self._by_peer.items() if each in members]

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

    def on_node_hello(self, peer: Peer, session: Incarnation, now: float) -> None:
        """Note which session is behind a connection; a session that rejoins says so again."""
        if self._by_peer.get(peer) != session:
            waits = peer in self._waiting
            self.forget(peer, now)
            self._by_peer[peer] = session
            if waits:
                # Another incarnation of the session has the same queue, behind the same connection.
                self._waiting[peer] = None
        self._unheard.pop(session, None)
        self.news_count += 1

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

    def note_all_sent(self, peer: Peer) -> None:
        """Note that a session has sent all its writes."""
        if peer in self._waiting:
            del self._waiting[peer]
            self.news_count += 1

    def forget(self, peer: Peer, now: float) -> Incarnation | None:
        """Forget a connection; return its session if no other connection of it is left."""
        self.note_served(peer)
        self.note_all_sent(peer)
        session = self._by_peer.pop(peer, None)
        self.news_count += 1
        if session is None or session in self._by_peer.values():
            return None
        if session in self._members:
            self._unheard[session] = now
        return session
