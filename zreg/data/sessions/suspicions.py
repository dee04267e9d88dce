"""Removals that sessions concluded from silence, until this data node can judge them.

A client whose connection closed may live. It has then published again at another session. This node
may not hear that session (it calls each, see `RollCalls`), may not have seen the epoch at which it
joined, or may have refused its write for that reason; that session may have more writes than it can
send at once; or this node has become the primary of the datum, and the session does not know yet.
A removal now would take a living publisher out of all views.
"""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple

from zreg.config import Config
from zreg.data.placement import Placement
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.roll_calls import RollCalls
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Peer
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Cause, DataInfoId, Incarnation
from zreg.primitives.timing.deadlines import Deadlines
from zreg.wire.records.data_messages import UnpublishDatum

# What a session concludes from a closed connection or from silence, and its client did not say.
SUSPICIONS = (Cause.CLOSED, Cause.SILENT)
# And what it concludes from a replay: this node may hold what another session has registered since.
_CONCLUSIONS = (*SUSPICIONS, Cause.NOT_REPLAYED)


class Held(NamedTuple):
    """A request that waits, since when and from which connection; the number orders equal times."""

    since: float
    number: int
    peer: Peer
    unpublish: UnpublishDatum


class Suspicions:
    """Holds removals, each for the session grace at most.

    Bounded by what sessions have under way. The session gets its answer after the judgement, and
    sends nothing again meanwhile.
    """

    def __init__(
        self,
        config: Config,
        contacts: SessionContacts,
        cluster_member: ClusterMember,
        placement: Placement,
        store: DatumStore,
    ) -> None:
        self._grace_seconds = config.session_grace_seconds
        self._contacts = contacts
        self._cluster_member = cluster_member
        self._placement = placement
        self._store = store
        self._roll_calls = RollCalls(contacts, config.lease_seconds)
        # What waits for the answers of other sessions, by the connection of the one that suspects.
        # Answers count in the order of time, so that one look at the first of each is enough.
        self._unanswered: dict[Peer, deque[Held]] = {}
        # What waits for nothing but a client that waits at a session which is no member, a heap by
        # time for each client; and when the first of each has waited for the grace.
        self._by_client: dict[bytes, list[Held]] = {}
        self._client_ends: Deadlines[bytes] = Deadlines()
        # What waits for something else, a heap by time.
        self._held: list[Held] = []
        # How many requests of each connection are held.
        self._counts: Counter[Peer] = Counter()
        self._count = self._number = 0
        # When the newest suspicion came that was held.
        self._suspected_at = -math.inf
        # What was known when all were judged last: without news none but the oldest may be due.
        self._judged_with: tuple[object, ...] | None = None

    def __len__(self) -> int:
        """Return how many requests are held."""
        return self._count

    def hold(self, peer: Peer, unpublish: UnpublishDatum, now: float) -> bool:
        """Keep a request that cannot be judged yet; return False if it can be."""
        if all(removal.cause not in _CONCLUSIONS for removal in unpublish.removals):
            return False
        self._number += 1
        held = Held(now, self._number, peer, unpublish)
        is_suspicion = _is_suspicion(unpublish)
        if is_suspicion and not self._is_answered(held):
            self._unanswered.setdefault(peer, deque()).append(held)
        elif not self._place(held):
            return False
        self._count += 1
        self._counts[peer] += 1
        if is_suspicion:
            self._suspected_at = now
        return True

    def _place(self, held: Held) -> bool:
        """Put a request where it waits; return False if it can be judged."""
        is_suspicion = _is_suspicion(held.unpublish)
        if not self._can_judge(held, is_suspicion=is_suspicion):
            heapq.heappush(self._held, held)
        elif is_suspicion and (client_id := self._waiting_client(held.unpublish)) is not None:
            self._wait_for(client_id, held)
        else:
            return False
        return True

    def _wait_for(self, client_id: bytes, held: Held) -> None:
        queue = self._by_client.setdefault(client_id, [])
        heapq.heappush(queue, held)
        if queue[0] is held:
            self._client_ends.set(client_id, held.since + self._grace_seconds)

    def _is_answered(self, held: Held) -> bool:
        """Return whether all sessions but the one that suspects were there since."""
        return self._roll_calls.have_answered(held.since, self._contacts.of_peer(held.peer))

    def _can_judge(self, held: Held, *, is_suspicion: bool) -> bool:
        """Return whether this node knows of all clients which vanished at that time and came back.

        If it has become the primary, all sessions that may hold them have compared with it since:
        its own copy may be old, or these sessions may not know it yet. One that has departed never
        will: its clients have the time until meta forgets it, or the grace of this request. Of a
        suspicion it has to hear all other sessions besides, now.
        """
        placement, name, contacts = self._placement, held.unpublish.data_info_id, self._contacts
        may_lack = placement.is_primary(name) and placement.is_unreconciled(name)
        if may_lack and (placement.lacks_departed or contacts.hears_any_of(placement.unreconciled)):
            return False
        if not is_suspicion:
            return True
        is_behind = self._cluster_member.is_behind or contacts.owes_writes
        return not (is_behind or contacts.has_unheard(held.since)) and self._is_answered(held)

    def _waiting_client(self, unpublish: UnpublishDatum) -> bytes | None:
        """Return a client of these publishers that waits at a session which is no member."""
        unadmitted, name = self._contacts.unadmitted, unpublish.data_info_id
        if not unadmitted.are_clients_waiting():
            return None
        for removal in unpublish.removals:
            publisher = self._store.publisher(name, removal.publisher_id)
            if publisher is not None and unadmitted.is_client_waiting(publisher.client_id):
                return publisher.client_id
        return None

    def call_sessions(self, now: float) -> list[Effect]:
        """Call the sessions whose answer a suspicion waits for."""
        return self._roll_calls.call(self._suspected_at, now)

    def on_present(self, peer: Peer, number: int) -> None:
        """Note that a session has answered."""
        self._roll_calls.on_present(peer, number)

    def of(self, session: Incarnation) -> dict[bytes, tuple[DataInfoId, int]]:
        """Return the publishers of one session whose removal waits: id, datum and version."""
        of_it = (self._unanswered.get(peer, ()) for peer in self._contacts.peers_of(session))
        return {
            removal.publisher_id: (held.unpublish.data_info_id, removal.version)
            for held in chain(self._held, *of_it, *self._by_client.values())
            for removal in held.unpublish.removals
            if removal.session == session
        }

    def take_due(self, now: float) -> list[tuple[Peer, UnpublishDatum]]:
        """Return the requests that can be judged now, or have waited for the grace."""
        self._contacts.unadmitted.expire(now)
        placement = self._placement
        known = (
            self._contacts.news_count,
            self._roll_calls.news_count,
            self._cluster_member.is_behind,
            placement.ring_epoch,
            tuple(placement.unreconciled),
        )
        oldest = now - self._grace_seconds
        due = _take_oldest(self._held, oldest)
        for queue in self._unanswered.values():
            due += _take_first(queue, lambda held: held.since <= oldest)
        for client_id in self._client_ends.take_due(now):
            # Those that came later wait on, for their own grace.
            waited = self._by_client.pop(client_id)
            due += _take_oldest(waited, oldest)
            due += self._place_again(waited)
        due += self._take_released()
        if known != self._judged_with:
            self._judged_with = known
            due += self._take_judged()
        self._count -= len(due)
        for held in due:
            self._counts[held.peer] -= 1
        return [(held.peer, held.unpublish) for held in due]

    def _take_judged(self) -> list[Held]:
        """Take out what can be judged with what is known now."""
        held = self._held
        for queue in self._unanswered.values():
            held += _take_first(queue, self._is_answered)
        self._unanswered = {peer: queue for peer, queue in self._unanswered.items() if queue}
        self._held = []
        return self._place_again(held)

    def forget_released(self, now: float) -> None:
        """Forget which clients wait no more, as long as no request is held that waits for one."""
        if not self._count:
            self._contacts.unadmitted.expire(now)
            self._contacts.unadmitted.released.clear()

    def _take_released(self) -> list[Held]:
        """Take out what can be judged since its client waits no more at a session."""
        unadmitted = self._contacts.unadmitted
        released, unadmitted.released = unadmitted.released, []
        due: list[Held] = []
        for client_id in released:
            self._client_ends.drop(client_id)
            due += self._place_again(self._by_client.pop(client_id, ()))
        return due

    def _place_again(self, held: Iterable[Held]) -> list[Held]:
        """Put requests where they wait now; return those that can be judged."""
        return [each for each in held if not self._place(each)]

    def forget(self, peer: Peer) -> None:
        """Drop the requests of a connection that is gone: its session sends them again."""
        self._roll_calls.forget(peer)
        count = self._counts.pop(peer, 0)
        if not count:
            return
        self._count -= count
        self._unanswered.pop(peer, None)
        self._held = [held for held in self._held if held.peer != peer]
        heapq.heapify(self._held)
        for client_id, queue in list(self._by_client.items()):
            left = [held for held in queue if held.peer != peer]
            if len(left) < len(queue):
                self._client_ends.drop(client_id)
                del self._by_client[client_id]
                for held in left:
                    self._wait_for(client_id, held)


def _take_oldest(heap: list[Held], oldest: float) -> list[Held]:
    """Take those that have waited since that time or before out of a heap."""
    taken: list[Held] = []
    while heap and heap[0].since <= oldest:
        taken.append(heapq.heappop(heap))
    return taken


def _take_first(queue: deque[Held], is_wanted: Callable[[Held], bool]) -> list[Held]:
    """Take the first ones out of a queue, up to one that is not wanted."""
    taken: list[Held] = []
    while queue and is_wanted(queue[0]):
        taken.append(queue.popleft())
    return taken


def _is_suspicion(unpublish: UnpublishDatum) -> bool:
    return any(removal.cause in SUSPICIONS for removal in unpublish.removals)
