"""Asks primaries what they hold of instances."""

from collections.abc import Iterator
from typing import Final

from zreg.config import Config
from zreg.effects import Effect, Link, Send
from zreg.session.instances.instance_request import InstanceRequest
from zreg.session.upstream.data_links import NO_NODE, DataLinks
from zreg.wire.records.data_messages import FetchInstance

# Without an answer that can be used, the primary is asked again after this pause.
_PAUSE_SECONDS: Final = 0.1


class PrimaryQuestions:
    """The requests whose primary has not answered, by request id.

    Each is asked until the primary answers or the request's time is over: a question changes
    nothing, so it may come twice, and the primary may be another data node meanwhile.
    """

    def __init__(self, config: Config, links: DataLinks) -> None:
        self._config = config
        self._links = links
        # Plain, since a session looks in each turn whether there is any.
        self.by_id: dict[int, InstanceRequest] = {}

    def __len__(self) -> int:
        """Return how many requests there are."""
        return len(self.by_id)

    def __iter__(self) -> Iterator[InstanceRequest]:
        """Iterate over those that there are now, the oldest first."""
        return iter(list(self.by_id.values()))

    def ask(self, request: InstanceRequest, now: float) -> list[Effect]:
        """Ask the primary, or try again later if it is not reached."""
        self.by_id[request.request_id] = request
        request.answer = None
        name = request.question.name
        request.peer = self._links.primary(name)
        if not self._links.is_up(request.peer):
            is_known = request.peer != NO_NODE
            unreached = f"the session does not reach {request.peer}, which owns this id"
            self.ask_later(request, unreached if is_known else "no data node is WORKING", now)
            return []
        request.why = f"{request.peer} has not answered"
        request.ask_at = now + self._config.request_retry_seconds
        fetch = FetchInstance(request.request_id, name, request.publisher_id)
        return [Send(Link.DATA, request.peer, fetch)]

    def ask_later(self, request: InstanceRequest, why: str, now: float) -> None:
        """Ask after a pause; `why` is for the program, if its time is over then."""
        self.by_id[request.request_id] = request
        request.why = why
        request.ask_at = now + _PAUSE_SECONDS

    def find(self, request_id: int) -> InstanceRequest | None:
        """Return the request that a refusal names; None if it is none of these."""
        return self.by_id.get(request_id)

    def take(self, request_id: int, peer: str | None = None) -> InstanceRequest | None:
        """End a question that the data node which was asked last has answered."""
        request = self.by_id.get(request_id)
        if request is None or peer not in (None, request.peer):
            return None
        return self.by_id.pop(request_id)

    def take_expired(self, now: float) -> list[InstanceRequest]:
        """End the questions whose time is over, and return their requests."""
        expired = [request for request in self.by_id.values() if request.deadline <= now]
        for request in expired:
            del self.by_id[request.request_id]
        return expired

    def tick(self, now: float) -> list[Effect]:
        """Ask again what is due."""
        effects: list[Effect] = []
        for request in self:
            if request.ask_at <= now:
                effects += self.ask(request, now)
        return effects
