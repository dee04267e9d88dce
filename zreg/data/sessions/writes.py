"""The writes of sessions: which are merged, which are refused, and when they are accepted.

A write is merged at once. It is accepted after the hint at its change, once its replicas hold it
(`Acceptances`): a session that reads an acceptance knows that the data nodes hold the publisher.
"""

from collections.abc import Sequence

from zreg.config import Config
from zreg.data.placement import Placement
from zreg.data.refusals import Refusals
from zreg.data.replication.acceptances import Acceptances
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.http_instances import HttpInstances, is_of_another_session
from zreg.data.sessions.publisher_limits import PublisherLimits
from zreg.data.sessions.suspicions import SUSPICIONS, Suspicions
from zreg.data.store.bucket import BucketRole
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Peer
from zreg.errors import LimitError, NotReadyError, RefusedError, SessionGoneError
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Incarnation, Membership, Removal, Role, Status
from zreg.wire.records.data_messages import PublishDatum, UnpublishDatum

_LIVING = (Status.INITIAL, Status.WORKING, Status.LEAVING)
# The publishers of a departed session stay until meta forgets it.
_MAY_HAVE_PUBLISHERS = (*_LIVING, Status.DEPARTED)


class Writes:
    """Merges the writes of sessions into the store."""

    def __init__(  # noqa: PLR0913, PLR0917 -- one argument per part
        self,
        config: Config,
        store: DatumStore,
        placement: Placement,
        cluster_member: ClusterMember,
        refusals: Refusals,
        suspicions: Suspicions,
        contacts: SessionContacts,
        acceptances: Acceptances,
    ) -> None:
        self._store = store
        self._placement = placement
        self._cluster_member = cluster_member
        self._refusals = refusals
        self._suspicions = suspicions
        self._contacts = contacts
        self._acceptances = acceptances
        self.limits = PublisherLimits(config, store)
        self.http_instances = HttpInstances(store, placement, refusals, contacts)
        # The session incarnations of the membership, and those of them that have not departed.
        self._sessions: frozenset[Incarnation] = frozenset()
        self._living: frozenset[Incarnation] = frozenset()

    def follow(self, membership: Membership) -> None:
        """Take a new membership: its living sessions may register publishers."""
        members = membership.of(Role.SESSION, *_MAY_HAVE_PUBLISHERS)
        self._sessions = frozenset(member.incarnation for member in members)
        members = membership.of(Role.SESSION, *_LIVING)
        self._living = frozenset(member.incarnation for member in members)

    def evict_forgotten(self, count_max: int) -> bool:
        """Evict publishers of sessions that the membership has no more; return whether all.

        At most so many are evicted. A session from a later epoch may be a member already: a replica
        that is ahead can offer its publishers.

        That meta has forgotten a session proves nothing by itself: a client may have moved to a
        session that this node has not heard. So the caller waits until the digest with every living
        session was equal after the forgetting, and then commits at once (`DatumStore.evict`).
        """
        for session in self._store.buckets.by_session.sessions():
            if session not in self._sessions and session.epoch <= self._refusals.epoch:
                count_max -= self._store.evict(session, count_max)
                if not count_max:
                    return False
        return True

    def on_publish(self, peer: Peer, publish: PublishDatum, now: float) -> Sequence[Effect]:
        """Merge a publisher; a new one only if there is room for it."""
        name = publish.data_info_id
        if not self._placement.is_primary(name):
            if self._cluster_member.is_behind:
                self._contacts.note_refused(peer)
            return [self._refusals.not_primary(peer, publish.request_id)]
        if publish.publisher.session not in self._living:
            return self._refuse_session(peer, publish)
        held = self._store.publisher(name, publish.publisher.publisher_id)
        if held is not None and held.client_id != publish.publisher.client_id:
            detail = "this publisher id belongs to another client: publish under a new id"
            return [self._refusals.refuse(peer, publish.request_id, RefusedError, detail)]
        if held is None and (why := self.limits.why_refused(name)):
            refused = self._refusals.refuse(peer, publish.request_id, LimitError, why)
            return [*self.limits.note_refused(name, now), refused]
        self._store.put(name, publish.publisher)
        self._contacts.note_served(peer)
        self._acceptances.add(peer, publish.request_id, name)
        return self.http_instances.on_put(peer, name, publish.publisher, held)

    def on_unpublish(self, peer: Peer, unpublish: UnpublishDatum, now: float) -> Sequence[Effect]:
        """Merge removals; a session that is gone may still report them."""
        name = unpublish.data_info_id
        if not self._placement.is_primary(name):
            return [self._refusals.not_primary(peer, unpublish.request_id)]
        if self._suspicions.hold(peer, unpublish, now):
            return ()
        return self._remove(peer, unpublish, now)

    def judge(self, now: float) -> list[Effect]:
        """Merge the suspicions that can be judged now; refuse those of another primary."""
        effects: list[Effect] = []
        if len(self._suspicions):
            for peer, unpublish in self._suspicions.take_due(now):
                if self._placement.is_primary(unpublish.data_info_id):
                    effects += self._remove(peer, unpublish, now)
                else:
                    effects.append(self._refusals.not_primary(peer, unpublish.request_id))
            effects += self._suspicions.call_sessions(now)
        return effects

    def _remove(self, peer: Peer, unpublish: UnpublishDatum, now: float) -> list[Effect]:
        name = unpublish.data_info_id
        effects: list[Effect] = []
        for removal in unpublish.removals:
            held = self._store.publisher(name, removal.publisher_id)
            if self._is_suspicion_of_departed(removal):
                continue
            if held is not None and is_of_another_session(removal, held):
                continue
            if self._store.remove(name, removal, now) and held is not None:
                effects += self.http_instances.on_remove(name, removal, held)
        self._acceptances.add(peer, unpublish.request_id, name)
        return effects

    def _is_suspicion_of_departed(self, removal: Removal) -> bool:
        """Return whether a session suspects a client although meta has taken it for dead itself.

        Its clients left it because it was stopped or cut off, and live elsewhere.
        """
        return removal.cause in SUSPICIONS and removal.session not in self._living

    def _refuse_session(self, peer: Peer, publish: PublishDatum) -> list[Effect]:
        """Refuse a publisher of a session that is not in the membership, or has departed.

        A session from a later epoch means that this node is behind. Any other one is gone. One that
        departed may not know it, since it was stopped or cut off. Its clients have to leave it, and
        what it registered now would be evicted with the rest of it: in a moment, if its grace is
        nearly over.
        """
        session = publish.publisher.session
        if session.epoch > self._refusals.epoch:
            detail = f"{session} joined at an epoch that this node has not seen yet: send again"
            refused = self._refusals.refuse(peer, publish.request_id, NotReadyError, detail)
            self._contacts.note_refused(peer)
            return [*self._cluster_member.see_epoch(session.epoch), refused]
        detail = f"{session} is not a member (any more): join again, then have the clients replay"
        return [self._refusals.refuse(peer, publish.request_id, SessionGoneError, detail)]

    def forget(self, peer: Peer) -> None:
        """Drop the acceptances and the suspicions of a peer whose connection is gone."""
        self._acceptances.forget(peer)
        self._suspicions.forget(peer)

    def refuse_of_others(self) -> list[Effect]:
        """Refuse the writes that wait in buckets of which this node is the primary no more.

        The session sends them to the new primary, which may not have got them as a replica.
        """
        primary = BucketRole.PRIMARY
        role = self._store.buckets.role
        return [
            self._refusals.not_primary(waiting.peer, waiting.request_id)
            for waiting in self._acceptances.take_of_others(lambda b: role(b) is primary)
        ]
