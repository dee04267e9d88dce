"""Questions about a node: a session answers for itself, and asks any other node.

So an operator who reaches one session learns of all nodes. The session has no lasting
connection to sessions and to most meta nodes: it makes one for the question, and closes it when no
question came for some seconds.
"""

from typing import Final

from msgspec.structs import replace

from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Link,
    Local,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.errors import LimitError, NotReadyError, UnknownMessageError, UnknownNodeError
from zreg.membership.cluster_member import ClusterMember
from zreg.primitives.pending_requests import PendingRequests
from zreg.primitives.reports.own_answers import NodeAnswer, NodeQuestion, OwnAnswers
from zreg.session.proxy.askers import Asker, answer_to
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused

# Less than a command waits for one session, so that it gets the reason.
_SECONDS_MAX: Final = 1.0
_REQUESTS_MAX: Final = 200
_IDLE_SECONDS: Final = 10.0
_OLDER: Final = (
    "it runs an earlier version of zreg, which does not know this question: read its log"
)


class NodeQuestions:
    """The questions under way to other nodes, and the connections to these nodes.

    Invariant: each node with a pending question has a connection, made or being made. `_used_at`
    has the connections by the name of the node's incarnation; those that stand are in `_up`.
    """

    def __init__(
        self, own_answers: OwnAnswers, cluster_member: ClusterMember, node_id: str
    ) -> None:
        self._own_answers = own_answers
        self._cluster_member = cluster_member
        self._node_id = node_id
        self._pending: PendingRequests[str, tuple[Asker, int]] = PendingRequests()
        # What is asked once the connection stands, by node and request id.
        self._unsent: dict[str, dict[int, NodeQuestion]] = {}
        self._used_at: dict[str, float] = {}
        self._up: set[str] = set()

    def ask(self, asker: Asker, request: NodeQuestion, now: float) -> list[Effect]:
        """Answer for this session, or ask the node that is named."""
        if request.node_id in ("", self._node_id):
            return [answer_to(asker, self._own_answers.answer(request, now))]
        member = self._cluster_member.membership.living(request.node_id)
        if member is None:
            detail = f"no node with the id {request.node_id!r} is a member: see `zreg nodes`"
            return [_refused(asker, request.request_id, UnknownNodeError.code, detail)]
        if len(self._pending) >= _REQUESTS_MAX:
            detail = "too many questions to other nodes are under way at this session: ask again"
            return [_refused(asker, request.request_id, LimitError.code, detail)]
        name, request_id = str(member.incarnation), self._pending.next_id()
        owner = (asker, request.request_id)
        self._pending.add(name, request_id, owner, now=now, timeout_seconds=_SECONDS_MAX)
        passed_on = replace(request, request_id=request_id, node_id="")
        is_known, self._used_at[name] = name in self._used_at, now
        if name in self._up:
            return [Send(Link.EVENTS, name, passed_on)]
        self._unsent.setdefault(name, {})[request_id] = passed_on
        return [] if is_known else [Connect(Link.EVENTS, name, member.address)]

    def receive(self, name: str, message: Message | Local) -> list[Effect]:
        """Take an answer of another node."""
        match message:
            case _ if isinstance(message, NodeAnswer):
                return self._give_back(name, message)
            case Refused() if (owner := self._pending.take(name, message.request_id)) is not None:
                is_older = message.code == UnknownMessageError.code
                detail = _OLDER if is_older else message.detail
                return [_refused(*owner, message.code, detail)]
            case _:
                return []

    def on_event(self, event: PeerUp | PeerLost | PeerSlow) -> list[Effect]:
        """Take the beginning or the end of a connection to another node."""
        name = str(event.peer)
        match event:
            case PeerUp() if name in self._used_at:
                self._up.add(name)
                unsent = self._unsent.pop(name, {})
                return [Send(Link.EVENTS, name, request) for request in unsent.values()]
            case PeerLost():
                return self._forget(name, f"no connection to it ({event.reason or 'lost'})")
            case PeerSlow():
                return [
                    Disconnect(Link.EVENTS, name),
                    *self._forget(name, "it does not read what it is sent"),
                ]
            case _:
                return []

    def tick(self, now: float) -> list[Effect]:
        """Refuse the questions whose time is over; close the connections that are not used."""
        effects: list[Effect] = []
        for name, request_id, owner in self._pending.take_expired(now):
            self._unsent.get(name, {}).pop(request_id, None)
            why = "no answer within" if name in self._up else "no connection to it within"
            detail = f"{why} {_SECONDS_MAX:g} s: it is stopped, overloaded or cut off"
            effects.append(_refused(*owner, NotReadyError.code, detail))
        for name, used_at in list(self._used_at.items()):
            if now - used_at >= _IDLE_SECONDS:
                effects += [Disconnect(Link.EVENTS, name), *self._forget(name, "it is not used")]
        return effects

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due; None while nothing is asked and no connection is open."""
        if not self._used_at:
            return None
        due_at = min(self._used_at.values()) + _IDLE_SECONDS
        deadline_at = self._pending.next_deadline_at()
        return due_at if deadline_at is None else min(due_at, deadline_at)

    def _give_back(self, name: str, reply: NodeAnswer) -> list[Effect]:
        owner = self._pending.take(name, reply.request_id)
        if owner is None:
            return []
        asker, request_id = owner
        return [answer_to(asker, replace(reply, request_id=request_id))]

    def _forget(self, name: str, why: str) -> list[Effect]:
        """Forget a connection, and refuse the questions that it had."""
        self._used_at.pop(name, None)
        self._up.discard(name)
        self._unsent.pop(name, None)
        owners = [owner for _, owner in self._pending.take_all(name)]
        return [_refused(*owner, NotReadyError.code, why) for owner in owners]


def _refused(asker: Asker, request_id: int, code: int, detail: str) -> Effect:
    return answer_to(asker, Refused(request_id, code, detail))
