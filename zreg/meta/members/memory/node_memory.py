"""What the leader alone knows of nodes: it is in memory only, and begins anew with each leader."""

from zreg.config import Config
from zreg.meta.members.memory.client_counts import ClientCounts
from zreg.meta.members.memory.copy_progresses import CopyProgresses
from zreg.meta.members.memory.countdowns import Countdowns
from zreg.meta.members.memory.failure_evidence import FailureEvidence
from zreg.meta.members.memory.flap_damping import FlapDamping
from zreg.meta.members.memory.lease_holders import LeaseHolders
from zreg.meta.members.memory.session_graces import SessionGraces
from zreg.model import Membership, Role, Status


class NodeMemory:
    """Leases, evidence of failures, departures and waits, graces, drains, copies, client counts."""

    def __init__(self, config: Config, *, now: float) -> None:
        self.lease_holders = LeaseHolders(config.lease_seconds, now=now)
        self.failure_evidence = FailureEvidence(config.lease_seconds)
        self.flap_damping = FlapDamping()
        self.session_graces = SessionGraces(config)
        # How long each LEAVING data node may still hand over its data.
        self.drain_times = Countdowns(config.drain_seconds, config.lease_seconds)
        self.copy_progress = CopyProgresses()
        # Worked out twice in the time in which each session renews once.
        self.client_counts = ClientCounts(config.renew_seconds / 2)

    def begin(self, membership: Membership, now: float) -> None:
        """Begin to lead: each node has a whole lease from now on, and each wait and grace too."""
        self.lease_holders.begin(membership, now)
        self.failure_evidence.begin(self.lease_holders.leases, now)
        self.flap_damping.forget_waits()
        self.session_graces.begin()
        self.drain_times.begin()
        self.copy_progress.begin()
        self.client_counts.begin()

    def follow(self, membership: Membership, now: float) -> None:
        """Take the membership as it is now: who has a grace, waits, or drains."""
        self.session_graces.follow(membership)
        self.flap_damping.follow(membership, now)
        leaving = membership.of(Role.DATA, Status.LEAVING)
        self.drain_times.follow(member.incarnation for member in leaving)
        self.copy_progress.follow(membership)
        self.client_counts.follow(membership)
