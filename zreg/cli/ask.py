"""One question to one node over one connection, for commands that need no client of their own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from zreg.client.registry_url import advice_on
from zreg.config import Config
from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.errors import (
    NotLeaderError,
    NotReadyError,
    UnavailableError,
    refusal,
)
from zreg.reactor import LinkTable, Reactor
from zreg.wire.common_messages import Ping, Pong, Refused
from zreg.wire.messages import Message

_REQUEST_ID: Final = 1
_REDIRECTS_MAX: Final = 3
# Who is patient asks in rounds, with a pause between them, so that an election can end meanwhile;
_PAUSE_SECONDS: Final = 0.1
# and waits no longer for one node, which may be stuck, although the others answer.
_PATIENT_SECONDS_EACH_MAX: Final = 2.5
# A round that is asked with less time left gets no answer, and leaves in doubt what was clear.
_ROUND_SECONDS_MIN: Final = 0.25
_META_ADVICE: Final = (
    "check host and port (9610 by habit, not the one of --peer), that a meta node runs there "
    "(systemctl status 'zreg-meta@*'), and that no firewall is in between"
)

Answer = TypeVar("Answer", bound=Message)


class Finished(msgspec.Struct, frozen=True):
    """The question was answered, or nobody is left to ask."""


class UnansweredError(UnavailableError):
    """The question was sent and never answered: what it asked for may have been done."""


class AskCore:
    """Asks at each address in turn, until one answers; each has so much time.

    A patient one also asks again whoever cannot answer yet, or did not, until its time is over: the
    question must be one that may come twice. It gives up early only where nobody can be reached.
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
        self.answer: Message | None = None
        # Whether somebody may have taken the question without an answer that came back.
        self.is_in_doubt = False
        # Whether somebody is there who is of another cluster or version.
        self.is_strange = False
        # What a meta node said last that knows of no leader.
        self.no_leader = ""
        # Why each address gave no answer the last time, by address.
        self.reasons: dict[str, str] = {}
        self._answer_type = answer_type
        self._link = link
        self._addresses = list(addresses)
        self._left = list(addresses)
        self._redirect_count = 0
        self._question = question
        self._is_patient = is_patient
        self._timeout_seconds = timeout_seconds
        self._seconds_each = timeout_seconds / len(addresses)
        if is_patient:
            self._seconds_each = min(self._seconds_each, _PATIENT_SECONDS_EACH_MAX)
        self._ends_at = 0.0
        # Empty between two rounds.
        self._address = ""
        self._due_at: float | None = None
        self._not_yet: Refused | None = None
        # Whether the present address was asked, and whether any that is worth patience was.
        self._is_asked = self._was_asked = False

    def start(self, now: float) -> Sequence[Effect]:
        """Connect to the first address."""
        self._ends_at = now + self._timeout_seconds
        return self._next(now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Ask once the connection stands, and take the answer to it."""
        match message:
            case PeerUp() if message.peer == self._address:
                self._is_asked = self._was_asked = True
                return [Send(self._link, self._address, self._question)]
            case PeerLost() if message.peer == self._address:
                return self._fail(message.reason, now)
            case PeerIncompatible() if message.peer == self._address:
                self._is_asked = self._was_asked = False
                self.is_strange = True
                return [Disconnect(self._link, self._address), *self._fail(message.detail, now)]
            case Ping():
                return [Send(link, peer, Pong())]
            case Local():
                return []
            case Refused(request_id=0 | 1) if peer == self._address:
                return self._refused(message, now)
            case Message() if isinstance(message, self._answer_type):
                return self._finish(message)
            case _:
                return []

    def tick(self, now: float) -> Sequence[Effect]:
        """Give up on an address that does not answer, or begin another round."""
        if self._due_at is None or now < self._due_at:
            return []
        if not self._address:
            return self._next(now)
        return [Disconnect(self._link, self._address), *self._fail("no answer", now)]

    def settle(self, now: float) -> Sequence[Effect]:
        """Return nothing: there is nothing to join."""
        del now
        return []

    def next_tick_at(self) -> float | None:
        """When the present address has had its time, or the pause is over."""
        return self._due_at

    def statistics(self) -> dict[str, int | float | str]:
        """Return how far it is."""
        return {"addresses_left": len(self._left)}

    def _next(self, now: float) -> list[Effect]:
        self._address = self._left.pop(0)
        self._due_at = min(now + self._seconds_each, self._ends_at)
        return [Connect(self._link, self._address, self._address)]

    def _refused(self, refused: Refused, now: float) -> list[Effect]:
        """Go where the leader is, ask again later, or take the no."""
        leave = Disconnect(self._link, self._address)
        self._is_asked = False
        if refused.code == NotLeaderError.code:
            self.no_leader = "" if refused.address else refused.detail
            # Nobody knows for how long they send each other's askers on, so not for ever.
            if refused.address and self._redirect_count < _REDIRECTS_MAX:
                self._redirect_count += 1
                self._left.insert(0, refused.address)
                return [leave, *self._next(now)]
            return [leave, *self._fail(refused.detail, now)]
        if refused.code == NotReadyError.code and self._is_patient:
            self._not_yet = refused
            return [leave, *self._fail(refused.detail, now)]
        return self._finish(refused)

    def _fail(self, reason: str, now: float) -> list[Effect]:
        self.is_in_doubt = self.is_in_doubt or self._is_asked
        self._is_asked = False
        if now < self._ends_at:
            self.reasons[self._address] = reason or "lost"
        else:
            # What it said before tells more than that the time was over.
            self.reasons.setdefault(self._address, reason)
        if self._left and now < self._ends_at:
            return self._next(now)
        next_round_ends_at = now + _PAUSE_SECONDS + _ROUND_SECONDS_MIN
        if self._is_patient and self._was_asked and next_round_ends_at < self._ends_at:
            self._left, self._redirect_count = list(self._addresses), 0
            self._address, self._due_at = "", now + _PAUSE_SECONDS
            return []
        return self._finish(self._not_yet)

    def _finish(self, answer: Message | None) -> list[Effect]:
        self.answer = answer
        self._due_at = None
        return [Emit(Finished())]


async def ask(
    link: Link,
    addresses: Sequence[str],
    question: tuple[Callable[[int], Message], type[Answer]],
    *,
    config: Config,
    timeout_seconds: float,
    is_patient: bool = False,
) -> Answer:
    """Return the answer of the first node that gives one; a no is raised, and nobody at all.

    `question` is how to make it, given a request id, and the kind of its answer. `is_patient`: ask
    again until the time is over, because the question may come twice.
    """
    make, answer_type = question
    core = AskCore(
        link,
        addresses,
        make(_REQUEST_ID),
        answer_type,
        timeout_seconds=timeout_seconds,
        is_patient=is_patient,
    )
    reactor: Reactor

    def stop(_event: msgspec.Struct) -> None:
        reactor.stop()

    reactor = Reactor(core, config.cluster, LinkTable(dealers=(link,)), on_event=stop)
    await reactor.run()
    answer = core.answer
    if isinstance(answer, Refused):
        raise refusal(answer.code, answer.detail)
    if isinstance(answer, answer_type):
        return answer
    if core.no_leader and not core.is_in_doubt:
        raise UnavailableError(f"meta is away: {core.no_leader}")
    reasons = "; ".join(
        f"{address.removeprefix('tcp://')}: {reason}" for address, reason in core.reasons.items()
    )
    advice = _META_ADVICE if link is Link.META else advice_on(addresses)
    if core.is_in_doubt:
        raise UnansweredError(f"nobody answered ({reasons}): try again, or {advice}")
    if core.is_strange:
        raise UnavailableError(f"nobody answered: {reasons}")
    raise UnavailableError(f"nobody answered ({reasons}): {advice}")


def ask_now(
    link: Link,
    addresses: Sequence[str],
    question: tuple[Callable[[int], Message], type[Answer]],
    *,
    config: Config,
    timeout_seconds: float,
    is_patient: bool = False,
) -> Answer:
    """Do the same where no loop runs."""
    return asyncio.run(
        ask(
            link,
            addresses,
            question,
            config=config,
            timeout_seconds=timeout_seconds,
            is_patient=is_patient,
        )
    )
