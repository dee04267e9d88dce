"""Publishers that programs registered over HTTP: which session answers for them changes often.

Their programs are no clients, and go to any session with each renewal. Two rules follow. What a
session concludes from silence removes only what is registered by that session: the program may
have gone to another one. And a session that has lost a publisher is told so, since nothing else
tells it: without that it would hold on to the publisher, and its digest would differ.
"""

from collections.abc import Sequence

from zreg.data.placement import Placement
from zreg.data.refusals import Refusals
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.suspicions import SUSPICIONS
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Link, Peer, Send
from zreg.model import DataInfoId, Publisher, Removal, is_over_http
from zreg.wire.records.data_messages import FetchInstance, InstanceFetched, InstanceTaken


class HttpInstances:
    """Answers what is held of such a publisher, and tells the session that has lost it."""

    def __init__(
        self,
        store: DatumStore,
        placement: Placement,
        refusals: Refusals,
        contacts: SessionContacts,
    ) -> None:
        self._store = store
        self._placement = placement
        self._refusals = refusals
        self._contacts = contacts

    def on_fetch(self, peer: Peer, fetch: FetchInstance) -> list[Effect]:
        """Answer what this node holds; only the primary can say."""
        name, publisher_id = fetch.data_info_id, fetch.publisher_id
        if not self._placement.is_primary(name):
            return [self._refusals.not_primary(peer, fetch.request_id)]
        publisher = self._store.publisher(name, publisher_id)
        version = self._removed_version(name, publisher_id)
        if publisher is not None:
            version = publisher.version
        answer = InstanceFetched(fetch.request_id, version, publisher)
        return [Send(Link.REQUESTS, peer, answer)]

    def on_put(
        self, peer: Peer, name: DataInfoId, publisher: Publisher, before: Publisher | None
    ) -> list[Effect]:
        """Tell who has lost the publisher: the session that had it before, or the one that wrote.

        A write may come late. What another session has registered since, or a removal, wins then.
        """
        if not is_over_http(publisher.client_id):
            return []
        publisher_id = publisher.publisher_id
        now = self._store.publisher(name, publisher_id)
        if now is None:
            version = self._removed_version(name, publisher_id)
            return _tell([peer], InstanceTaken(name, publisher_id, version, is_removed=True))
        taken = InstanceTaken(name, publisher_id, now.version)
        if now.session != publisher.session:
            return _tell([peer], taken)
        if before is None or before.session == now.session:
            return []
        return _tell(self._contacts.peers_of(before.session), taken)

    def on_remove(self, name: DataInfoId, removal: Removal, before: Publisher) -> list[Effect]:
        """Tell the session that had the publisher, if the removal is that of another session."""
        if not is_over_http(before.client_id) or before.session == removal.session:
            return []
        taken = InstanceTaken(name, before.publisher_id, removal.version, is_removed=True)
        return _tell(self._contacts.peers_of(before.session), taken)

    def _removed_version(self, name: DataInfoId, publisher_id: bytes) -> int:
        datum = self._store.find(name)
        tombstone = None if datum is None else datum.tombstones.get(publisher_id)
        return 0 if tombstone is None else tombstone[0].version


def is_of_another_session(removal: Removal, held: Publisher) -> bool:
    """Return whether a session suspects a program that has gone to another session."""
    return (
        removal.cause in SUSPICIONS
        and is_over_http(held.client_id)
        and held.session != removal.session
    )


def _tell(peers: Sequence[Peer], taken: InstanceTaken) -> list[Effect]:
    return [Send(Link.REQUESTS, peer, taken) for peer in peers]
