"""The writes of sessions: which are merged, which are refused, and when they are accepted.

A write is merged at once and accepted at the end of the turn, after the hint at its change: a
session that reads an acceptance knows that the data node holds the publisher.
"""

from collections.abc import Sequence

from zreg.config import Limits
from zreg.data.ownership import Ownership
from zreg.data.refusals import Refusals
from zreg.data.store import DatumStore
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import NotReadyError, SessionGoneError
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Incarnation, Membership, Role, Status
from zreg.wire.common_messages import Accepted
from zreg.wire.data_messages import PublishDatum, UnpublishDatum

# A departed session may still register publishers until meta forgets it.
_MAY_REGISTER = (Status.INITIAL, Status.WORKING, Status.LEAVING, Status.DEPARTED)


class Writes:
    """Merges writes into the store, and collects their acceptances by peer."""

    def __init__(
        self,
        store: DatumStore,
        ownership: Ownership,
        cluster_member: ClusterMember,
        refusals: Refusals,
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._cluster_member = cluster_member
        self._refusals = refusals
        # The session incarnations of the membership.
        self._sessions: frozenset[Incarnation] = frozenset()
        self._accepted: dict[Peer, list[int]] = {}

    def follow(self, membership: Membership) -> None:
        """Take a new membership, and evict the publishers of sessions that it has no more.

        The caller commits at once (`DatumStore.evict` says why).
        """
        members = membership.of(Role.SESSION, *_MAY_REGISTER)
        self._sessions = frozenset(member.incarnation for member in members)
        for session in self._store.digests.sessions():
            if session not in self._sessions:
                self._store.evict(session)

    def on_publish(self, peer: Peer, publish: PublishDatum, now: float) -> Sequence[Effect]:
        """Merge a publisher."""
        del now
        name = publish.data_info_id
        if not self._ownership.is_primary(name):
            return [self._refusals.not_primary(peer, publish.request_id)]
        if publish.publisher.session not in self._sessions:
            return self._refuse_session(peer, publish)
        self._store.put(name, publish.publisher)
        self._accept(peer, publish.request_id)
        return ()

    def on_unpublish(self, peer: Peer, unpublish: UnpublishDatum, now: float) -> Sequence[Effect]:
        """Merge removals; a session that is gone may still report them."""
        name = unpublish.data_info_id
        if not self._ownership.is_primary(name):
            return [self._refusals.not_primary(peer, unpublish.request_id)]
        for removal in unpublish.removals:
            self._store.remove(name, removal, now)
        self._accept(peer, unpublish.request_id)
        return ()

    def _accept(self, peer: Peer, request_id: int) -> None:
        request_ids = self._accepted.get(peer)
        if request_ids is None:
            self._accepted[peer] = [request_id]
        else:
            request_ids.append(request_id)

    def _refuse_session(self, peer: Peer, publish: PublishDatum) -> list[Effect]:
        """Refuse a publisher of a session that is not in the membership.

        A session from a later epoch means that this node is behind. Any other one is gone.
        """
        session = publish.publisher.session
        if session.epoch > self._refusals.epoch:
            detail = f"{session} joined at an epoch that this node has not seen yet: send again"
            refused = self._refusals.refuse(peer, publish.request_id, NotReadyError, detail)
            return [*self._cluster_member.see_epoch(session.epoch), refused]
        detail = f"{session} is not a member (any more): join again, then have the clients replay"
        return [self._refusals.refuse(peer, publish.request_id, SessionGoneError, detail)]

    def forget(self, peer: Peer) -> None:
        """Drop the acceptances for a peer whose connection is gone."""
        self._accepted.pop(peer, None)

    def settle(self) -> list[Effect]:
        """Return the acceptances of this turn; the changes must be committed before."""
        effects: list[Effect] = []
        size = Limits.ids_per_record_max
        for peer, request_ids in self._accepted.items():
            for at in range(0, len(request_ids), size):
                accepted = Accepted(tuple(request_ids[at : at + size]))
                effects.append(Send(Link.REQUESTS, peer, accepted))
        self._accepted.clear()
        return effects
