"""Withdraws what clients published, and counts what waits for a data node.

A session holds a withdrawal until its data node has accepted it, which may take as long as the data
node is away. So a withdrawal counts against its client as a publisher does, and a client that has
ended counts as a client as long as one of its withdrawals waits. Without these counts a client that
publishes and withdraws fresh ids would fill the memory of its session.
"""

from collections.abc import Iterable

from zreg.model import Cause
from zreg.session.upstream.registered.registration import Registration
from zreg.session.upstream.registered.registrations import Registrations


class Withdrawals:
    """The number of withdrawals that wait, by client id; counting takes constant time.

    Invariants: a client's count is that of its registrations with a removal; no count is 0.
    `_ended` holds exactly the clients with a count that have ended. Every removal of a registration
    begins in `withdraw`, and ends in `on_end`.
    """

    def __init__(self, registrations: Registrations) -> None:
        self._registrations = registrations
        self._counts: dict[bytes, int] = {}
        self._ended: set[bytes] = set()
        # How many publishers were withdrawn.
        self.withdrawn_count = 0

    def count_of(self, client_id: bytes) -> int:
        """Return how many withdrawals of a client wait."""
        return self._counts.get(client_id, 0)

    def has_ended(self, client_id: bytes) -> bool:
        """Return whether a client has ended and left withdrawals that wait."""
        return client_id in self._ended

    @property
    def ended_count(self) -> int:
        """How many clients have ended and left withdrawals that wait."""
        return len(self._ended)

    def withdraw(
        self,
        registration: Registration,
        cause: Cause,
        client_request_id: int = 0,
        *,
        version: int = 0,
    ) -> None:
        """Withdraw a publisher; count it as long as its registration is held for that."""
        self.on_end(registration)
        self.withdrawn_count += 1
        publisher = registration.publisher
        self._registrations.withdraw(registration, cause, client_request_id, version=version)
        if self._registrations.find(publisher.publisher_id) is registration:
            client_id = publisher.client_id
            self._counts[client_id] = self._counts.get(client_id, 0) + 1

    def withdraw_each(self, publisher_ids: Iterable[bytes], cause: Cause) -> None:
        """Withdraw these publishers, as far as they are still registered."""
        for publisher_id in publisher_ids:
            registration = self._registrations.find(publisher_id)
            # A data node may have refused it meanwhile.
            if registration is not None:
                self.withdraw(registration, cause)

    def on_end(self, registration: Registration) -> None:
        """Count no more what was withdrawn: it was accepted, refused, or is published again."""
        if registration.removal is None:
            return
        client_id = registration.publisher.client_id
        count = self._counts[client_id] - 1
        if count:
            self._counts[client_id] = count
        else:
            del self._counts[client_id]
            self._ended.discard(client_id)

    def on_client_ended(self, client_id: bytes) -> None:
        """Note that a client has ended; what it left is still counted."""
        if client_id in self._counts:
            self._ended.add(client_id)

    def on_client_greeted(self, client_id: bytes) -> None:
        """Note that a client is here, perhaps again."""
        self._ended.discard(client_id)


def is_unpublished(registration: Registration, version: int) -> bool:
    """Return whether the removal that a client asks for is under way already."""
    removal = registration.removal
    return removal is not None and removal.cause is Cause.UNPUBLISHED and removal.version >= version
