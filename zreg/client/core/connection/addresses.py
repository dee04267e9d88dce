"""The session addresses that a client knows, and the order in which it tries them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_SCHEME: Final = "tcp://"
# How many addresses of earlier Welcomes are kept, and how many of them a round tries: attempts at
# addresses that do not answer delay those at the present ones.
_FORMER_MAX: Final = 64
_FORMER_TRIED_MAX: Final = 2


class SessionAddresses:
    """The configured addresses and those of Welcomes, tried in rounds.

    A round tries each address once, in random order, so that clients spread over the sessions. Then
    comes the turn of the addresses that the LAN announces (`SessionDials`). Addresses that only
    earlier Welcomes named come last: a session that was among the first to return does not know the
    others yet. The next address is taken from the end of the round, where None is that turn.
    """

    def __init__(self, configured: Iterable[str], *, rng: "Random") -> None:
        self._configured = tuple(dict.fromkeys(configured))
        assert self._configured
        self._learned: tuple[str, ...] = ()
        self._former: tuple[str, ...] = ()
        # Whether the LAN announces others.
        self._is_any_announced = False
        self._rng = rng
        self._round: list[str | None] = []
        # The session that was left last, which hangs or leaves itself.
        self._left = ""
        self._new_round()

    def __len__(self) -> int:
        """Return how many addresses are known."""
        return len(self.known())

    @property
    def present(self) -> tuple[str, ...]:
        """The configured addresses and those of the last Welcome, all of which a round tries."""
        return tuple(dict.fromkeys((*self._configured, *self._learned)))

    def known(self) -> list[str]:
        """Return all addresses, the configured ones first."""
        return list(dict.fromkeys((*self.present, *self._former)))

    def learn(self, addresses: Iterable[str]) -> None:
        """Take the addresses of a Welcome; keep some of earlier ones as a last choice."""
        learned = tuple(a for a in addresses if a.startswith(_SCHEME))
        known = {*learned, *self._configured}
        former = dict.fromkeys((*self._learned, *self._former))
        self._former = tuple(a for a in former if a not in known)[:_FORMER_MAX]
        self._learned = learned

    def note_announced(self, *, is_any: bool, is_new: bool = False) -> None:
        """Note whether the LAN announces other addresses.

        New ones have their turn in this round, after what is left of it.
        """
        self._is_any_announced = is_any
        if not is_any:
            self._round = [each for each in self._round if each is not None]
        elif is_new and None not in self._round:
            self._round.insert(0, None)

    def try_first(self, address: str) -> None:
        """Start a round with this address: its session probably still runs."""
        self._left = ""
        self._new_round()
        if address in self._round:
            self._round.remove(address)
        self._round.append(address)

    def try_last(self, address: str) -> None:
        """Start a round that ends with this address: its session leaves or hangs."""
        self._left = address
        self._new_round()
        if address in self._round:
            self._round.remove(address)
            self._round.insert(0, address)

    def next(self) -> str | None:
        """Return the address to try now; None: it is the turn of those that the LAN announces."""
        if not self._round:
            self._new_round()
        return self._round.pop()

    @property
    def is_round_over(self) -> bool:
        """Whether every address was tried since the round began."""
        return not self._round

    @property
    def has_untried(self) -> bool:
        """Whether the round has an address left, other than that of the session left last."""
        return any(address not in (None, self._left) for address in self._round)

    def _new_round(self) -> None:
        present = list(self.present)
        self._rng.shuffle(present)
        former = self._former[:_FORMER_TRIED_MAX]
        self._former = (*self._former[_FORMER_TRIED_MAX:], *former)
        announced = [None] if self._is_any_announced else []
        self._round = [*former, *announced, *present]
