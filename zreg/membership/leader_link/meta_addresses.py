"""Which meta node a node tries next."""

from collections.abc import Sequence

from zreg.model import Membership, Role


class MetaAddresses:
    """Rounds over meta nodes: first those of the configuration, then those of the membership."""

    def __init__(self, configured: Sequence[str]) -> None:
        self._configured = configured
        self._next = 0
        # Whether the last address began a round, or ended one.
        self.is_round_new = False
        self.is_round_over = False

    def next(self, membership: Membership, lost: str | None) -> str:
        """Return the next address; not `lost`, the address lost last, if there are others."""
        known = [member.address for member in membership.of(Role.META)]
        addresses = list(dict.fromkeys([*self._configured, *known]))
        # A connection to a frozen process hangs for as long as a lease.
        self._next += addresses[self._next % len(addresses)] == lost
        place = self._next % len(addresses)
        self.is_round_new = place == 0
        self._next += 1
        self.is_round_over = self._next % len(addresses) == 0
        return addresses[place]
