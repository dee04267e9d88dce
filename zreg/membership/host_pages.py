"""Page after page of what one node finds on a host, for commands and pages that ask all nodes."""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from zreg.errors import MalformedError
from zreg.model import DataInfoId
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import (
    HOST_LINES_MAX,
    ClientsFound,
    FindClients,
    FindInstances,
    HostInstance,
    HostSubscription,
    InstancesFound,
)

# It is after all publisher ids.
_AFTER_ALL: Final = b"\xff" * 17

AnswerT = TypeVar("AnswerT", bound=Message)


class AskNode(Protocol):
    """Asks one node what `question` makes of a request id and a `node_id`."""

    async def __call__(
        self, question: Callable[..., Message], answer_type: type[AnswerT]
    ) -> AnswerT:
        """Return its answer; raises `Error` if there is none."""
        ...


async def instances_at(ask: AskNode, host: str, limit: int) -> list[HostInstance]:
    """Return what a data node has of a host, and stop once there is more than the limit."""
    found: list[HostInstance] = []
    name, publisher = DataInfoId(""), b""
    while True:
        count = min(HOST_LINES_MAX, limit + 1 - len(found))

        def question(
            request_id: int,
            *,
            node_id: str,
            at: tuple[DataInfoId, bytes, int] = (name, publisher, count),
        ) -> Message:
            return FindInstances(request_id, host, node_id, *at)

        page = await ask(question, InstancesFound)
        found += page.instances
        if page.is_complete or len(found) > limit:
            return found
        if _place(page.after_name, page.after_publisher) <= _place(name, publisher):
            raise MalformedError("it sent a page that leads nowhere")
        name, publisher = page.after_name, page.after_publisher


def _place(name: str, publisher: bytes) -> tuple[str, bytes]:
    """Return up to where a node has looked, in order: without a publisher it was the whole name."""
    return (name, publisher or _AFTER_ALL) if name else ("", b"")


async def subscriptions_at(ask: AskNode, host: str, limit: int) -> list[HostSubscription]:
    """Return the lines of a session about a host, and stop once there are more than the limit."""
    found: list[HostSubscription] = []
    client, name = b"", DataInfoId("")
    while True:
        count = min(HOST_LINES_MAX, limit + 1 - len(found))

        def question(
            request_id: int,
            *,
            node_id: str,
            at: tuple[bytes, DataInfoId, int] = (client, name, count),
        ) -> Message:
            return FindClients(request_id, host, node_id, *at)

        page = await ask(question, ClientsFound)
        found += page.subscriptions
        if page.is_complete or len(found) > limit:
            return found
        last = page.subscriptions[-1] if page.subscriptions else None
        if last is None or (last.client_id, last.data_info_id) <= (client, name):
            raise MalformedError("it sent a page that leads nowhere")
        client, name = last.client_id, last.data_info_id
