"""Which node a command asks next, and when it stops asking; pure, so that tests need no socket."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    Peer,
    PeerDelayed,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.errors import NotLeaderError, NotReadyError, UnknownMessageError
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping, Pong, Refused

# Two meta nodes that each take the other for the leader would redirect a command for ever.
_REDIRECTS_MAX: Final = 3
# A patient command pauses between two rounds, so that an election can end meanwhile.
_PAUSE_SECONDS: Final = 0.1
# It waits no longer for one node: that node may hang while the others answer.
_PATIENT_SECONDS_EACH_MAX: Final = 2.5
# A node that does not accept within this time may be hung, or gone from the network without a word:
# the next one is dialled beside it.
_BESIDE_SECONDS: Final = 0.25
# A shorter round would end before its answer, and leave open whether the change was made.
_ROUND_SECONDS_MIN: Final = 0.25


class Finished(msgspec.Struct, frozen=True):
    """The question was answered, or there is no node left to ask."""


class Findings:
    """What the attempts have shown so far: it explains why a command got no answer."""

    def __init__(self) -> None:
        # Why each address gave no answer the last time, by address.
        self.reasons: dict[str, str] = {}
        # A node that was asked did not answer, so what was asked for may have been done.
        self.may_be_done = False
        # A node belongs to another cluster or speaks another version of the protocol.
        self.is_incompatible = False
        # What the last meta node said, if it knew of no leader.
        self.no_leader: str | None = None
        # From the question on an open connection to its answer.
        self.round_trip_seconds: float | None = None
        self.answered_at = 0.0
        # The last refusal with "not ready".
        self.not_ready: Refused | None = None
        # The last refusal of a node whose role does not take such a question.
        self.wrong_role: Refused | None = None


class _Attempt(msgspec.Struct):
    """A node that is dialled, or was asked: until when, and what the connection waits for."""

    address: str
    ends_at: float
    delay: str = ""


class AskCore:
    """Dials one node after the other until one answers; each has a limited time.

    It dials the next node beside those that have neither accepted nor refused within a quarter of
    a second, and asks the first one that accepts. Never are two nodes asked at a time.

    A patient core starts another round when no node has answered, until its timeout. It also
    asks again when a node answers "not ready". Its question must be safe to ask twice. It gives up
    early only where no node can be reached.
    """

    epoch = 0

    def __init__(
        self,
        link: Link,
        addresses: Sequence[str],
        question: Message,
        answer_type: type[Message],
        *,
        timeout_seconds: float,
        is_patient: bool = False,
    ) -> None:
        # An answer of the type that was asked for, or a refusal.
        self.answer: Message | None = None
        self.findings = Findings()
        self._link = link
        self._question = question
        self._answer_type = answer_type
        self._is_patient = is_patient
        self._timeout_seconds = timeout_seconds
        self._seconds_each = timeout_seconds / len(addresses)
        if is_patient:
            self._seconds_each = min(self._seconds_each, _PATIENT_SECONDS_EACH_MAX)
        self._ends_at = 0.0
        self._asked_at = 0.0
        # All addresses, and those that this round has not tried yet.
        self._addresses = list(dict.fromkeys(addresses))
        self._left = list(self._addresses)
        self._redirect_count = 0
        # The attempts of now, by address.
        self._attempts: dict[Peer, _Attempt] = {}
        # When the next address is dialled: beside others, or at the begin of a round.
        self._dial_at: float | None = None
        # The node that was asked and has not answered.
        self._asked: _Attempt | None = None
        # Whether any node could be asked: then another round may succeed.
        self._was_reached = False

    def start(self, now: float) -> Sequence[Effect]:
        """Connect to the first address."""
        self._ends_at = now + self._timeout_seconds
        return self._dial_next(now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Ask once a connection stands, and take the answer."""
        match message:
            case PeerUp() | PeerDelayed() | PeerLost() | PeerIncompatible():
                attempt = self._attempts.get(message.peer)
                return [] if attempt is None else self._on_event(attempt, message, now)
            case Ping():
                return [Send(link, peer, Pong())]
            case Local():
                return []
            case Refused(request_id=0 | 1) if (
                self._asked is not None and peer == self._asked.address
            ):
                return self._on_refused(self._asked, message, now)
            case Message() if isinstance(message, self._answer_type):
                self.findings.round_trip_seconds = now - self._asked_at
                self.findings.answered_at = now
                return self._finish(message)
            case _:
                return []

    def _on_event(
        self,
        attempt: _Attempt,
        event: PeerUp | PeerDelayed | PeerLost | PeerIncompatible,
        now: float,
    ) -> list[Effect]:
        match event:
            case PeerUp():
                return self._ask(attempt, now) if self._asked is None else []
            case PeerDelayed():
                attempt.delay = event.detail
                return []
            case PeerLost():
                return self._on_failed(attempt, event.reason, now)
            case PeerIncompatible():
                return self._on_incompatible(attempt, event.detail, now)

    def tick(self, now: float) -> Sequence[Effect]:
        """Give up on nodes that do not answer, and dial the next one if it is due."""
        effects: list[Effect] = []
        for attempt in list(self._attempts.values()):
            if now >= attempt.ends_at:
                effects += self._leave(attempt, attempt.delay or "no answer", now)
        if self._dial_at is not None and now >= self._dial_at:
            effects += self._dial_next(now)
        return effects

    def settle(self, now: float) -> Sequence[Effect]:
        """Return nothing: there is nothing to join."""
        del now
        return []

    def next_tick_at(self) -> float | None:
        """Return when a node has had its time, or when the next one is dialled."""
        due = [attempt.ends_at for attempt in self._attempts.values()]
        return min(due if self._dial_at is None else [*due, self._dial_at], default=None)

    def statistics(self) -> dict[str, int | float | str]:
        """Return how many addresses this round has not tried yet."""
        return {"addresses_left": len(self._left)}

    def _dial_next(self, now: float) -> list[Effect]:
        address = self._left.pop(0)
        ends_at = min(now + self._seconds_each, self._ends_at)
        self._attempts[address] = _Attempt(address, ends_at)
        self._dial_at = now + _BESIDE_SECONDS if self._left else None
        return [Connect(self._link, address, address)]

    def _ask(self, attempt: _Attempt, now: float) -> list[Effect]:
        """Ask a node that has accepted; the others are dialled again if it does not answer."""
        self._asked, self._asked_at, self._was_reached = attempt, now, True
        attempt.delay = ""
        others = [each.address for each in self._attempts.values() if each is not attempt]
        self._attempts = {attempt.address: attempt}
        self._left[:0] = others
        self._dial_at = None
        leave = [Disconnect(self._link, other) for other in others]
        return [*leave, Send(self._link, attempt.address, self._question)]

    def _on_incompatible(self, attempt: _Attempt, detail: str, now: float) -> list[Effect]:
        """Leave the node: it will never answer, however often it is asked."""
        self._was_reached = False
        self._asked = None
        self.findings.is_incompatible = True
        return self._leave(attempt, detail, now)

    def _on_refused(self, attempt: _Attempt, refused: Refused, now: float) -> list[Effect]:
        """Follow a redirect to the leader, ask again later, or take the refusal as the answer."""
        # What was asked for was not done there.
        self._asked = None
        if refused.code == NotLeaderError.code:
            self.findings.no_leader = None if refused.address else refused.detail
            if refused.address and self._redirect_count < _REDIRECTS_MAX:
                self._redirect_count += 1
                del self._attempts[attempt.address]
                others = [each for each in self._left if each != refused.address]
                self._left = [refused.address, *others]
                return [Disconnect(self._link, attempt.address), *self._dial_next(now)]
            return self._leave(attempt, refused.detail, now)
        if refused.code == NotReadyError.code and self._is_patient:
            self.findings.not_ready = refused
            return self._leave(attempt, refused.detail, now)
        if refused.code == UnknownMessageError.code:
            address = attempt.address.removeprefix("tcp://")
            self.findings.wrong_role = replace(refused, detail=f"{address}: {refused.detail}")
            self._was_reached = False
            return self._leave(attempt, refused.detail, now)
        return self._finish(refused)

    def _leave(self, attempt: _Attempt, reason: str, now: float) -> list[Effect]:
        return [
            Disconnect(self._link, attempt.address),
            *self._on_failed(attempt, reason, now),
        ]

    def _on_failed(self, attempt: _Attempt, reason: str, now: float) -> list[Effect]:
        """Note the reason, and go on: with the next address, with another round, or not at all."""
        del self._attempts[attempt.address]
        if self._asked is attempt:
            self._asked = None
            self.findings.may_be_done = True
        if now < self._ends_at:
            self.findings.reasons[attempt.address] = reason or "lost"
        else:
            # The timeout has passed. The reason of an earlier round tells more than that.
            self.findings.reasons.setdefault(attempt.address, reason)
        if self._left and now < self._ends_at:
            return self._dial_next(now)
        if self._attempts:
            return []
        next_round_ends_at = now + _PAUSE_SECONDS + _ROUND_SECONDS_MIN
        if self._is_patient and self._was_reached and next_round_ends_at < self._ends_at:
            self._left, self._redirect_count = list(self._addresses), 0
            self._dial_at = now + _PAUSE_SECONDS
            return []
        return self._finish(self.findings.not_ready or self.findings.wrong_role)

    def _finish(self, answer: Message | None) -> list[Effect]:
        self.answer = answer
        self._attempts.clear()
        self._dial_at = None
        return [Emit(Finished())]
