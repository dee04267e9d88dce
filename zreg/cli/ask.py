"""One question to one node over one connection, for commands that need no client of their own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from zreg.config import Config
from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    Peer,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.errors import ForeignClusterError, NotLeaderError, UnavailableError, refusal
from zreg.reactor import LinkTable, Reactor
from zreg.wire.messages import Message, Ping, Pong, Refused

_REQUEST_ID: Final = 1
_REDIRECTS_MAX: Final = 3

Answer = TypeVar("Answer", bound=Message)


class Finished(msgspec.Struct, frozen=True):
    """The question was answered, or nobody is left to ask."""


class AskCore:
    """Asks at each address in turn, until one answers; each has so much time."""

    epoch = 0

    def __init__(
        self,
        link: Link,
        addresses: Sequence[str],
        question: Message,
        answer_type: type[Message],
        *,
        seconds_each: float,
    ) -> None:
        self._answer_type = answer_type
        self.answer: Message | None = None
        self.reasons: list[str] = []
        self._link = link
        self._left = list(addresses)
        self._redirect_count = 0
        self._question = question
        self._seconds_each = seconds_each
        self._address = ""
        self._give_up_at: float | None = None

    def start(self, now: float) -> Sequence[Effect]:
        """Connect to the first address."""
        return self._next(now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Ask once the connection stands, and take the answer to it."""
        match message:
            case PeerUp() if message.peer == self._address:
                return [Send(self._link, self._address, self._question)]
            case PeerLost() if message.peer == self._address:
                return self._fail(message.reason, now)
            case Ping():
                return [Send(link, peer, Pong())]
            case Local():
                return []
            case Refused(request_id=1, code=NotLeaderError.code):
                return [Disconnect(link, peer), *self._ask_elsewhere(message, now)]
            case Refused(request_id=0 | 1):
                return self._finish(message)
            case Message() if isinstance(message, self._answer_type):
                return self._finish(message)
            case _:
                return []

    def tick(self, now: float) -> Sequence[Effect]:
        """Give up on an address that does not answer."""
        if self._give_up_at is None or now < self._give_up_at:
            return []
        return [Disconnect(self._link, self._address), *self._fail("no answer", now)]

    def settle(self, now: float) -> Sequence[Effect]:
        """Return nothing: there is nothing to join."""
        del now
        return []

    def next_tick_at(self) -> float | None:
        """When the present address has had its time."""
        return self._give_up_at

    def statistics(self) -> dict[str, int | float | str]:
        """Return how far it is."""
        return {"addresses_left": len(self._left)}

    def _next(self, now: float) -> list[Effect]:
        self._address = self._left.pop(0)
        self._give_up_at = now + self._seconds_each
        return [Connect(self._link, self._address, self._address)]

    def _ask_elsewhere(self, refused: Refused, now: float) -> list[Effect]:
        """Go where the leader is; nobody knows for how long, so not for ever."""
        if not refused.address or self._redirect_count >= _REDIRECTS_MAX:
            return self._fail(refused.detail, now)
        self._redirect_count += 1
        self._left.insert(0, refused.address)
        return self._next(now)

    def _fail(self, reason: str, now: float) -> list[Effect]:
        self.reasons.append(f"{self._address}: {reason or 'lost'}")
        if self._left:
            return self._next(now)
        return self._finish(None)

    def _finish(self, answer: Message | None) -> list[Effect]:
        self.answer = answer
        self._give_up_at = None
        return [Emit(Finished())]


async def ask(
    link: Link,
    addresses: Sequence[str],
    question: tuple[Callable[[int], Message], type[Answer]],
    *,
    config: Config,
    timeout_seconds: float,
) -> Answer:
    """Return the answer of the first node that gives one; a no is raised, and nobody at all.

    `question` is how to make it, given a request id, and the kind of its answer.
    """
    make, answer_type = question
    seconds_each = timeout_seconds / len(addresses)
    core = AskCore(link, addresses, make(_REQUEST_ID), answer_type, seconds_each=seconds_each)
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
    if reactor.statistics().get(f"bad_{ForeignClusterError.code}"):
        raise UnavailableError(
            f"{', '.join(addresses)} belongs to another cluster than {config.cluster!r}: give the "
            "name of its cluster with --cluster"
        )
    raise UnavailableError(
        f"nobody answered ({'; '.join(core.reasons)}): check the address, or start a registry "
        "with `zreg dev`"
    )


def ask_now(
    link: Link,
    addresses: Sequence[str],
    question: tuple[Callable[[int], Message], type[Answer]],
    *,
    config: Config,
    timeout_seconds: float,
) -> Answer:
    """Do the same where no loop runs."""
    return asyncio.run(
        ask(link, addresses, question, config=config, timeout_seconds=timeout_seconds)
    )
