"""How a session and the data nodes find out that they disagree, and repair it.

The session sends each data node the digest of what it should hold. If the digests differ twice in
succession, which requests under way cannot explain, the session sends the ids and versions
themselves. The data node answers with those that it lacks, and with its strays: publishers that it
holds for this session and that the session did not name.
"""

from collections.abc import Iterable
from typing import Final

from zreg.config import Config, Limits
from zreg.effects import WARNING, Effect, Link, Log, Send
from zreg.model import Cause, Publisher, Removal
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.node_queues import NodeQueues
from zreg.session.upstream.registrations import Registrations
from zreg.wire.data_messages import (
    ComparePublishers,
    DigestCompared,
    PublishersCompared,
    UnpublishDatum,
)
from zreg.wire.messages import Message

_UNEQUAL_MAX: Final = 2


class Reconciliation:
    """Says when digests are due, and acts on what the data nodes answer."""

    def __init__(
        self, config: Config, links: DataLinks, registrations: Registrations, queues: NodeQueues
    ) -> None:
        self._config = config
        self._links = links
        self._registrations = registrations
        self._queues = queues
        self._digest_at = 0.0

    def on_digest_compared(self, peer: str, compared: DigestCompared) -> list[Effect]:
        """Note whether a data node holds what it should; compare in detail if it does not."""
        queue = self._queues.by_peer.get(peer)
        if queue is None or compared.ring_epoch != self._links.ring_epoch:
            return []
        queue.unequal_count = 0 if compared.is_equal else queue.unequal_count + 1
        if queue.unequal_count < _UNEQUAL_MAX:
            return []
        queue.unequal_count = 0
        fields: dict[str, str | int | float] = {"node": peer, "publishers": queue.digest.count}
        publishers = self._registrations.answered_for_at(peer)
        return [
            Log(WARNING, "session.repair.started", fields),
            *(Send(Link.DATA, peer, message) for message in comparisons(publishers)),
        ]

    def on_publishers_compared(self, peer: str, compared: PublishersCompared) -> list[Effect]:
        """Send what the data node lacks, and remove the strays that this session does not know."""
        registrations = self._registrations
        for publisher_id in compared.missing:
            registration = registrations.find(publisher_id)
            if registration is not None and registration.peer == peer:
                self._queues.resend(registration)
        session, cause = registrations.session, Cause.NOT_REPLAYED
        return [
            Send(
                Link.DATA,
                peer,
                UnpublishDatum(0, name, (Removal(publisher_id, version, cause, session),)),
            )
            for name, publisher_id, version in compared.strays
            if registrations.find(publisher_id) is None
        ]

    def tick(self, now: float) -> None:
        """Once in a while, have the digest sent to each data node."""
        if now >= self._digest_at:
            self._digest_at = now + self._config.digest_seconds
            self._queues.request_digests()

    def next_tick_at(self) -> float:
        """Return when the digests are due."""
        return self._digest_at


def comparisons(publishers: Iterable[Publisher]) -> list[Message]:
    """Return the ids and versions of all publishers, in records cut by the first byte of the ids.

    Only a client that chooses its ids on purpose fills one byte beyond the limit of a record. The
    publishers beyond it are left out, and come back as strays that this session knows.
    """
    by_byte: list[list[tuple[bytes, int]]] = [[] for _ in range(256)]
    for publisher in publishers:
        pairs = by_byte[publisher.publisher_id[0]]
        if len(pairs) < Limits.ids_per_record_max:
            pairs.append((publisher.publisher_id, publisher.version))
    messages: list[Message] = []
    low, pairs = 0, by_byte[0]
    for byte in range(1, 256):
        if len(pairs) + len(by_byte[byte]) > Limits.ids_per_record_max:
            messages.append(ComparePublishers(low, byte - 1, tuple(pairs)))
            low, pairs = byte, []
        pairs = pairs + by_byte[byte]
    messages.append(ComparePublishers(low, 255, tuple(pairs)))
    return messages
