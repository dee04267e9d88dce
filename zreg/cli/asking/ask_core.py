"""Which node a command asks next, and when it stops asking; pure, so that tests need no socket."""

from collections.abc import Sequence
from typing import Final

import msgspec

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
from zreg.errors import NotLeaderError, NotReadyError
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping, Pong, Refused

# Two meta nodes that each take the other for the leader would redirect a command for ever.
_REDIRECTS_MAX: Final = 3
# A patient command pauses between two rounds, so that an election can end meanwhile.
_PAUSE_SECONDS: Final = 0.1
# It waits no longer for one node: that node may hang while the others answer.
_PATIENT_SECONDS_EACH_MAX: Final = 2.5
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


class AskCore:
    """Asks one node after the other until one answers; each has a limited time.

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
        self._addresses = list(addresses)
        self._left = list(addresses)
        self._redirect_count = 0
        # The address that is tried now; None between two rounds.
        self._address: str | None = None
        # What the attempt waits for before it connects; empty if for nothing.
        self._delay = ""
        self._due_at: float | None = None
        # Whether the present node was asked and has not answered.
        self._is_waiting = False
        # Whether any node could be asked: then another round may succeed.
        self._was_reached = False

    def start(self, now: float) -> Sequence[Effect]:
        """Connect to the first address."""
        self._ends_at = now + self._timeout_seconds
        return self._try_next(now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Ask once the connection stands, and take the answer."""
        match message:
            case PeerUp() if message.peer == self._address:
                self._is_waiting = self._was_reached = True
                self._asked_at = now
                self._delay = ""
                return [Send(self._link, message.peer, self._question)]
            case PeerDelayed() if message.peer == self._address:
                self._delay = message.detail
                return []
            case PeerLost() if message.peer == self._address:
                return self._on_attempt_failed(message.reason, now)
            case PeerIncompatible() if message.peer == self._address:
                return self._on_incompatible(message.detail, now)
            case Ping():
                return [Send(link, peer, Pong())]
            case Local():
                return []
            case Refused(request_id=0 | 1) if peer == self._address:
                return self._on_refused(message, now)
            case Message() if isinstance(message, self._answer_type):
                self.findings.round_trip_seconds = now - self._asked_at
                self.findings.answered_at = now
                return self._finish(message)
            case _:
                return []

    def tick(self, now: float) -> Sequence[Effect]:
        """Give up on a node that does not answer, or start another round."""
        if self._due_at is None or now < self._due_at:
            return []
        if self._address is None:
            return self._try_next(now)
        return self._leave(self._delay or "no answer", now)

    def settle(self, now: float) -> Sequence[Effect]:
        """Return nothing: there is nothing to join."""
        del now
        return []

    def next_tick_at(self) -> float | None:
        """Return when the present node has had its time, or when the pause ends."""
        return self._due_at

    def statistics(self) -> dict[str, int | float | str]:
        """Return how many addresses this round has not tried yet."""
        return {"addresses_left": len(self._left)}

    def _try_next(self, now: float) -> list[Effect]:
        self._address = self._left.pop(0)
        self._delay = ""
        self._due_at = min(now + self._seconds_each, self._ends_at)
        return [Connect(self._link, self._address, self._address)]

    def _on_incompatible(self, detail: str, now: float) -> list[Effect]:
        """Leave the node: it will never answer, however often it is asked."""
        self._is_waiting = self._was_reached = False
        self.findings.is_incompatible = True
        return self._leave(detail, now)

    def _on_refused(self, refused: Refused, now: float) -> list[Effect]:
        """Follow a redirect to the leader, ask again later, or take the refusal as the answer."""
        self._is_waiting = False
        if refused.code == NotLeaderError.code:
            self.findings.no_leader = None if refused.address else refused.detail
            if refused.address and self._redirect_count < _REDIRECTS_MAX:
                self._redirect_count += 1
                self._left.insert(0, refused.address)
                return [*self._disconnect(), *self._try_next(now)]
            return self._leave(refused.detail, now)
        if refused.code == NotReadyError.code and self._is_patient:
            self.findings.not_ready = refused
            return self._leave(refused.detail, now)
        return self._finish(refused)

    def _leave(self, reason: str, now: float) -> list[Effect]:
        return [*self._disconnect(), *self._on_attempt_failed(reason, now)]

    def _disconnect(self) -> list[Effect]:
        return [] if self._address is None else [Disconnect(self._link, self._address)]

    def _on_attempt_failed(self, reason: str, now: float) -> list[Effect]:
        """Note the reason, and go on: with the next address, with another round, or not at all."""
        assert self._address is not None
        if self._is_waiting:
            self.findings.may_be_done = True
        self._is_waiting = False
        if now < self._ends_at:
            self.findings.reasons[self._address] = reason or "lost"
        else:
            # The timeout has passed. The reason of an earlier round tells more than that.
            self.findings.reasons.setdefault(self._address, reason)
        if self._left and now < self._ends_at:
            return self._try_next(now)
        next_round_ends_at = now + _PAUSE_SECONDS + _ROUND_SECONDS_MIN
        if self._is_patient and self._was_reached and next_round_ends_at < self._ends_at:
            self._left, self._redirect_count = list(self._addresses), 0
            self._address, self._due_at = None, now + _PAUSE_SECONDS
            return []
        return self._finish(self.findings.not_ready)

    def _finish(self, answer: Message | None) -> list[Effect]:
        self.answer = answer
        self._due_at = None
        return [Emit(Finished())]
