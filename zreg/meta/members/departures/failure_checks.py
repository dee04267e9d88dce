"""Early departure: evidence that a node is gone makes meta check for itself, and act on it."""

from zreg.effects import REFUSED, Connect, Effect, Link, Peer, PeerLost, PeerUp
from zreg.meta.members.departures.departures import GONE, Departures
from zreg.meta.members.memory.node_memory import NodeMemory
from zreg.meta.state.meta_state import MetaState
from zreg.model import Incarnation
from zreg.wire.records.membership_messages import ReportGone


class FailureChecks:
    """Collects evidence against members, dials their addresses, and proposes their departure."""

    def __init__(self, state: MetaState, departures: Departures, memory: NodeMemory) -> None:
        self._state = state
        self._departures = departures
        self._lease_holders = memory.lease_holders
        self._failure_evidence = memory.failure_evidence

    def on_node_lost(self, peer: Peer, now: float) -> list[Effect]:
        """Take the end of a connection over which a node renewed its lease."""
        incarnation = self._lease_holders.on_peer_lost(peer)
        if incarnation is None:
            return []
        self._failure_evidence.note_closed(incarnation, now)
        return self.tick(now)

    def on_report_gone(self, peer: Peer, report: ReportGone, now: float) -> list[Effect]:
        """Take a member's report that its connection to another member ended."""
        membership, gone = self._state.membership, report.gone
        member = membership.living(gone.node_id)
        is_member = member is not None and member.incarnation == gone
        is_reporter = self._lease_holders.holder_of(peer) == report.reporter != gone
        if not is_member or not is_reporter or report.cluster_id != membership.cluster_id:
            return []
        self._failure_evidence.note_reported(gone, now)
        return self.tick(now)

    def on_check(self, event: PeerUp | PeerLost, now: float) -> list[Effect]:
        """Take the result of a check: only a refused connection proves that the process is gone."""
        is_refused = isinstance(event, PeerLost) and event.reason == REFUSED
        gone = self._failure_evidence.conclude(str(event.peer), now, is_refused=is_refused)
        effects: list[Effect] = []
        if gone is not None and self._may_depart(gone):
            effects += self._departures.depart(gone, GONE, now)
        return [*effects, *self.tick(now)]

    def tick(self, now: float) -> list[Effect]:
        """Dial the members that enough evidence speaks against."""
        return [
            Connect(Link.CHECKS, name, member.address)
            for name, member in self._failure_evidence.begin_checks(self._state.membership, now)
        ]

    def _may_depart(self, gone: Incarnation) -> bool:
        """Return whether another member of its role works or soon will: the last one stays."""
        member = self._state.membership.living(gone.node_id)
        if member is None or self._departures.is_under_way(gone):
            return False
        return self._departures.has_other(member)
