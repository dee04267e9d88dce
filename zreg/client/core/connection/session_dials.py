"""Attempts to connect to a session: which addresses are tried, when, and for how long.

The known addresses are tried one after the other, so that clients spread over the sessions. Those
that the LAN announces are tried side by side (`AnnouncedDials`): any machine can announce addresses
at which nothing answers.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from zreg.client.core.connection.addresses import SessionAddresses
from zreg.client.core.connection.outage import Outage
from zreg.config import Config
from zreg.discovery.announced_dials import AnnouncedDials
from zreg.discovery.lan_search import LanSearch
from zreg.discovery.sightings import LanEvent
from zreg.effects import Connect, Disconnect, Effect, Link, Peer
from zreg.model import Role
from zreg.primitives.timing.backoff import Backoff

if TYPE_CHECKING:
    from random import Random

# Between attempts at different addresses.
NEXT_ADDRESS_SECONDS_MAX: Final = 0.02
# A first attempt at an address that does not answer ends before a session gives up a client whose
# connection closed (`disconnect_grace_seconds`), with time left for another address. Each round of
# attempts has twice as long.
_DIAL_SECONDS_MIN: Final = 0.2
_DIAL_SECONDS_MAX: Final = 2.0
_TOO_SLOW: Final = "the connection could not be made in time"


class Attempt(msgspec.Struct):
    """An attempt to connect, and what it waits for, if that is known."""

    peer: str
    address: str
    delay_detail: str = ""


class SessionDials:
    """The attempts that are under way: one at a known address, or several at announced ones.

    Invariants:
    - Each attempt has its own peer name, so late messages of an earlier attempt are recognized.
    - While `_is_searching`, exactly the attempts of `_announced` are under way; else at most one,
      at a known address.
    """

    def __init__(
        self,
        config: Config,
        addresses: Sequence[str],
        outage: Outage,
        *,
        rng: "Random",
        discovers: bool,
    ) -> None:
        self._addresses = SessionAddresses(addresses, rng=rng)
        self._lan = LanSearch(
            config, Role.SESSION, is_allowed=discovers, events="client.session", rng=rng
        )
        self._announced = AnnouncedDials()
        self._backoff = Backoff(config.reconnect_seconds_min, config.reconnect_seconds_max, rng=rng)
        self._outage = outage
        self._rng = rng
        self._dial_seconds = _DIAL_SECONDS_MIN
        self._attempts: dict[Peer, Attempt] = {}
        self._is_searching = False
        # When the attempt at a known address is given up.
        self._due_at = math.inf
        self.count = 0
        # The address that was tried last, and why the last attempt or session failed.
        self.address = ""
        self.detail = ""

    def __repr__(self) -> str:
        """Show the attempts."""
        return f"<SessionDials {[each.address for each in self._attempts.values()]}>"

    # --- queries ------------------------------------------------------------------------------

    @property
    def known_count(self) -> int:
        """How many addresses are known, with those that the LAN announces."""
        return len({*self._addresses.known(), *self._others()})

    @property
    def has_untried(self) -> bool:
        """Whether this round has an address left, other than that of the session left last."""
        return self._addresses.has_untried or self._announced.has_untried

    @property
    def is_over(self) -> bool:
        """Whether no attempt is under way, and none is left of a search on the LAN."""
        return not self._attempts and self._announced.is_round_over

    def is_attempt(self, peer: Peer) -> bool:
        """Return whether an attempt is under way over a connection of this name."""
        return peer in self._attempts

    def next_at(self) -> float:
        """Return when `tick` is due; infinite if nothing is under way."""
        due_at = self._announced.next_at() if self._is_searching else self._due_at
        return math.inf if due_at is None else due_at

    def _others(self) -> list[str]:
        """Return what is announced, without the addresses that are tried anyway."""
        present = self._addresses.present
        return [each for each in self._lan.addresses if each not in present]

    # --- attempts -----------------------------------------------------------------------------

    def begin(self, now: float) -> list[Effect]:
        """Connect to the next address, or go on with those that the LAN announces."""
        self._is_searching = not self._announced.is_round_over
        if not self._is_searching:
            self._addresses.note_announced(is_any=bool(self._others()))
            address = self._addresses.next()
            if address is not None:
                self._due_at = now + self._dial_seconds
                return [self._connect(address)]
            self._is_searching = True
            self._announced.begin_round(now)
        self._announced.offer(self._others())
        return self.tick(now)

    def tick(self, now: float) -> list[Effect]:
        """Give up the attempts that take too long, and begin the next one that is due."""
        effects: list[Effect] = []
        overdue = self._announced.overdue(now)
        is_known_overdue = not self._is_searching and now >= self._due_at
        for each in list(self._attempts.values()):
            if is_known_overdue or each.address in overdue:
                effects += self.give_up(each.peer, each.delay_detail or _TOO_SLOW, now)
        if self._is_searching and (address := self._announced.start(now)) is not None:
            effects.append(self._connect(address))
        return effects

    def _connect(self, address: str) -> Effect:
        self.count += 1
        self.address = address
        attempt = Attempt(f"session-{self.count}", address)
        self._attempts[attempt.peer] = attempt
        return Connect(Link.SESSION, attempt.peer, address)

    def on_delayed(self, peer: Peer, detail: str) -> None:
        """Note what an attempt waits for, so that its end has a cause."""
        self._attempts[peer].delay_detail = detail

    def choose(self, peer: Peer) -> tuple[Attempt, list[Effect]]:
        """Take the attempt that was the first to succeed; end the others."""
        chosen = self._attempts.pop(peer)
        if self._is_searching:
            self._is_searching = False
            self._announced.note_up(chosen.address)
            # The others may be tried in this round if this session does not serve.
            self._announced.offer(self._others())
        ended = [Disconnect(Link.SESSION, each.peer) for each in self._attempts.values()]
        self._attempts.clear()
        return chosen, [*ended]

    def give_up(self, peer: Peer, detail: str, now: float) -> list[Effect]:
        """End an attempt that leads nowhere."""
        disconnect = Disconnect(Link.SESSION, self._attempts[peer].peer)
        self.note_lost(peer, detail, now)
        return [disconnect]

    def note_lost(self, peer: Peer, detail: str, now: float) -> None:
        """Note that an attempt failed."""
        self.note_failure(self._attempts.pop(peer).address, detail, now)

    # --- what became of an address ------------------------------------------------------------

    def note_failure(self, address: str, detail: str, now: float) -> None:
        """Note why an address did not lead to a session that serves."""
        self.detail = detail
        self._announced.note_failed(address)
        self._lan.on_failed(address)
        self._outage.note_failure(address, detail, now)

    def pause(self, now: float) -> tuple[float, list[Effect]]:
        """Return how long to wait before the next attempt; after a round longer, and browse."""
        self._is_searching = False
        if not (self._addresses.is_round_over and self.is_over):
            return self._rng.random() * NEXT_ADDRESS_SECONDS_MAX, []
        self._dial_seconds = min(2 * self._dial_seconds, _DIAL_SECONDS_MAX)
        return self._backoff.next_seconds(), self._lan.on_round_over(now)

    def try_first(self, address: str) -> None:
        """Start a round with this address: its session probably still runs."""
        self._addresses.try_first(address)

    def try_last(self, address: str) -> None:
        """Start a round that ends with this address: its session leaves or hangs."""
        self._addresses.try_last(address)
        self._announced.put_last(address)

    def on_welcomed(self, address: str, sessions: Sequence[str]) -> list[Effect]:
        """End the round: a session serves, and names the sessions that there are."""
        self._addresses.learn(sessions)
        self._announced.end_round()
        self._announced.note_answered(address)
        self._backoff.reset()
        self._dial_seconds = _DIAL_SECONDS_MIN
        return self._lan.on_admitted(address)

    def on_announcement(self, event: LanEvent, now: float) -> tuple[list[Effect], bool]:
        """Take what the LAN announces; return effects, and whether there is more to try."""
        effects, has_new = self._lan.see(event, now)
        self._outage.lan_note = self._lan.note
        if self._is_searching:
            self._announced.offer(self._others())
        else:
            self._addresses.note_announced(is_any=bool(self._others()), is_new=has_new)
        return effects, has_new
