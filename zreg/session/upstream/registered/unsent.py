"""The registrations that wait to be sent to a data node: each client has its share."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Final

from zreg.session.upstream.registered.registration import Registration

# So many registrations of one client are taken in succession, if others wait too.
_SHARE: Final = 32


class UnsentRegistrations:
    """The registrations by client, each client's in the order in which they came.

    Clients take turns, so one with few registrations does not wait for all those of a client with
    thousands. Invariant: no client is here without a registration. Adding, removing and taking one
    take constant time: a plain dict would pass the places of all that were taken before.
    """

    __slots__ = ("_by_client", "_count")

    def __init__(self) -> None:
        # In the order of their turns.
        self._by_client: OrderedDict[bytes, OrderedDict[bytes, Registration]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """Return how many registrations wait."""
        return self._count

    def __iter__(self) -> Iterator[Registration]:
        """Iterate over those that wait now; it is no matter what changes meanwhile."""
        clients = self._by_client.values()
        return iter(list(chain.from_iterable(waiting.values() for waiting in clients)))

    def __contains__(self, registration: Registration) -> bool:
        """Return whether a registration waits."""
        publisher = registration.publisher
        return publisher.publisher_id in self._by_client.get(publisher.client_id, ())

    def put(self, registration: Registration) -> None:
        """Add a registration; one that waits already keeps its place."""
        publisher = registration.publisher
        waiting = self._by_client.get(publisher.client_id)
        if waiting is None:
            waiting = self._by_client[publisher.client_id] = OrderedDict()
        count = len(waiting)
        waiting[publisher.publisher_id] = registration
        self._count += len(waiting) - count

    def remove(self, registration: Registration) -> None:
        """Remove a registration, if it waits."""
        publisher = registration.publisher
        waiting = self._by_client.get(publisher.client_id)
        if waiting is not None and waiting.pop(publisher.publisher_id, None) is not None:
            self._count -= 1
            if not waiting:
                del self._by_client[publisher.client_id]

    def take_all(self) -> list[Registration]:
        """Take out all registrations."""
        taken = list(self)
        self._by_client.clear()
        self._count = 0
        return taken

    def take(self, count: int) -> list[Registration]:
        """Take out so many registrations, or all that there are: a share of each client in turn."""
        by_client = self._by_client
        taken: list[Registration] = []
        while by_client and len(taken) < count:
            client_id, waiting = next(iter(by_client.items()))
            share = min(_SHARE, count - len(taken), len(waiting))
            taken += [waiting.popitem(last=False)[1] for _ in range(share)]
            if waiting:
                by_client.move_to_end(client_id)
            else:
                del by_client[client_id]
        self._count -= len(taken)
        return taken
