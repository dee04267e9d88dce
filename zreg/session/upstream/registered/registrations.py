"""The publishers that a session answers for, and what of them the data nodes have accepted.

There is one `Registration` per publisher, its newest state, and not one per request: so memory is
bounded by what clients registered. What a data node has not accepted is sent again until it is
accepted or withdrawn.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec.structs import replace

from zreg.model import NO_INCARNATION, Cause, DataInfoId, Incarnation, Publisher, Removal
from zreg.primitives.digest import DigestSum
from zreg.primitives.shared_values import shared_text
from zreg.session.upstream.data_links import NO_NODE, DataLinks
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.session.upstream.registered.registration import (
    SUSPICIONS,
    Registration,
    unknown_registration,
)
from zreg.wire.records.client_messages import Unpublish
from zreg.wire.records.common_messages import Accepted


class Registrations:
    """All registrations of a session, each in the queue of its primary.

    `session` is the present incarnation of this session, which answers for the publishers of its
    clients. Invariants: a publisher without a removal counts in the digest of its queue exactly if
    `session` answers for it. A withdrawn one stays until its data node has accepted the removal.
    Each is in the queue of its primary, except, while `is_moving`, in that of a former one.
    """

    def __init__(self, links: DataLinks, queues: NodeQueues) -> None:
        self._links = links
        self._queues = queues
        self.session: Incarnation = NO_INCARNATION
        self._registrations: dict[bytes, Registration] = {}
        # The registrations of before the ring changed that may have another primary now.
        self._unmoved: Iterator[Registration] = iter(())

    @property
    def is_member(self) -> bool:
        """Whether `session` is a member, as far as this node knows."""
        return self._queues.is_member

    def __len__(self) -> int:
        """Return how many registrations there are, withdrawn ones included."""
        return len(self._registrations)

    def __iter__(self) -> Iterator[Registration]:
        """Iterate over those that there are now; it is no matter what changes meanwhile."""
        return iter(list(self._registrations.values()))

    def find(self, publisher_id: bytes) -> Registration | None:
        """Return the registration of a publisher; one that waits to be moved is moved first."""
        registration = self._registrations.get(publisher_id)
        if self._queues.is_moving and registration is not None:
            self._move(registration)
        return registration

    def answers_for(self, publisher_id: bytes) -> bool:
        """Return whether the present incarnation answers for a publisher."""
        registration = self._registrations.get(publisher_id)
        return registration is not None and self._is_answered_for(registration)

    def is_answered_for_at(self, registration: Registration, peer: str) -> bool:
        """Return whether the present incarnation answers for a publisher at a data node."""
        return registration.peer == peer and self._is_answered_for(registration)

    def _is_answered_for(self, registration: Registration) -> bool:
        return (
            registration.removal is None
            and registration.publisher.session == self.session != NO_INCARNATION
        )

    def is_accepted(self, registration: Registration) -> bool:
        """Return whether its data node holds the present state of a registration."""
        unsent = self._queues.by_peer[registration.peer].unsent
        if registration.request_id or registration in unsent:
            return False
        # What an earlier incarnation registered is not sent any more. That it is in no queue does
        # not mean that it was accepted.
        return registration.removal is not None or registration.publisher.session == self.session

    def is_reached(self, registration: Registration) -> bool:
        """Return whether there is a connection to the data node of a registration."""
        return self._links.is_up(registration.peer)

    # --- what clients say ---------------------------------------------------------------------

    def publish(self, name: DataInfoId, publisher: Publisher, client_request_id: int) -> None:
        """Take a newer state of a publisher; it is sent when the turn ends."""
        registration = self._registrations.get(publisher.publisher_id)
        if registration is None:
            # Many registrations have the same name.
            registration = Registration(DataInfoId(shared_text(name)), publisher)
            self._registrations[publisher.publisher_id] = registration
            registration.client_request_id = client_request_id
            self._put(registration)
        else:
            self.republish(registration, publisher, client_request_id)

    def republish(
        self, registration: Registration, publisher: Publisher, client_request_id: int
    ) -> None:
        """Take a newer state of a registration."""
        registration.client_request_id = client_request_id
        old = registration.publisher
        # The hot path: the same incarnation goes on answering for it, at the same data node.
        if (
            registration.removal is None
            and old.session is publisher.session is self.session != NO_INCARNATION
        ):
            queues, peer, publisher_id = self._queues, registration.peer, publisher.publisher_id
            queue = queues.by_peer[peer]
            queue.digest.replace(publisher_id, old.version, publisher.version)
            registration.publisher = publisher
            if registration.request_id:
                del queue.in_flight[registration.request_id]
                registration.request_id = 0
            registration.copies = 0
            queue.unsent.put(registration)
            queues.touched[peer] = None
            return
        self._take_back(registration)
        registration.publisher = publisher
        registration.removal = None
        registration.copies = 0
        self._put(registration)

    def add_unknown(self, unpublish: Unpublish, client_id: bytes) -> Registration:
        """Return a new registration for a withdrawal of a publisher that this session never had."""
        registration = unknown_registration(unpublish, client_id)
        self._registrations[unpublish.publisher_id] = registration
        return registration

    def withdraw(
        self,
        registration: Registration,
        cause: Cause,
        client_request_id: int = 0,
        *,
        version: int = 0,
    ) -> None:
        """Remove a publisher, up to its registered version or the given one, whichever is higher.

        If the client merely vanished and the present incarnation does not answer for the publisher,
        drop the registration locally: another session may hold the client, and answer for it.
        """
        publisher = registration.publisher
        is_present = self._queues.is_member and publisher.session == self.session
        if not is_present and cause in SUSPICIONS:
            self.forget(registration)
            return
        self._take_back(registration)
        self._queues.touched[registration.peer] = None
        if version > publisher.version:
            publisher = registration.publisher = replace(publisher, version=version)
        registration.removal = Removal(
            publisher.publisher_id, publisher.version, cause, publisher.session
        )
        registration.client_request_id = client_request_id
        self._put(registration)

    def forget(self, registration: Registration) -> None:
        """Drop a registration; what a data node holds under it is no matter of this session."""
        self._take_back(registration)
        self._queues.touched[registration.peer] = None
        del self._registrations[registration.publisher.publisher_id]

    def _take_back(self, registration: Registration) -> None:
        """Undo `_put`, before a registration changes."""
        self._queues.by_peer[registration.peer].take_back(
            registration, is_answered_for=self._is_answered_for(registration)
        )

    def _put(self, registration: Registration) -> None:
        """Put a registration in the queue of its primary.

        As long as this session has had no incarnation, none can answer for a publisher, and it
        belongs to no data node.
        """
        can_send = registration.removal is not None or self.session != NO_INCARNATION
        peer = self._links.primary(registration.name) if can_send else NO_NODE
        self._queues.put(registration, peer, is_answered_for=self._is_answered_for(registration))

    # --- what data nodes say ------------------------------------------------------------------

    def on_accepted(self, peer: str, accepted: Accepted) -> list[Registration]:
        """Note what a data node accepted; return the registrations whose state it was."""
        queue = self._queues.by_peer.get(peer)
        if queue is None:
            return []
        registrations: list[Registration] = []
        copies = accepted.copies
        for request_id in accepted.request_ids:
            registration = queue.in_flight.pop(request_id, None)
            if registration is None:
                continue
            registration.request_id = 0
            registration.copies = copies
            if self._queues.is_moving and self._move(registration):
                queue.suspicion_count -= registration.is_suspected
                continue
            if registration.removal is not None:
                queue.suspicion_count -= registration.is_suspected
                del self._registrations[registration.publisher.publisher_id]
            registrations.append(registration)
        queue.refused_count = 0
        if queue.unsent:
            self._queues.touched[peer] = None
        return registrations

    def on_refused(
        self, peer: str, request_id: int, now: float, *, is_final: bool
    ) -> Registration | None:
        """Return the registration that a data node refused; None if the request is not pending.

        After a final refusal it is forgotten; after any other it is sent again, after a pause.
        """
        queue = self._queues.by_peer.get(peer)
        if queue is None or (registration := queue.take(request_id)) is None:
            return None
        self._queues.touched[peer] = None
        if self._queues.is_moving and self._move(registration):
            return None
        if is_final:
            self.forget(registration)
        elif registration.removal is not None or self._is_answered_for(registration):
            self._queues.put_refused(registration, now)
        # What a former incarnation sent is no reason for a pause: its client publishes it again.
        return registration

    def resend(self, publisher_ids: Iterable[bytes]) -> None:
        """Send publishers again that their primary lacks, unless they are under way."""
        for publisher_id in publisher_ids:
            registration = self.find(publisher_id)
            if registration is not None:
                self._queues.resend(registration)

    # --- ring, incarnation --------------------------------------------------------------------

    def on_ring(self) -> None:
        """Begin to move the registrations whose primary is another data node now.

        `move_some` has to be called until `is_moving` is False. Until then no digest is sent, and a
        registration that is needed is moved first.
        """
        self._unmoved = iter(self)
        self._queues.is_moving = True

    @property
    def is_moving(self) -> bool:
        """Whether there may be registrations in the queue of a former primary."""
        return self._queues.is_moving

    def move_some(self, count: int) -> None:
        """Look at so many registrations; after the last one, compare with all data nodes."""
        looked_at = 0
        for registration in islice(self._unmoved, count):
            looked_at += 1
            if self._registrations.get(registration.publisher.publisher_id) is registration:
                self._move(registration)
        if looked_at == count:
            return
        self._queues.is_moving = False
        self._queues.keep_only_members()
        for peer in self._links.peers():
            self._queues.request_digest(peer)

    def _move(self, registration: Registration) -> bool:
        """Put a registration into the queue of its primary; return whether that is another one.

        The former primary may accept it still: that is ignored, since it gives up what it has. A
        new primary that has a copy already is not sent the registration: digests show if it lacks
        anything.
        """
        peer = self._links.primary(registration.name)
        if registration.peer == peer:
            return False
        has_copy = (
            self._links.had_copy(peer, registration.name, copies=registration.copies)
            and self._is_answered_for(registration)
            and self.is_accepted(registration)
        )
        self._take_back(registration)
        if has_copy:
            self._queues.adopt(registration, peer)
        else:
            self._put(registration)
        return True

    def on_incarnation_lost(self) -> None:
        """Note that this session is no member any more: its clients live at other sessions."""
        self._queues.on_no_member()

    def on_incarnation_kept(self) -> None:
        """Note that this session is a member under the incarnation that it took for lost."""
        self._queues.on_member()

    def on_incarnation(self, session: Incarnation) -> None:
        """Begin to answer for publishers as a new incarnation: for none that came before it.

        Each waits until its client publishes it again: the client may have moved to another session
        while this one was no member, or has not been one yet.
        """
        self._queues.on_member()
        self._queues.end_pauses()
        self.session = session
        for queue in self._queues.by_peer.values():
            queue.digest = DigestSum()
            for registration in [each for each in queue.unsent if each.removal is None]:
                queue.unsent.remove(registration)
