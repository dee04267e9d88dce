"""What operators are told about the peers: why each is not up, each loss, each return."""

from zreg.effects import INFO, WARNING, Effect, Log


class PeerReports:
    """The reasons why peers are not up, and the losses that were logged.

    Invariants:
    - A reason is logged once: the same reason is not logged again before `forget_reason` or
      `on_accepted` was called.
    - The return of a peer is logged exactly if its loss was.
    """

    def __init__(self) -> None:
        # Why a peer is not up, as far as more is known than that it is not reached.
        self._reasons: dict[str, str] = {}
        # Peers whose loss was logged.
        self._lost: dict[str, None] = {}

    def __repr__(self) -> str:
        """Show how many peers have a reason, and how many are lost."""
        return f"<PeerReports reasons={len(self._reasons)} lost={len(self._lost)}>"

    def reason(self, peer: str) -> str:
        """Return why a peer is not up."""
        return self._reasons.get(peer, "not reached")

    def on_not_accepted(self, peer: str, detail: str) -> list[Effect]:
        """Note why a peer is not up, and log it if it is new."""
        if self._reasons.get(peer) == detail:
            return []
        self._reasons[peer] = detail
        return [Log(WARNING, "raft.peer.refused", {"peer": peer, "detail": detail})]

    def on_lost(self, peer: str, spare_voter_count: int) -> Effect:
        """Log that a peer that was up is lost, and how many more voters may fail."""
        self._lost[peer] = None
        fields: dict[str, str | int | float] = {"peer": peer, "more_may_fail": spare_voter_count}
        return Log(WARNING, "raft.peer.lost", fields)

    def on_accepted(self, peer: str) -> list[Effect]:
        """Forget why the peer was not up; log its return if its loss was logged."""
        self.forget_reason(peer)
        if peer not in self._lost:
            return []
        del self._lost[peer]
        return [Log(INFO, "raft.peer.restored", {"peer": peer})]

    def found(self, peer: str, address: str, former: str) -> Effect:
        """Log that a peer was found at another address than that in the configuration."""
        fields: dict[str, str | int | float] = {
            "peer": peer,
            "address": address,
            "former": former,
        }
        return Log(INFO, "raft.peer.found", fields)

    def forget_reason(self, peer: str) -> None:
        """Forget why a peer is not up: its connection ended."""
        self._reasons.pop(peer, None)

    def forget(self, peer: str) -> None:
        """Forget a peer that is no member any more, or has moved."""
        self.forget_reason(peer)
        self._lost.pop(peer, None)
