"""A node's one connection to meta, and its way to the meta node that leads.

Phases and their transitions (`_TRANSITIONS`):

    WAITING ──dial──▶ CONNECTING ──up──▶ ASKING ──admitted──▶ ADMITTED
       ▲ │                ▲                ▲│                     │
       │ └─search──▶ SEARCHING ────up──────┘│                     │
       │                │ ▲                 │                     │
       └──────lost──────┴─┼─────────────────┴──────lost───────────┤
                          └────redirected (not the leader)────────┘
"""

import enum
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.discovery.announced_dials import AnnouncedDials
from zreg.discovery.lan_search import LanSearch
from zreg.discovery.sightings import Sighted, Withdrawn
from zreg.effects import TIMED_OUT, Connect, Disconnect, Effect, Link, Send
from zreg.membership.leader_link.leader_outage import LeaderOutage
from zreg.membership.leader_link.meta_addresses import MetaAddresses
from zreg.membership.leader_link.outage_log import NO_ANSWER, OutageLog
from zreg.model import Membership, Role
from zreg.primitives.timing.backoff import Backoff
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused

if TYPE_CHECKING:
    from random import Random

# A node that did not run for more than this share of a lease does not judge the silence of meta.
_STALL_SHARE: Final = 0.25
# Meta nodes that redirect a node in a circle wait for an election; so does the node then.
_REDIRECTS_MAX: Final = 3


class Phase(enum.Enum):
    """How far the connection is."""

    WAITING = enum.auto()  # until the next attempt is due
    CONNECTING = enum.auto()  # the attempt is under way
    SEARCHING = enum.auto()  # attempts at announced addresses are under way
    ASKING = enum.auto()  # connected; the leader has not answered yet that this node is a member
    ADMITTED = enum.auto()  # the leader has answered over this connection that it is


class Step(enum.Enum):
    """What changes the phase."""

    DIAL = enum.auto()
    SEARCH = enum.auto()
    UP = enum.auto()
    ADMITTED = enum.auto()
    REDIRECTED = enum.auto()
    LOST = enum.auto()


_TRANSITIONS: Final = {
    (Phase.WAITING, Step.DIAL): Phase.CONNECTING,
    (Phase.WAITING, Step.SEARCH): Phase.SEARCHING,
    (Phase.SEARCHING, Step.UP): Phase.ASKING,
    (Phase.SEARCHING, Step.LOST): Phase.WAITING,
    (Phase.CONNECTING, Step.UP): Phase.ASKING,
    (Phase.CONNECTING, Step.LOST): Phase.WAITING,
    (Phase.ASKING, Step.ADMITTED): Phase.ADMITTED,
    (Phase.ASKING, Step.REDIRECTED): Phase.CONNECTING,
    (Phase.ASKING, Step.LOST): Phase.WAITING,
    (Phase.ADMITTED, Step.ADMITTED): Phase.ADMITTED,
    (Phase.ADMITTED, Step.REDIRECTED): Phase.CONNECTING,
    (Phase.ADMITTED, Step.LOST): Phase.WAITING,
}


