"""Which session is behind each connection of a data node, and which sessions it does not hear."""

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

    def __len__(self) -> int:
        """Return how many connections have said which session they are."""
        return len(self._by_peer)

    def of_peer(self, peer: Peer) -> Incarnation | None:
        """Return the session behind a connection; None if it has not said which one it is."""
        return self._by_peer.get(peer)

    def are_all_heard(self, now: float) -> bool:
        """Return whether every session that may hold a client is connected and was not refused.

        A session that was not connected for the whole session grace does not count: its clients had
        the time to move to another one.
        """
        if self._refused:
            return False
        return all(now - since >= self._grace_seconds for since in self._unheard.values())

    def follow(self, membership: Membership, now: float) -> None:
        """Take a new membership."""
        members = membership.of(Role.SESSION, *_MAY_TAKE_CLIENTS)
        self._members = dict.fromkeys(member.incarnation for member in members)
        heard = set(self._by_peer.values())
        self._unheard = {
            session: self._unheard.get(session, now)
            for session in self._members
            if session not in heard
        }

    def on_node_hello(self, peer: Peer, session: Incarnation, now: float) -> None:
        """Note which session is behind a connection; a session that rejoins says so again."""
        if self._by_peer.get(peer) != session:
            self.forget(peer, now)
            self._by_peer[peer] = session
        self._unheard.pop(session, None)

    def note_refused(self, peer: Peer) -> None:
        """Note that a write was refused because this node was behind: the session sends it again.

        It may be the new registration of a client that another session has seen vanish.
        """
        self._refused[peer] = None

    def note_served(self, peer: Peer) -> None:
        """Note that a session's writes were taken, or that nothing of it is missing here."""
        if self._refused:
            self._refused.pop(peer, None)

    def forget(self, peer: Peer, now: float) -> Incarnation | None:
        """Forget a connection; return its session if no other connection of it is left."""
        self._refused.pop(peer, None)
        session = self._by_peer.pop(peer, None)
        if session is None or session in self._by_peer.values():
            return None
        if session in self._members:
            self._unheard[session] = now
        return session
