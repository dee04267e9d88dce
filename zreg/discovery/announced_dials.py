"""Attempts to connect to announced addresses: several at once, and short at first.

Any machine of the LAN can announce addresses at which no process answers. So an attempt does not
wait for the end of the one before: each address that has not failed yet delays the next one by
`START_SECONDS` and no more.
"""

from collections.abc import Sequence
from typing import Final

# An address that answers wins before the next one is tried: the order is kept among living nodes.
START_SECONDS: Final = 0.05
# How long the first attempt at an address may take. Each further one may take twice as long, up to
# the time after which the reactor gives up.
DIAL_SECONDS_MIN: Final = 0.2
DIAL_SECONDS_MAX: Final = 2.0
# So many attempts that a first one never waits for the end of another one.
DIALS_MAX: Final = 16
# Of the addresses that failed, a round tries so many again. More would delay those that answered
# and could not serve yet: meta nodes that do not lead, for example, are asked in each round.
RETRIES_MAX: Final = 12
# A flood of new addresses does not keep a round from its end: then known ones have their turn.
_ROUND_MAX: Final = 128


class AnnouncedDials:
    """One round after the other over the announced addresses.

    Invariants: at most `DIALS_MAX` attempts are under way; a round tries no address twice, except
    one whose attempt ended because another address answered.
    """

    def __init__(self) -> None:
        # The addresses of this round that were not tried yet, in the order in which to try them.
        self._queue: list[str] = []
        # When the attempt at an address is given up.
        self._under_way: dict[str, float] = {}
        self._tried: set[str] = set()
        # By address: how many attempts failed since it answered last. The latest failure is last.
        self._failures: dict[str, int] = {}
        self._retry_count = 0
        self._start_at = 0.0

    def __repr__(self) -> str:
        """Show what is under way, and what is to be tried."""
        return f"<AnnouncedDials {list(self._under_way)} then {self._queue}>"

    @property
    def is_round_over(self) -> bool:
        """Whether nothing is under way, and nothing is left to be tried in this round."""
        return not self._under_way and not self._queue

    @property
    def has_untried(self) -> bool:
        """Whether an address is left to be tried in this round."""
        return bool(self._queue)

    def is_under_way(self, address: object) -> bool:
        """Return whether an attempt at an address is under way."""
        return address in self._under_way

    def next_at(self) -> float | None:
        """Return when an attempt is to be given up or begun; None if the round is over."""
        times = [*self._under_way.values()]
        if self._queue and len(self._under_way) < DIALS_MAX:
            times.append(self._start_at)
        return min(times, default=None)

    # --- a round -------------------------------------------------------------------------------

    def begin_round(self, now: float) -> None:
        """Try all addresses again that are offered from now on."""
        self.end_round()
        self._start_at = now

    def end_round(self) -> None:
        """Try no further address. There must be no attempt under way."""
        assert not self._under_way
        self._queue.clear()
        self._tried.clear()
        self._retry_count = 0

    def offer(self, announced: Sequence[str]) -> None:
        """Take the addresses that are announced now, in the order in which to try them.

        Those that have failed come last, the one whose last failure is longest ago first.
        """
        names = set(announced)
        self._failures = {each: n for each, n in self._failures.items() if each in names}
        untried = names - self._tried
        fresh = [each for each in announced if each in untried and each not in self._failures]
        failed = [each for each in self._failures if each in untried]
        self._queue = [
            *fresh[: max(0, _ROUND_MAX - len(self._tried))],
            *failed[: max(0, RETRIES_MAX - self._retry_count)],
        ]

    def start(self, now: float) -> str | None:
        """Return an address to which to connect now, if one is due."""
        if not self._queue or now < self._start_at or len(self._under_way) >= DIALS_MAX:
            return None
        address = self._queue.pop(0)
        self._tried.add(address)
        self._retry_count += address in self._failures
        self._under_way[address] = now + self._dial_seconds(address)
        self._start_at = now + START_SECONDS
        return address

    def overdue(self, now: float) -> list[str]:
        """Return the addresses whose attempts have taken too long."""
        return [address for address, until in self._under_way.items() if now >= until]

    def note_failed(self, address: str) -> None:
        """Note that an attempt was in vain, or that a process accepted and did not answer."""
        self._under_way.pop(address, None)
        if address in self._tried:
            self.put_last(address)

    def put_last(self, address: str) -> None:
        """Try an address after those that have not failed: its node leaves, or hangs."""
        self._failures[address] = self._failures.pop(address, 0) + 1

    def note_up(self, address: str) -> list[str]:
        """Note that an address accepts; return the others under way, which are tried later."""
        del self._under_way[address]
        others = list(self._under_way)
        self._under_way.clear()
        self._tried.difference_update(others)
        self._retry_count -= sum(each in self._failures for each in others)
        return others

    def note_answered(self, address: str) -> None:
        """Note that a node answered at an address: the next round tries it early again."""
        self._failures.pop(address, None)

    def _dial_seconds(self, address: str) -> float:
        seconds = DIAL_SECONDS_MIN
        for _ in range(self._failures.get(address, 0)):
            if seconds >= DIAL_SECONDS_MAX:
                break
            seconds *= 2
        return min(seconds, DIAL_SECONDS_MAX)
