"""Other addresses at which a member may be: it was announced there, or has said so itself."""

from typing import Final

# While a member is not reached, a new address takes the place only of one that was tried in vain: a
# flood of lies does not displace the right one before it is tried.
SUGGESTED_MAX: Final = 4


class SuggestedAddresses:
    """The suggestions for each member, and which address to try next.

    Attempts alternate between the address in the configuration and one suggestion.
    """

    def __init__(self) -> None:
        # By member and address: whether the last attempt there was in vain; the latest is last.
        self._by_peer: dict[str, dict[str, bool]] = {}

    def __repr__(self) -> str:
        """Show the addresses."""
        return f"<SuggestedAddresses {self._by_peer}>"

    def of(self, peer: str) -> tuple[str, ...]:
        """Return the suggestions for a member."""
        return tuple(self._by_peer.get(peer, ()))

    def add(self, peer: str, address: str, *, is_peer_up: bool = False) -> bool:
        """Take a suggestion; return whether it is new and there is room for it.

        Of a member that is up, the latest ones are kept: it may be on its way there.
        """
        known = self._by_peer.setdefault(peer, {})
        if address in known:
            return False
        if len(known) >= SUGGESTED_MAX:
            victims = [each for each, has_failed in known.items() if has_failed or is_peer_up]
            if not victims:
                return False
            del known[victims[0]]
        known[address] = False
        return True

    def next(self, peer: str, configured: str, former: str | None) -> str:
        """Return the address to try now, after an attempt at `former`; None: after none."""
        known = self._by_peer.get(peer, {})
        if not known or (former not in (None, configured)):
            return configured
        untried = (each for each, has_failed in known.items() if not has_failed)
        return next(untried, next(iter(known)))

    def note_failed(self, peer: str, address: str) -> None:
        """Note that an attempt was in vain: others come before this address."""
        known = self._by_peer.get(peer, {})
        if known.pop(address, None) is not None:
            known[address] = True

    def forget(self, peer: str) -> None:
        """Forget all suggestions for a member: it was found, or is none any more."""
        self._by_peer.pop(peer, None)
