"""Which session to try next: all that are known, in an order that differs from client to client."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_SCHEME: Final = "tcp://"


class SessionAddresses:
    """The configured addresses and those of the last Welcome, tried in rounds."""

    def __init__(self, configured: Iterable[str], *, rng: "Random") -> None:
        self._configured = tuple(dict.fromkeys(configured))
        assert self._configured
        self._learned: tuple[str, ...] = ()
        self._rng = rng
        self._round: list[str] = []
        self._new_round()

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self.known())

    def known(self) -> list[str]:
        """Return all addresses, the configured ones first."""
        return list(dict.fromkeys((*self._configured, *self._learned)))

    def learn(self, addresses: Iterable[str]) -> None:
        """Take the list of a Welcome in place of the one before."""
        self._learned = tuple(a for a in addresses if a.startswith(_SCHEME))

    def try_first(self, address: str) -> None:
        """Start a round with this address: its session is probably still there."""
        self._new_round()
        if address in self._round:
            self._round.remove(address)
        self._round.append(address)

    def try_last(self, address: str) -> None:
        """Start a round that comes to this address last: its session leaves or hangs."""
        self._new_round()
        if address in self._round:
            self._round.remove(address)
            self._round.insert(0, address)

    def next(self) -> str:
        """Return the address to try now."""
        if not self._round:
            self._new_round()
        return self._round.pop()

    @property
    def is_round_over(self) -> bool:
        """Return whether every address was tried since the round began."""
        return not self._round

    def _new_round(self) -> None:
        self._round = self.known()
        self._rng.shuffle(self._round)