class LeaderConnection:
    """The connection to one meta node at a time; it moves on from a silent one to the next.

    Of the announced addresses it tries several at once, and takes the one that accepts first.
    Invariants: `address` is None exactly while WAITING or SEARCHING, and attempts at announced
    addresses are under way only while SEARCHING. `leader` is set exactly while ADMITTED.
    """

    def __init__(self, config: Config, *, rng: "Random", now: float) -> None:
        self._config = config
        self._phase = Phase.WAITING
        self._addresses = MetaAddresses(config.meta_addresses)
        self.lan_search = LanSearch(
            config, Role.META, is_allowed=not config.meta_addresses, events="meta"
        )
        self._dials = AnnouncedDials()
        self._backoff = Backoff(config.reconnect_seconds_min, config.reconnect_seconds_max, rng=rng)
        self.outage = LeaderOutage(now)
        self._log = OutageLog(self.outage)
        self.address: str | None = None
        self._lost_address: str | None = None
        # The addresses that the LAN need not announce.
        self._known: frozenset[str] = frozenset()
        self._redirect_count = 0
        self._dial_at = now
        self._heard_at = self._ask_at = now
        self._request_id = 0

    @property
    def is_dialling(self) -> bool:
        """Whether an attempt to connect is under way: nothing was asked, so nothing is answered."""
        return self._phase in (Phase.CONNECTING, Phase.SEARCHING)

    def is_dialled(self, address: object) -> bool:
        """Return whether an attempt to connect to an address is under way."""
        if self._phase is Phase.SEARCHING:
            return self._dials.is_under_way(address)
        return self._phase is Phase.CONNECTING and address == self.address

    def is_search_due(self, now: float) -> bool:
        """Return whether an attempt at an announced address is to be given up or begun."""
        due_at = self._dials.next_at()
        return self._phase is Phase.SEARCHING and due_at is not None and now >= due_at

    @property
    def is_up(self) -> bool:
        """Whether requests can be sent."""
        return self._phase in (Phase.ASKING, Phase.ADMITTED)

    @property
    def leader(self) -> str | None:
        """The meta node that has answered over this connection that this node is a member."""
        return self.address if self._phase is Phase.ADMITTED else None

    def next_request_id(self) -> int:
        """Return a request id that no request of this node to meta has used."""
        self._request_id += 1
        return self._request_id

    def send(self, message: Message) -> Send:
        """Return the effect that sends a message to the connected meta node."""
        assert self.address is not None
        return Send(Link.META, self.address, message)

    # --- time ---------------------------------------------------------------------------------

    def next_tick_at(self) -> float | None:
        """Return when something is due; None while an attempt at a known address is under way."""
        if self._phase is Phase.WAITING:
            return self._dial_at
        if self._phase is Phase.SEARCHING:
            return self._dials.next_at()
        return self._ask_at if self.is_up else None

    def is_dial_due(self, now: float) -> bool:
        """Return whether it is time to connect."""
        return self._phase is Phase.WAITING and now >= self._dial_at

    def is_ask_due(self, now: float) -> bool:
        """Return whether it is time to renew, or to join."""
        return self.is_up and now >= self._ask_at

    def is_silent(self, now: float) -> bool:
        """Return whether meta has not answered for half a lease while this node ran."""
        return self.is_up and now - self._heard_at > self._config.lease_seconds / 2

    def is_overdue(self, now: float) -> bool:
        """Return whether meta has missed an answer, or is not connected at all."""
        return not self.is_up or now - self._heard_at > 1.5 * self._config.renew_seconds

    def note_stall(self, now: float) -> None:
        """Start the patience anew if this node itself did not run for a while."""
        if now - self._ask_at > self._config.lease_seconds * _STALL_SHARE:
            self._heard_at = now

    def note_asked(self, now: float) -> None:
        """Note that a request for the lease leaves now; the next is due after the usual time."""
        self._ask_at = now + self._config.renew_seconds

    def ask_soon(self, now: float) -> None:
        """Have the next request for the lease be due now."""
        self._ask_at = now

    # --- what happens to the connection --------------------------------------------------------

    def dial(self, membership: Membership, now: float) -> list[Effect]:
        """Connect to the next known meta node, or search among the announced ones."""
        self.lan_search.narrow(membership.cluster_id)
        self._known = frozenset(self._addresses.known(membership))
        if self._dials.is_round_over:
            address = self._addresses.next(
                membership, self._lost_address, is_any_announced=bool(self._announced())
            )
            if self._addresses.is_round_new:
                self.outage.begin_round()
            if address is not None:
                self._move(Step.DIAL)
                self.address = address
                return [Connect(Link.META, address, address)]
            self._lost_address = None
            self._dials.begin_round(now)
        self._move(Step.SEARCH)
        self._dials.offer(self._announced())
        return self.search(now)

    def search(self, now: float) -> list[Effect]:
        """Give up the attempts at announced addresses that take too long, and begin the next."""
        effects: list[Effect] = []
        for address in self._dials.overdue(now):
            self._note_failed(address, TIMED_OUT, now)
            effects.append(Disconnect(Link.META, address))
        if (next_address := self._dials.start(now)) is not None:
            effects.append(Connect(Link.META, next_address, next_address))
        return effects + self._end_search_if_over(now)

    def on_dial_failed(self, address: str, reason: str, now: float) -> list[Effect]:
        """Note that an attempt failed; `is_dialled` has said that it was under way."""
        if self._phase is Phase.CONNECTING:
            return self.on_lost(reason, now)
        self._note_failed(address, reason, now)
        return self._end_search_if_over(now)

    def _announced(self) -> list[str]:
        return [each for each in self.lan_search.addresses if each not in self._known]

    def _end_search_if_over(self, now: float) -> list[Effect]:
        if not self._dials.is_round_over:
            return []
        self._move(Step.LOST)
        return self._pause(now)

    def on_up(self, address: str, now: float) -> list[Effect]:
        """Note that the connection to an address stands; end the other attempts."""
        others = self._dials.note_up(address) if self._phase is Phase.SEARCHING else []
        self._move(Step.UP)
        self.address = address
        self._heard_at = self._ask_at = now
        return [Disconnect(Link.META, each) for each in others]

    def on_heard(self, now: float) -> None:
        """Note that the meta node sent something."""
        self._heard_at = now

    def on_answer(self) -> None:
        """Note that the meta node sent a useful answer: the next pauses are short again."""
        self._backoff.reset()

    def on_admitted(self) -> list[Effect]:
        """Note that the leader has answered that this node is a member."""
        self._move(Step.ADMITTED)
        self.outage.end()
        self._dials.end_round()
        return [*self._log.end(), *self.lan_search.on_admitted(str(self.address))]

    def on_renewed(self) -> None:
        """Note that the leader was found: redirects count anew."""
        self._redirect_count = 0
        self.on_answer()

    def on_lost(self, reason: str, now: float, *, is_answer: bool = False) -> list[Effect]:
        """Note that the connection is gone or was not made; try the next meta node after a pause.

        `is_answer`: the reason is what the meta node answered.
        """
        was_admitted = self.leader is not None
        self._move(Step.LOST)
        address, self.address = str(self.address), None
        self._lost_address = address
        if is_answer:
            self.outage.note_answer(address, reason, now)
            self._dials.note_answered(address)
            self.lan_search.on_failed(address)
        else:
            self._note_failed(address, reason, now)
        # A leader that is lost has been found, so nothing was in vain.
        return self._pause(now, may_browse=not was_admitted)

    def _note_failed(self, address: str, reason: str, now: float) -> None:
        self._dials.note_failed(address)
        self.outage.note_failure(address, reason, now)
        self.lan_search.on_failed(address)

    def _pause(self, now: float, *, may_browse: bool = True) -> list[Effect]:
        """Wait before the next attempt; browse if all addresses were tried in vain."""
        is_round_over = self._addresses.is_round_over and self._dials.is_round_over
        # Pauses grow from round to round, but a meta node that lives is found within a lease.
        pause = self._config.reconnect_seconds_min
        if is_round_over:
            pause = self._backoff.next_seconds()
        if self.outage.is_electing:
            pause = min(pause, self._config.renew_seconds)
        self._dial_at = now + pause
        effects: list[Effect] = [*self._log.lost(now, is_round_over=is_round_over)]
        if is_round_over and may_browse:
            effects += self.lan_search.on_round_over(now)
        return effects

    def on_announcement(self, event: Sighted | Withdrawn, now: float) -> list[Effect]:
        """Take what the LAN announces; try a new address soon if none is being tried."""
        effects, has_new = self.lan_search.see(event, now)
        self.outage.lan_note = self.lan_search.note
        if self._phase is Phase.SEARCHING:
            self._dials.offer(self._announced())
            return effects + self._end_search_if_over(now)
        if has_new:
            self._dial_at = min(self._dial_at, now + self._config.reconnect_seconds_min)
        return effects

    def hang_up(self, reason: str, now: float) -> list[Effect]:
        """Drop the connection, and try the next meta node after a pause."""
        return [Disconnect(Link.META, str(self.address)), *self.on_lost(reason, now)]

    def on_silence(self, now: float) -> list[Effect]:
        """Drop the connection to a meta node that does not answer."""
        return self.hang_up(NO_ANSWER, now)

    def on_not_leader(self, refused: Refused, now: float) -> list[Effect]:
        """Go to the leader at once, or to the next meta node if this one knows no leader."""
        former, leader = str(self.address), refused.address
        self.outage.note_not_leader(refused.detail, leader)
        disconnect = Disconnect(Link.META, former)
        self._redirect_count += 1
        if leader in ("", former) or self._redirect_count > _REDIRECTS_MAX:
            self._redirect_count = 0
            return [disconnect, *self.on_lost(refused.detail, now, is_answer=True)]
        self._move(Step.REDIRECTED)
        self.address = leader
        return [disconnect, Connect(Link.META, leader, leader)]

    def on_not_meta(self, refused: Refused, now: float) -> list[Effect]:
        """Go on: a session or data node listens at an address that was given as a meta node's."""
        why = f"not a meta node (correct --meta): it answers {refused.detail!r}"
        return self.hang_up(why, now)

    def on_refused(self, refused: Refused, now: float) -> list[Effect]:
        """Note that the meta node does not admit this node, and log it unless the log has it."""
        self.outage.note_answer(str(self.address), refused.detail, now)
        return [*self._log.refused(refused.code, refused.detail, now)]

    def statistics(self) -> dict[str, int | float | str]:
        """Return the leader and what the LAN announces, for people."""
        return {
            "meta": self.leader or "-",
            "announcements": len(self.lan_search),
            "announcements_refused": self.lan_search.refused_count,
        }

    def _move(self, step: Step) -> None:
        self._phase = _TRANSITIONS[self._phase, step]
