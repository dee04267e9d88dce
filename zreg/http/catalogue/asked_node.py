"""What the pages of a session need of its node: a way to ask its core."""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar, runtime_checkable

import msgspec

from zreg.effects import Local
from zreg.errors import LimitError, MalformedError, UnknownNodeError, UsageError
from zreg.http.responses import FaultError
from zreg.session.pages.page_watches import DatumMoved
from zreg.wire.records.common_messages import Refused

AnswerT = TypeVar("AnswerT", bound=msgspec.Struct)
# The statuses of refusals; that of all others is 503.
_STATUSES: Final = {MalformedError.code: 400, UnknownNodeError.code: 404, LimitError.code: 429}


@runtime_checkable
class AskedNode(Protocol):
    """A node whose core answers questions of pages."""

    async def ask(self, question: msgspec.Struct) -> msgspec.Struct:
        """Return the answer of the core, or `Refused`."""
        ...

    def watch(self, on_moved: Callable[[DatumMoved], None]) -> Callable[[Local], None]:
        """Have moves of watched datums told to this callback; return how to tell what to watch."""
        ...


async def asked(node: AskedNode, question: msgspec.Struct, kind: type[AnswerT]) -> AnswerT:
    """Return the core's answer to a question; `FaultError` if there is none."""
    answer = await node.ask(question)
    if isinstance(answer, kind):
        return answer
    if not isinstance(answer, Refused):
        raise UsageError(f"{type(answer).__name__} is no answer to {type(question).__name__}")
    raise FaultError(_STATUSES.get(answer.code, 503), answer.detail)
