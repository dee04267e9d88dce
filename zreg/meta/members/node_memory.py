"""What the leader alone knows of nodes: it is in memory only, and begins anew with each leader."""

from zreg.config import Config
from zreg.meta.members.failure_evidence import FailureEvidence
from zreg.meta.members.flap_damping import FlapDamping
from zreg.meta.members.lease_holders import LeaseHolders
from zreg.meta.members.session_graces import SessionGraces
from zreg.model import Membership


class NodeMemory:
    """Leases, evidence of failures, departures with their waits, and graces."""

    def __init__(self, config: Config, *, now: float) -> None:
        self.lease_holders = LeaseHolders(config.lease_seconds, now=now)
        self.failure_evidence = FailureEvidence(config.lease_seconds)
        self.flap_damping = FlapDamping()
        self.session_graces = SessionGraces(config)

    def begin(self, membership: Membership, now: float) -> None:
        """Begin to lead: each node has a whole lease from now on, and each wait and grace too."""
        self.lease_holders.begin(membership, now)
        self.failure_evidence.begin(self.lease_holders.leases, now)
        self.flap_damping.forget_waits()
        self.session_graces.begin()

    def follow(self, membership: Membership, now: float) -> None:
        """Take the membership as it is now: which sessions have a grace, which nodes wait."""
        self.session_graces.follow(membership)
        self.flap_damping.follow(membership, now)
