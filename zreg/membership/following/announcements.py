"""To which meta node's announcements of the membership a node listens."""

from zreg.effects import Connect, Disconnect, Effect, Link, Peer
from zreg.model import Membership, Role


class Announcements:
    """One connection to the PUB socket of one meta node; made again after a loss."""

    def __init__(self) -> None:
        self._address: str | None = None
        # Raised with each loss, so that the next of several meta nodes is tried.
        self._loss_count = 0

    def on_peer_lost(self, address: Peer) -> None:
        """Note that a connection ended."""
        if address == self._address:
            self._address = None
            self._loss_count += 1

    def follow(self, membership: Membership) -> list[Effect]:
        """Stay with a meta node of the membership, or connect to the next one."""
        announcing = [m.changes_address for m in membership.of(Role.META) if m.changes_address]
        if not announcing or self._address in announcing:
            return []
        effects: list[Effect] = []
        if self._address is not None:
            effects.append(Disconnect(Link.MEMBERSHIP, self._address))
        self._address = announcing[self._loss_count % len(announcing)]
        return [*effects, Connect(Link.MEMBERSHIP, self._address, self._address)]
