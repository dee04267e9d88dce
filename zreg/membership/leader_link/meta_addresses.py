"""Which meta node a node tries next."""

from collections.abc import Sequence
from typing import Final

from zreg.model import Membership, Role

# Where the meta node of this machine is, by default.
LOCAL_META_ADDRESS: Final = "tcp://127.0.0.1:9610"


class MetaAddresses:
    """Rounds over meta nodes: those of the configuration, of the membership, and of the LAN.

    Without configuration the meta node of this machine comes first.
    """

    def __init__(self, configured: Sequence[str]) -> None:
        self._configured = configured or (LOCAL_META_ADDRESS,)
        self._next = 0
        # Whether the last address began a round, or ended one.
        self.is_round_new = False
        self.is_round_over = False

    def next(self, membership: Membership, lost: str | None, announced: Sequence[str] = ()) -> str:
        """Return the next address; not `lost`, the address lost last, if there are others."""
        known = [member.address for member in membership.of(Role.META)]
        addresses = list(dict.fromkeys([*self._configured, *known, *announced]))
        # A connection to a frozen process hangs for as long as a lease.
        self._next += addresses[self._next % len(addresses)] == lost
        place = self._next % len(addresses)
        self.is_round_new = place == 0
        self._next += 1
        self.is_round_over = self._next % len(addresses) == 0
        return addresses[place]
