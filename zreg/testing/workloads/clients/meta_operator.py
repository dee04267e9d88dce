"""A simulated operator, who adds and removes meta nodes."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from zreg.effects import Connect, Disconnect, Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.errors import NotLeaderError, NotReadyError, VersionMismatchError
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.meta_messages import AddMeta, FetchMetaNodes, MetaNodesReply, RemoveMeta

_RETRY_SECONDS: Final = 0.5


class OperatorRequest(Local, frozen=True):
    """Asks the operator to make one change of the meta nodes."""

    change: AddMeta | RemoveMeta


class Operator:
    """A core that asks meta for one change of its nodes at a time, until it gets an answer."""

    epoch = 0

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)
        self._address = ""
        self._change: AddMeta | RemoveMeta | None = None
        self._request_id = 0
        self._next_at = 0.0
        # The last change if it was made, None if it was refused.
        self.done: AddMeta | RemoveMeta | None = None

    def replace_address(self, former: str, address: str) -> None:
        """Ask a node that has moved at its new address from now on."""
        self._addresses[self._addresses.index(former)] = address

    @property
    def is_waiting(self) -> bool:
        """Whether a change is under way."""
        return self._change is not None

    def start(self, now: float) -> Sequence[Effect]:
        """Do nothing until the first request."""
        del now
        return ()

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take a request or an answer; follow a redirect to the leader."""
        del link
        if peer not in ("", self._address):
            return ()
        match message:
            case OperatorRequest():
                assert self._change is None
                self._change, self.done = message.change, None
                self._next_at = now
            case PeerUp() if message.peer == self._address and self._change is not None:
                return [Send(Link.META, self._address, FetchMetaNodes(self._request_id))]
            case MetaNodesReply(request_id=self._request_id) if self._change is not None:
                change = replace(
                    self._change,
                    request_id=self._request_id,
                    configuration_index=message.configuration_index,
                    configuration_term=message.configuration_term,
                )
                return [Send(Link.META, self._address, change)]
            case PeerLost() if message.peer == self._address:
                self._next_at = now + _RETRY_SECONDS
            case Accepted() if message.request_ids == (self._request_id,):
                self.done, self._change = self._change, None
            case Refused(code=NotLeaderError.code) if message.address:
                return self._ask(message.address, now)
            case Refused(code=NotReadyError.code | NotLeaderError.code | VersionMismatchError.code):
                self._next_at = now + _RETRY_SECONDS
            case Refused():
                self._change = None
            case _:
                pass
        return ()

    def tick(self, now: float) -> Sequence[Effect]:
        """Ask at the next address."""
        self._addresses.append(self._addresses.pop(0))
        return self._ask(self._addresses[0], now)

    def _ask(self, address: str, now: float) -> list[Effect]:
        leave: list[Effect] = [Disconnect(Link.META, self._address)] if self._address else []
        self._address, self._next_at = address, now + 2 * _RETRY_SECONDS
        if self._change is None:
            self._address = ""
            return leave
        self._request_id += 1
        return [*leave, Connect(Link.META, address, address)]

    def settle(self, now: float) -> Sequence[Effect]:
        """Return no effects: nothing is left to the end of a turn."""
        del now
        return ()

    def next_tick_at(self) -> float | None:
        """When to ask again; None without a change."""
        return self._next_at if self._change is not None or self._address else None

    def statistics(self) -> dict[str, int | float | str]:
        """Return the change under way."""
        return {"change": str(self._change)}
