"""One question to one node over one connection, for commands that need no client of their own."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from zreg.cli.asking.ask_core import AskCore, Findings
from zreg.cli.asking.port_probe import describe_ports
from zreg.cli.asking.targets import Target
from zreg.cli.showing.progress.progress_bar import ProgressBar
from zreg.client.core.connection.outage import advice_on
from zreg.effects import UNRESOLVED, Link
from zreg.errors import UnavailableError, refusal
from zreg.reactor import LinkTable, Reactor
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping, Pong, Refused

_REQUEST_ID: Final = 1
_META_ADVICE: Final = (
    "check host and port (9610 by default, not the port of --peer), that a meta node runs there "
    "(systemctl status 'zreg-meta@*'), and that no firewall is in between"
)
_NODE_ADVICE: Final = (
    "look with `zreg nodes` whether it runs, and at firewalls between this machine and it"
)
_WANTED: Final = {
    Link.SESSION: "give the address of a session, by default port 9600 (--url)",
    Link.META: "give the address of a meta node, by default port 9610 (--meta)",
}

Answer = TypeVar("Answer", bound=Message)
# How to make the question, given a request id, and the type of its answer.
Question = tuple[Callable[[int], Message], type[Answer]]


class UnansweredError(UnavailableError):
    """The question was sent and never answered: what it asked for may have been done."""


async def ask(
    target: Target,
    question: Question[Answer],
    *,
    timeout_seconds: float,
    is_patient: bool = False,
    tells_ports: bool = False,
) -> Answer:
    """Return the first answer of the target's nodes.

    With `is_patient` the nodes are asked again until the timeout, so the question must be safe
    to ask twice. Raises `RefusedError` if a node refuses, `UnavailableError` if no node answers;
    with `tells_ports` it says what listens at the addresses.
    """
    core = await _asked(target, question, timeout_seconds, is_patient=is_patient)
    ports: Mapping[str, str] = {}
    if tells_ports and core.answer is None:
        ports = await asyncio.to_thread(describe_ports, core.findings.reasons)
    return _answer(core, target, question, ports)


class Timed(msgspec.Struct, Generic[Answer], frozen=True):
    """An answer, when it came on the clock of this process, and how long after its question."""

    answer: Answer
    came_at: float
    round_trip_seconds: float


async def ask_timed(
    target: Target, question: Question[Answer], *, timeout_seconds: float
) -> Timed[Answer]:
    """Return the first answer of the target's nodes with its times; raises as `ask`."""
    core = await _asked(target, question, timeout_seconds, is_patient=False)
    answer, findings = _answer(core, target, question, {}), core.findings
    assert findings.round_trip_seconds is not None
    return Timed(answer, findings.answered_at, findings.round_trip_seconds)


async def round_trip_of(target: Target, *, timeout_seconds: float) -> float:
    """Return how many seconds a ping takes on an open connection; raises `UnavailableError`."""
    question = (lambda _request_id: Ping()), Pong
    core = await _asked(target, question, timeout_seconds, is_patient=False)
    _answer(core, target, question, {})
    assert core.findings.round_trip_seconds is not None
    return core.findings.round_trip_seconds


def ask_now(
    target: Target,
    question: Question[Answer],
    *,
    timeout_seconds: float,
    is_patient: bool = False,
) -> Answer:
    """Run `ask` where no event loop runs; an error also tells what listens at the addresses.

    If it takes over a second, a terminal shows whom it asks.
    """
    with ProgressBar(f"asking {', '.join(target.addresses)}".replace("tcp://", "")):
        core = asyncio.run(_asked(target, question, timeout_seconds, is_patient=is_patient))
    ports = describe_ports(core.findings.reasons) if core.answer is None else {}
    return _answer(core, target, question, ports)


async def _asked(
    target: Target, question: Question[Answer], timeout_seconds: float, *, is_patient: bool
) -> AskCore:
    """Ask, and return the core with its answer or its findings."""
    make, answer_type = question
    core = AskCore(
        target.link,
        target.addresses,
        make(_REQUEST_ID),
        answer_type,
        timeout_seconds=timeout_seconds,
        is_patient=is_patient,
    )
    reactor: Reactor

    def stop(_event: msgspec.Struct) -> None:
        reactor.stop()

    reactor = Reactor(core, target.cluster, LinkTable(dealers=(target.link,)), on_event=stop)
    await reactor.run()
    return core


def _answer(
    core: AskCore, target: Target, question: Question[Answer], ports: Mapping[str, str]
) -> Answer:
    """Return the answer that a core got; raise the error for a refusal, or for no answer."""
    answer, (_, answer_type) = core.answer, question
    if isinstance(answer, Refused):
        raise refusal(answer.code, answer.detail)
    if isinstance(answer, answer_type):
        return answer
    raise no_answer_error(target, core.findings, ports)


def wrong_ports_text(link: Link, ports: Mapping[str, str]) -> str | None:
    """Return what listens at the addresses that were asked, and where to go; None if unknown."""
    if not ports:
        return None
    found = "; ".join(f"{at.removeprefix('tcp://')} {what}" for at, what in ports.items())
    return f"{found}: {_WANTED[link]}"


def no_answer_error(
    target: Target, findings: Findings, ports: Mapping[str, str]
) -> UnavailableError:
    """Return the error that says why no node answered, and what to do about it.

    `ports` says what listens at the addresses, as far as that is known.
    """
    if findings.no_leader and not findings.may_be_done:
        return UnavailableError(f"meta is away: {findings.no_leader}")
    reasons = "; ".join(
        f"{address.removeprefix('tcp://')}: {reason}"
        for address, reason in findings.reasons.items()
    )
    if findings.is_incompatible:
        # The reason itself says what to do.
        return UnavailableError(f"no node answered: {reasons}")
    if (wrong := wrong_ports_text(target.link, ports)) is not None:
        return UnavailableError(f"no node answered ({reasons}): {wrong}")
    unresolved = all(UNRESOLVED in reason for reason in findings.reasons.values())
    advice = advice_on(target.addresses, findings.reasons.values())
    if unresolved:
        return UnavailableError(f"no node was asked ({reasons}): {advice}")
    if target.link is Link.META:
        advice = _META_ADVICE
    elif target.link is Link.EVENTS:
        advice = _NODE_ADVICE
    if findings.may_be_done:
        return UnansweredError(f"no node answered ({reasons}): try again, or {advice}")
    return UnavailableError(f"no node answered ({reasons}): {advice}")
