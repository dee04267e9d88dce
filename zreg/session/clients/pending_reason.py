"""Tells a client why its publish is not accepted yet."""

from collections.abc import Sequence
from typing import Final

from zreg.effects import WARNING, Effect, Link, Log, Peer, Send
from zreg.errors import NotReadyError
from zreg.membership.cluster_member import ClusterMember
from zreg.model import NO_INCARNATION
from zreg.session.upstream.data_links import NO_NODE
from zreg.session.upstream.registered.registration import Registration
from zreg.session.upstream.registered.registrations import Registrations
from zreg.wire.parts import cut_detail
from zreg.wire.records.client_messages import Publish
from zreg.wire.records.common_messages import Refused

# Publishes that wait for a data node are logged so often, however many clients ask again.
_REMINDER_SECONDS: Final = 60.0


class PendingReason:
    """Finds the reason: meta has not admitted the session, or the data node is not reached.

    The session logs that clients wait for a data node. For meta there are other log lines.
    """

    def __init__(self, cluster_member: ClusterMember, registrations: Registrations) -> None:
        self._cluster_member = cluster_member
        self._registrations = registrations
        # How many answers said "not accepted yet".
        self.count = 0
        self._logged_at: float | None = None

    def before_joining(self, peer: Peer, publish: Publish) -> Sequence[Effect]:
        """Say why this session has no incarnation, so that a publish waits; it is accepted later.

        A client that publishes and hears nothing else takes this for a sign of life, too.
        """
        why = self._cluster_member.outage_sentence or "meta has not admitted this session yet"
        return self._say(peer, publish, why)

    def of_repeated(
        self, peer: Peer, publish: Publish, registration: Registration, now: float
    ) -> Sequence[Effect]:
        """Say why a publish that came again still has to wait, unless it is under way.

        If meta is away too, no other data node takes the place of one that is not reached.
        """
        if self._registrations.session == NO_INCARNATION:
            return self.before_joining(peer, publish)
        if self._registrations.is_reached(registration):
            return ()
        node = registration.peer
        why = (
            f"the session does not reach {node}, which owns this id"
            if node != NO_NODE
            else "no data node is WORKING"
        )
        outage = self._cluster_member.outage_sentence
        answer = self._say(peer, publish, f"{why}, and {outage}" if outage else why)
        return [*self._log(why, now), *answer]

    def _log(self, why: str, now: float) -> list[Effect]:
        if self._logged_at is not None and now - self._logged_at < _REMINDER_SECONDS:
            return []
        self._logged_at = now
        return [Log(WARNING, "session.publish.delayed", {"reason": why})]

    def _say(self, peer: Peer, publish: Publish, why: str) -> list[Effect]:
        self.count += 1
        detail = cut_detail(f"not accepted yet, but stored: {why}")
        return [Send(Link.CLIENTS, peer, Refused(publish.request_id, NotReadyError.code, detail))]
