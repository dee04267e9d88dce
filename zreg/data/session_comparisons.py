"""The sessions that are connected to a data node, and the answers to their comparisons."""

from collections.abc import Sequence

from zreg.data import follower_answers
from zreg.data.ownership import Ownership
from zreg.data.refusals import Refusals
from zreg.data.store import DatumStore
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import UnknownNodeError
from zreg.model import Incarnation
from zreg.wire.data_messages import (
    CompareDigest,
    ComparePublishers,
    DigestCompared,
    NodeHello,
)

_SAY_HELLO = "say NodeHello first"


class SessionComparisons:
    """Knows the session behind each connection; compares its digest and its publishers."""

    def __init__(self, store: DatumStore, ownership: Ownership, refusals: Refusals) -> None:
        self._store = store
        self._ownership = ownership
        self._refusals = refusals
        self._sessions: dict[Peer, Incarnation] = {}

    def __len__(self) -> int:
        """Return how many connections have said which session they are."""
        return len(self._sessions)

    def is_session(self, peer: Peer) -> bool:
        """Return whether this connection has said which session it is."""
        return peer in self._sessions

    def on_node_hello(self, peer: Peer, hello: NodeHello) -> None:
        """Note which session is behind a connection; a session that rejoins says so again."""
        self._sessions[peer] = hello.incarnation

    def forget(self, peer: Peer) -> Incarnation | None:
        """Forget a connection; return its session if no other connection of it is left."""
        session = self._sessions.pop(peer, None)
        return None if session in self._sessions.values() else session

    def on_compare_digest(self, peer: Peer, compare: CompareDigest) -> tuple[list[Effect], bool]:
        """Return the answer, and whether this was the last session to be reconciled with.

        A digest under another ring is not answered, nor one that comes while the store still holds
        what this node does not own: the session sends the next one soon. An unidentified peer is
        asked to say who it is: this node forgets a session that does not read, and the session does
        not know.
        """
        session = self._sessions.get(peer)
        if session is None:
            return [self._refusals.refuse(peer, 0, UnknownNodeError, _SAY_HELLO)], False
        is_same_ring = compare.ring_epoch == self._ownership.ring_epoch
        if not self._ownership.is_member or not is_same_ring or self._store.is_checking:
            return [], False
        held = self._store.by_session.of(session)
        is_equal = (compare.count, compare.digest) == (held.count, held.value)
        compared = DigestCompared(compare.ring_epoch, is_equal)
        is_last = is_equal and self._ownership.reconcile(session)
        return [Send(Link.REQUESTS, peer, compared)], is_last

    def on_compare_publishers(self, peer: Peer, compare: ComparePublishers) -> Sequence[Effect]:
        """Answer which publishers are missing here, and which the session does not know."""
        session = self._sessions.get(peer)
        if session is None:
            return [self._refusals.refuse(peer, 0, UnknownNodeError, _SAY_HELLO)]
        if self._store.is_checking:
            return ()
        compared = follower_answers.compared_publishers(self._store, compare, session)
        return [Send(Link.REQUESTS, peer, compared)]
