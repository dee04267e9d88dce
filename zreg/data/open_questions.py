"""What any peer may ask a data node: signs of life, events, the membership."""

from collections.abc import Sequence
from typing import Final

from zreg.data.refusals import Refusals
from zreg.effects import Effect, Link, Local, Peer, Send
from zreg.errors import UnknownMessageError
from zreg.membership.cluster_member import ClusterMember
from zreg.primitives.reports.own_answers import NodeQuestion, OwnAnswers
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping, Pong
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

_WHERE_TO_GO: Final = (
    "ask a session (--url, by default port 9600), or meta for nodes and settings (--meta, 9610)"
)


class OpenQuestions:
    """Answers what is no work of a session or data node; refuses what no data node takes."""

    def __init__(
        self, own_answers: OwnAnswers, cluster_member: ClusterMember, refusals: Refusals
    ) -> None:
        self._own_answers = own_answers
        self._cluster_member = cluster_member
        self._refusals = refusals

    def answer(
        self, peer: Peer, message: Message | Local, now: float, *, is_known: bool
    ) -> Sequence[Effect]:
        """Answer a message; `is_known`: the connection has said which node is behind it."""
        match message:
            case FetchMembership() if is_known:
                reply = MembershipReply(message.request_id, self._cluster_member.membership)
                return [Send(Link.REQUESTS, peer, reply)]
            case _ if isinstance(message, NodeQuestion):
                return [Send(Link.REQUESTS, peer, self._own_answers.answer(message, now))]
            case Ping():
                return [Send(Link.REQUESTS, peer, Pong())]
            case Pong():
                return ()
            case _:
                name = type(message).__name__
                detail = f"a data node does not take {name}: {_WHERE_TO_GO}"
                return [self._refusals.refuse(peer, 0, UnknownMessageError, detail)]
