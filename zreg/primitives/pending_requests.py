"""The table of the requests that wait for an answer.

The table finds the owner of the request for each answer, and says which requests have waited too
long. An answer counts only if it comes from the peer that was asked. A request stays pending under
its id until its owner ends it, so a late answer is still an answer.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

OwnerT = TypeVar("OwnerT")
PeerT = TypeVar("PeerT", bound=Hashable)


class PendingRequests(Generic[PeerT, OwnerT]):
    """Requests by the peer that was asked and by id; times are seconds of the caller's clock.

    Invariants: an id is pending at most once per peer. Each pending request with a deadline is in
    exactly one current group of its timeout's queue. All operations take constant amortized time,
    except `take_all`, whose time is proportional to what it returns, and the adding of a request
    whose deadline is before that of others.
    """

    def __init__(self) -> None:
        self._last_id = 0
        self._by_peer: dict[PeerT, dict[int, tuple[OwnerT, float | None]]] = {}
        # By timeout: groups of requests with one deadline, the earliest first. A request that was
        # answered or extended leaves a stale entry, which is dropped when it reaches the front.
        self._deadlines: dict[float, deque[tuple[float, list[tuple[PeerT, int]]]]] = {}

    def __len__(self) -> int:
        """Return the number of pending requests."""
        return sum(map(len, self._by_peer.values()))

    def __iter__(self) -> Iterator[tuple[PeerT, int, OwnerT]]:
        """Iterate over all pending requests, by peer: the peer, the request id, the owner."""
        for peer, requests in self._by_peer.items():
            for request_id, (owner, _) in requests.items():
                yield peer, request_id, owner

    def count(self, peer: PeerT) -> int:
        """Return the number of pending requests to one peer."""
        return len(self._by_peer.get(peer, ()))

    def next_id(self) -> int:
        """Return a request id that was not used before."""
        self._last_id += 1
        return self._last_id

    def add(
        self,
        peer: PeerT,
        request_id: int,
        owner: OwnerT,
        *,
        now: float = 0.0,
        timeout_seconds: float | None = None,
    ) -> None:
        """Note that a request was sent. Without a timeout it never expires.

        Adding a pending request again replaces its owner and starts its time anew. A request that
        is sent again and keeps its deadline is added with the `now` of its first sending.
        """
        requests = self._by_peer.get(peer)
        if requests is None:
            requests = self._by_peer[peer] = {}
        if timeout_seconds is None:
            requests[request_id] = (owner, None)
            return
        deadline_at = now + timeout_seconds
        requests[request_id] = (owner, deadline_at)
        groups = self._deadlines.get(timeout_seconds)
        if groups is None:
            groups = self._deadlines[timeout_seconds] = deque()
        if groups and groups[-1][0] == deadline_at:
            groups[-1][1].append((peer, request_id))
            return
        at = len(groups)
        while at and groups[at - 1][0] > deadline_at:
            at -= 1
        groups.insert(at, (deadline_at, [(peer, request_id)]))

    def owner(self, peer: PeerT, request_id: int) -> OwnerT | None:
        """Return the owner of a pending request, which stays pending; None if it is not pending."""
        found = self._by_peer.get(peer, {}).get(request_id)
        return None if found is None else found[0]

    def pending(self, peer: PeerT) -> list[OwnerT]:
        """Return the owners of all pending requests to one peer, the oldest first."""
        return [owner for owner, _ in self._by_peer.get(peer, {}).values()]

    def take(self, peer: PeerT, request_id: int) -> OwnerT | None:
        """End a request and return its owner; None if it is not pending."""
        requests = self._by_peer.get(peer)
        found = None if requests is None else requests.pop(request_id, None)
        return None if found is None else found[0]

    def take_all(self, peer: PeerT) -> list[tuple[int, OwnerT]]:
        """End all requests to a peer whose connection is gone; return them, the oldest first."""
        requests = self._by_peer.pop(peer, {})
        return [(request_id, owner) for request_id, (owner, _) in requests.items()]

    def take_expired(self, now: float) -> list[tuple[PeerT, int, OwnerT]]:
        """End and return the requests past their deadline: by timeout, then the oldest first."""
        expired = []
        for groups in self._deadlines.values():
            while groups and groups[0][0] <= now:
                deadline_at, entries = groups.popleft()
                for peer, request_id in entries:
                    if self._is_current(peer, request_id, deadline_at):
                        owner, _ = self._by_peer[peer].pop(request_id)
                        expired.append((peer, request_id, owner))
        return expired

    def next_deadline_at(self) -> float | None:
        """Return the earliest deadline of the pending requests; None if none has a deadline."""
        earliest: float | None = None
        for groups in self._deadlines.values():
            self._drop_stale(groups)
            if groups and (earliest is None or groups[0][0] < earliest):
                earliest = groups[0][0]
        return earliest

    def _drop_stale(self, groups: deque[tuple[float, list[tuple[PeerT, int]]]]) -> None:
        """Drop the entries of answered or extended requests from the front."""
        while groups:
            deadline_at, entries = groups[0]
            while entries:
                if self._is_current(*entries[-1], deadline_at):
                    return
                entries.pop()
            groups.popleft()

    def _is_current(self, peer: PeerT, request_id: int, deadline_at: float) -> bool:
        found = self._by_peer.get(peer, {}).get(request_id)
        return found is not None and found[1] == deadline_at
