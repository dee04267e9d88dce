"""One question to one node over one connection, for commands that need no client of their own."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from zreg.cli.asking.ask_core import AskCore, Findings
from zreg.cli.asking.targets import Target
from zreg.client.core.connection.outage import advice_on
from zreg.effects import UNRESOLVED, Link
from zreg.errors import UnavailableError, refusal
from zreg.reactor import LinkTable, Reactor
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused

_REQUEST_ID: Final = 1
_META_ADVICE: Final = (
    "check host and port (9610 by default, not the port of --peer), that a meta node runs there "
    "(systemctl status 'zreg-meta@*'), and that no firewall is in between"
)
_NAME_ADVICE: Final = "correct the name, or the name service of this machine"

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
) -> Answer:
    """Return the first answer of the target's nodes.

    With `is_patient` the nodes are asked again until the timeout, so the question must be safe
    to ask twice. Raises `RefusedError` if a node refuses, `UnavailableError` if no node answers.
    """
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
    answer = core.answer
    if isinstance(answer, Refused):
        raise refusal(answer.code, answer.detail)
    if isinstance(answer, answer_type):
        return answer
    raise no_answer_error(target, core.findings)


def ask_now(
    target: Target,
    question: Question[Answer],
    *,
    timeout_seconds: float,
    is_patient: bool = False,
) -> Answer:
    """Run `ask` where no event loop runs."""
    return asyncio.run(
        ask(target, question, timeout_seconds=timeout_seconds, is_patient=is_patient)
    )


def no_answer_error(target: Target, findings: Findings) -> UnavailableError:
    """Return the error that says why no node answered, and what to do about it."""
    if findings.no_leader and not findings.may_be_done:
        return UnavailableError(f"meta is away: {findings.no_leader}")
    reasons = "; ".join(
        f"{address.removeprefix('tcp://')}: {reason}"
        for address, reason in findings.reasons.items()
    )
    if all(UNRESOLVED in reason for reason in findings.reasons.values()):
        return UnavailableError(f"no node was asked ({reasons}): {_NAME_ADVICE}")
    advice = _META_ADVICE if target.link is Link.META else advice_on(target.addresses)
    if findings.may_be_done:
        return UnansweredError(f"no node answered ({reasons}): try again, or {advice}")
    if findings.is_incompatible:
        # The reason itself says what to do.
        return UnavailableError(f"no node answered: {reasons}")
    return UnavailableError(f"no node answered ({reasons}): {advice}")
