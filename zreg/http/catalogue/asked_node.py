"""What the pages of a session need of its node: a way to ask its core."""

from typing import Protocol, TypeVar, runtime_checkable

import msgspec

from zreg.errors import LimitError, MalformedError, UsageError
from zreg.http.responses import FaultError
from zreg.wire.records.common_messages import Refused

AnswerT = TypeVar("AnswerT", bound=msgspec.Struct)
_BAD_REQUEST = (MalformedError.code,)


@runtime_checkable
class AskedNode(Protocol):
    """A node whose core answers questions of pages."""

    async def ask(self, question: msgspec.Struct) -> msgspec.Struct:
        """Return the answer of the core, or `Refused`."""
        ...


async def asked(node: AskedNode, question: msgspec.Struct, kind: type[AnswerT]) -> AnswerT:
    """Return the core's answer to a question; `FaultError` if there is none."""
    answer = await node.ask(question)
    if isinstance(answer, kind):
        return answer
    if not isinstance(answer, Refused):
        raise UsageError(f"{type(answer).__name__} is no answer to {type(question).__name__}")
    if answer.code in _BAD_REQUEST:
        raise FaultError(400, answer.detail)
    raise FaultError(429 if answer.code == LimitError.code else 503, answer.detail)
