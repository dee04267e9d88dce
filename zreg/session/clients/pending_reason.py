"""What a publish waits for that is not accepted yet, as its client is told."""

from collections.abc import Sequence

from zreg.config import Limits
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import NotReadyError
from zreg.membership.cluster_member import ClusterMember
from zreg.model import NO_INCARNATION
from zreg.session.upstream.registration import Record
from zreg.session.upstream.registrations import Registrations
from zreg.wire.client_messages import Publish
from zreg.wire.common_messages import Refused


class PendingReason:
    """Knows what stands in the way: meta, or the data node that has the id."""

    def __init__(self, cluster_member: ClusterMember, vouching: Registrations) -> None:
        self._cluster_member = cluster_member
        self._registrations = vouching

    def not_yet(self, peer: Peer, publish: Publish) -> Sequence[Effect]:
        """Say why a publish has to wait, unless it is on its way: it is still answered later.

        The word is a sign of life too, for a client that publishes and hears nothing else.
        """
        if self._registrations.session != NO_INCARNATION:
            return ()
        return self._say(
            peer,
            publish,
            self._cluster_member.outage_sentence or "meta has not let this session in yet",
        )

    def still_not(self, peer: Peer, publish: Publish, record: Record) -> Sequence[Effect]:
        """Say what a publish waits for that is asked again.

        A data node that is away is replaced, unless meta is away too.
        """
        if self._registrations.session == NO_INCARNATION:
            return self.not_yet(peer, publish)
        if self._registrations.links.is_up(record.peer):
            return ()
        node, trouble = record.peer, self._cluster_member.outage_sentence
        why = f"{node}, which has this id, is not reached" if node else "no data node works"
        return self._say(peer, publish, f"{why}, and {trouble}" if trouble else why)

    def _say(self, peer: Peer, publish: Publish, why: str) -> Sequence[Effect]:
        detail = f"not accepted yet, but kept: {why}"[: Limits.detail_characters_max]
        return [Send(Link.CLIENTS, peer, Refused(publish.request_id, NotReadyError.code, detail))]
