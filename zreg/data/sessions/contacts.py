"""Which session is behind each connection of a data node, and which sessions it does not hear."""

from collections.abc import Collection

from zreg.config import Config
from zreg.data.sessions.unadmitted import UnadmittedSessions
from zreg.effects import Peer
from zreg.model import Incarnation, Membership, Role, Status

# Sessions that may take a client in. One that leaves sends its clients away.
_MAY_TAKE_CLIENTS = (Status.INITIAL, Status.WORKING)


class SessionContacts:
    """The sessions by connection; times are monotonic seconds.

    Invariant: a session is in `_unheard` exactly if it may take clients in and no connection has
    said that it is this session.
    """

    def __init__(self, config: Config) -> None:
        self._grace_seconds = config.session_grace_seconds
        self._by_peer: dict[Peer, Incarnation] = {}
        self._members: dict[Incarnation, None] = {}
        # Since when.
        self._unheard: dict[Incarnation, float] = {}
        # Connections with writes that were refused as this node was behind: they come again.
        self._refused: dict[Peer, None] = {}
        self.unadmitted = UnadmittedSessions(config)
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
        members, unadmitted = self._members, self.unadmitted
        return [
            (peer, each)
            for peer, each in self._by_peer.items()
            if (unadmitted.must_answer(peer) if peer in unadmitted else each in members)
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
        for peer in [each for each in self._refused if self._has_departed(each, membership)]:
            del self._refused[peer]
        self._unheard = {
            session: self._unheard.get(session, now)
            for session in self._members
            if session not in heard
        }

    def _has_departed(self, peer: Peer, membership: Membership) -> bool:
        session = self._by_peer.get(peer)
        is_known = session is not None and session.epoch <= membership.epoch
        return is_known and session not in self._members

    def on_node_hello(
        self, peer: Peer, session: Incarnation, now: float, *, is_member: bool = True
    ) -> None:
        """Note which session is behind a connection; one that joins or departs says so again."""
        waits = peer in self._waiting
        if not is_member:
            # What was refused comes again only from a member.
            self.note_served(peer)
        do_clients_wait = self.unadmitted.on_hello(peer, session.node_id, is_member=is_member)
        if self._by_peer.get(peer) != session:
            self._forget(peer, now)
            self._by_peer[peer] = session
        self._waiting.pop(peer, None)
        if is_member and (waits or do_clients_wait):
            # Another incarnation of the session has the same queue, behind the same connection, and
            # what its clients waited for comes now.
            self._waiting[peer] = None
        self._unheard.pop(session, None)
        self.news_count += 1

    def give_up(self, peer: Peer) -> bool:
        """Wait no more for the answer of a session that is no member; return whether it is one."""
        is_given_up = self.unadmitted.give_up(peer)
        self.news_count += is_given_up
        return is_given_up

    def note_heard(self, peer: Peer) -> None:
        """Note that a session has said something: it may be called again."""
        self.news_count += self.unadmitted.note_heard(peer)

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
        """Forget a connection; return the member that it was if no other one of it is left."""
        is_member = peer not in self.unadmitted
        if (session := self._by_peer.get(peer)) is not None:
            self.unadmitted.forget(peer, session.node_id, now)
        gone = self._forget(peer, now)
        return gone if is_member else None

    def _forget(self, peer: Peer, now: float) -> Incarnation | None:
        self.note_served(peer)
        self.note_all_sent(peer)
        session = self._by_peer.pop(peer, None)
        self.news_count += 1
        if session is None or session in self._by_peer.values():
            return None
        if session in self._members:
            self._unheard[session] = now
        return session
