"""Which meta node a node tries next."""

from collections.abc import Sequence
from typing import Final

from zreg.model import Membership, Role

# Where the meta node of this machine is, by default.
LOCAL_META_ADDRESS: Final = "tcp://127.0.0.1:9610"


class MetaAddresses:
    """Rounds over meta nodes: those of the configuration and of the membership, then the LAN.

    Without configuration the meta node of this machine comes first.
    """

    def __init__(self, configured: Sequence[str]) -> None:
        self._configured = configured or (LOCAL_META_ADDRESS,)
        self._next = 0
        # Whether the last turn began a round, or ended one.
        self.is_round_new = False
        self.is_round_over = False

    def known(self, membership: Membership) -> list[str]:
        """Return the addresses that are not from the LAN, in the order in which to try them."""
        of_members = [member.address for member in membership.of(Role.META)]
        return list(dict.fromkeys([*self._configured, *of_members]))

    def next(
        self, membership: Membership, lost: str | None, *, is_any_announced: bool = False
    ) -> str | None:
        """Return the next address, or None when it is the turn of those that the LAN announces.

        It is not `lost`, the address lost last, if there are others.
        """
        addresses: list[str | None] = [*self.known(membership)]
        if is_any_announced:
            addresses.append(None)
        # A connection to a frozen process hangs for as long as a lease.
        self._next += lost is not None and addresses[self._next % len(addresses)] == lost
        place = self._next % len(addresses)
        self.is_round_new = place == 0
        self._next += 1
        self.is_round_over = self._next % len(addresses) == 0
        return addresses[place]
