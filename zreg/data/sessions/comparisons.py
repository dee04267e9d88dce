"""The answers of a data node to the comparisons of sessions."""

from collections.abc import Sequence

from zreg.data.followers import follower_answers
from zreg.data.placement import Placement
from zreg.data.refusals import Refusals
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.suspicions import Suspicions
from zreg.data.store.datum_store import DatumStore
from zreg.effects import INFO, Effect, Link, Log, Peer, Send
from zreg.errors import LimitError, UnknownNodeError
from zreg.model import Incarnation
from zreg.primitives.digest import DigestSum
from zreg.wire.records.data_messages import (
    ClientWaits,
    CompareDigest,
    ComparePublishers,
    DigestCompared,
    NodeHello,
    Present,
    WritesWait,
)

_SAY_HELLO = "say NodeHello first"
_TOO_MANY_CLIENTS = "more clients wait at this session than a session accepts (clients_max)"


class SessionComparisons:
    """Compares the digests and the publishers of sessions with what this node holds of them."""

    def __init__(
        self,
        store: DatumStore,
        placement: Placement,
        refusals: Refusals,
        contacts: SessionContacts,
        suspicions: Suspicions,
    ) -> None:
        self._store = store
        self._placement = placement
        self._refusals = refusals
        self._contacts = contacts
        self._suspicions = suspicions

    def on_compare_digest(self, peer: Peer, compare: CompareDigest) -> tuple[list[Effect], bool]:
        """Return the answer, and whether this was the last session to be reconciled with.

        A session is reconciled by a digest that is equal and says that no writes wait. A digest
        under another ring is not answered, nor one that comes while the store still holds what this
        node does not own: the session sends the next one soon. An unidentified peer is asked to say
        who it is: this node forgets a session that does not read, and the session does not know.
        """
        session = self._contacts.of_peer(peer)
        if session is None:
            return [self._refusals.refuse(peer, 0, UnknownNodeError, _SAY_HELLO)], False
        if compare.do_writes_wait:
            self._contacts.note_waiting(peer)
        else:
            self._contacts.note_all_sent(peer)
        is_same_ring = compare.ring_epoch == self._placement.ring_epoch
        if not self._placement.is_member or not is_same_ring or self._store.buckets.is_checking:
            return [], False
        held = self._store.buckets.by_session.of(session)
        is_equal = (compare.count, compare.digest) == (held.count, held.value)
        if not is_equal and len(self._suspicions):
            without = self._without_suspected(session, held)
            is_equal = (compare.count, compare.digest) == (without.count, without.value)
        compared = DigestCompared(compare.ring_epoch, is_equal)
        if is_equal:
            self._contacts.note_served(peer)
        # What its clients have to replay yet may exist nowhere else.
        is_whole = is_equal and not compare.do_writes_wait
        is_last = is_whole and self._placement.reconcile(session)
        effects: list[Effect] = [Send(Link.REQUESTS, peer, compared)]
        if is_last:
            ring_epoch = self._placement.ring_epoch
            effects.append(Log(INFO, "data.reconciled", {"ring_epoch": ring_epoch}))
        return effects, is_last

    def _without_suspected(self, session: Incarnation, held: DigestSum) -> DigestSum:
        """Return the digest of a session's publishers without those whose removal waits here.

        The session counts them no longer, so that the digests differ is no reason to compare.
        """
        without = DigestSum()
        without.count, without.value = held.count, held.value
        for publisher_id, (name, version) in self._suspicions.of(session).items():
            publisher = self._store.publisher(name, publisher_id)
            if publisher and publisher.session == session and publisher.version <= version:
                without.discard(publisher_id, publisher.version)
        return without

    def on_told(
        self, peer: Peer, message: NodeHello | WritesWait | ClientWaits | Present, now: float
    ) -> list[Effect]:
        """Note which session is behind a connection, and what it says of itself."""
        if isinstance(message, NodeHello):
            self._contacts.on_node_hello(
                peer, message.incarnation, now, is_member=message.is_member
            )
        elif isinstance(message, Present):
            self._suspicions.on_present(peer, message.number)
        elif self._contacts.of_peer(peer) is None:
            return [self._refusals.refuse(peer, 0, UnknownNodeError, _SAY_HELLO)]
        elif isinstance(message, ClientWaits):
            return self._on_client_waits(peer, message)
        else:
            self._contacts.note_waiting(peer)
        return []

    def _on_client_waits(self, peer: Peer, waits: ClientWaits) -> list[Effect]:
        self._contacts.note_heard(peer)
        unadmitted = self._contacts.unadmitted
        if unadmitted.note_client(peer, waits.client_id, is_waiting=waits.is_waiting):
            return []
        return [self._refusals.refuse(peer, 0, LimitError, _TOO_MANY_CLIENTS)]

    def on_compare_publishers(self, peer: Peer, compare: ComparePublishers) -> Sequence[Effect]:
        """Answer which publishers are missing here, and which the session does not know."""
        session = self._contacts.of_peer(peer)
        if session is None:
            return [self._refusals.refuse(peer, 0, UnknownNodeError, _SAY_HELLO)]
        if self._store.buckets.is_checking:
            return ()
        compared = follower_answers.compared_publishers(self._store, compare, session)
        return [Send(Link.REQUESTS, peer, compared)]
