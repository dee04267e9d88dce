"""Requests that a session passes on to the leader of meta, and the answers it gives back.

The requests come from commands, which need no `Hello`, and from pages. They travel over the
connection of the session's `ClusterMember`, under ids of their own, once the leader has answered
there: a request that never left is not in doubt. When the leader changes, the session sends all
requests under way to the new one. That is safe: a read has no effect. A change of a setting carries
a `change_id`, by which it happens once. A change of the meta nodes names the configuration that it
was decided on, and any other configuration refuses it. A drain may be repeated. A session stores no
answers, so a read is as new as meta's answer to it.
"""

from typing import Final

from msgspec.structs import replace

from zreg.config import Limits
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import LimitError, NotLeaderError, NotReadyError
from zreg.membership.cluster_member import ClusterMember
from zreg.primitives.pending_requests import PendingRequests
from zreg.session.proxy.askers import Asker, PageAsker, answer_to
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import DismissLoss, Drain, SetReplicaCount
from zreg.wire.records.meta_messages import AddMeta, FetchMetaNodes, MetaNodesReply, RemoveMeta
from zreg.wire.records.settings_messages import FetchSettings, SetSetting, SettingsReply

# Less than a command waits for one session, so that it gets the reason and can ask again.
_SECONDS_MAX: Final = 1.5
_REQUESTS_MAX: Final = 100
_GIVEN_UP_MAX: Final = 1000
_LOOK_FIRST: Final = (
    "the change may have been made; look (`zreg settings get`, `zreg meta ls`), then try again"
)
_REQUESTS_PER_CLIENT_MAX: Final = 10
# The pages of this node leave room for commands.
_REQUESTS_OF_PAGES_MAX: Final = 30

# Made twice they change no more than once.
RepeatableRequest = FetchSettings | FetchMetaNodes | Drain | SetReplicaCount | DismissLoss
MetaRequest = SetSetting | AddMeta | RemoveMeta | RepeatableRequest
MetaAnswer = SettingsReply | MetaNodesReply | Accepted | Refused


class ForwardedRequest:
    """One request of a client or page to meta."""

    __slots__ = ("asked_at", "asker", "is_in_doubt", "request", "was_sent")

    def __init__(self, asker: Asker, request: MetaRequest, asked_at: float) -> None:
        self.asker = asker
        self.request = request
        self.asked_at = asked_at
        # Whether the present leader has it.
        self.was_sent = False
        # Whether a former leader may have it: it was sent there, and the answer was lost.
        self.is_in_doubt = False


class MetaProxy:
    """The requests under way to meta, bounded in number and time.

    Invariant: all of them are pending at the present leader, or at None while there is none; in
    the order in which their clients asked, which is that of their deadlines.
    """

    def __init__(self, cluster_member: ClusterMember) -> None:
        self._cluster_member = cluster_member
        self._requests: PendingRequests[str | None, ForwardedRequest] = PendingRequests()
        self._leader: str | None = None
        # Requests that the present leader has, and that no client waits for any more: a late answer
        # must not be taken for one to the session itself, such as "join again".
        self._given_up: dict[int, None] = {}

    def ask(self, asker: Asker, request: MetaRequest, now: float) -> list[Effect]:
        """Pass a request on to the leader, or keep it until there is one."""
        forwarded = ForwardedRequest(asker, request, now)
        if self._is_full_for(asker):
            detail = "too many requests are under way to meta: wait for the answers to some"
            return [_refused(forwarded, LimitError.code, detail)]
        if self._leader is None:
            self._add(self._cluster_member.next_request_id(), forwarded)
            return []
        return [self._send(forwarded, self._leader)]

    def _is_full_for(self, asker: Asker) -> bool:
        """Return whether a request would be one too many; all pages together are one asker."""
        if len(self._requests) >= _REQUESTS_MAX:
            return True
        if isinstance(asker, PageAsker):
            count = sum(isinstance(other.asker, PageAsker) for _, _, other in self._requests)
            return count >= _REQUESTS_OF_PAGES_MAX
        count = sum(other.asker == asker for _, _, other in self._requests)
        return count >= _REQUESTS_PER_CLIENT_MAX

    def on_answer(self, meta: str, answer: MetaAnswer) -> list[Effect] | None:
        """Give an answer back to the client that asked.

        Return None if the answer is to no request here, or says that another meta node leads.
        """
        request_id = _id_of(answer)
        forwarded = self._requests.owner(meta, request_id)
        is_redirect = isinstance(answer, Refused) and answer.code == NotLeaderError.code
        if forwarded is None:
            was_given_up = meta == self._leader and request_id in self._given_up
            self._given_up.pop(request_id, None)
            return [] if was_given_up and not is_redirect else None
        if is_redirect:
            # `ClusterMember` connects to the leader, and `on_leader` sends the request there.
            forwarded.was_sent = False
            return None
        self._requests.take(meta, request_id)
        client_request_id = forwarded.request.request_id
        if isinstance(answer, Refused):
            return [_refused(forwarded, answer.code, answer.detail)]
        if isinstance(answer, Accepted):
            return [answer_to(forwarded.asker, Accepted((client_request_id,)))]
        return [answer_to(forwarded.asker, replace(answer, request_id=client_request_id))]

    def on_leader(self) -> list[Effect]:
        """Send all requests again, to the leader that is connected now."""
        leader = self._cluster_member.leader
        if leader == self._leader:
            return []
        under_way = self._requests.take_all(self._leader)
        self._given_up.clear()
        self._leader = leader
        if leader is None:
            for request_id, forwarded in under_way:
                self._add(request_id, forwarded)
            return []
        return [self._send(forwarded, leader) for _, forwarded in under_way]

    def on_client_lost(self, peer: Peer) -> None:
        """Forget the requests of a client that is gone; what was sent to meta happens anyway."""
        for meta, request_id, forwarded in list(self._requests):
            if forwarded.asker == peer:
                self._requests.take(meta, request_id)
                self._give_up(meta, request_id)

    def tick(self, now: float) -> list[Effect]:
        """Refuse the requests whose deadline has come; the refusal gives the reason."""
        effects: list[Effect] = []
        for meta, request_id, forwarded in self._requests.take_expired(now):
            self._give_up(meta, request_id)
            effects.append(_refused(forwarded, NotReadyError.code, self._why_not(forwarded)))
        return effects

    def next_tick_at(self) -> float | None:
        """Return when the next request has to be given up; None if none is under way."""
        return self._requests.next_deadline_at()

    def _give_up(self, meta: str | None, request_id: int) -> None:
        if meta is not None:
            self._given_up[request_id] = None
        if len(self._given_up) > _GIVEN_UP_MAX:
            del self._given_up[next(iter(self._given_up))]

    def _send(self, forwarded: ForwardedRequest, leader: str) -> Effect:
        request_id = self._cluster_member.next_request_id()
        self._add(request_id, forwarded)
        forwarded.is_in_doubt = forwarded.is_in_doubt or forwarded.was_sent
        forwarded.was_sent = True
        return Send(Link.META, leader, replace(forwarded.request, request_id=request_id))

    def _add(self, request_id: int, forwarded: ForwardedRequest) -> None:
        """Note a request at the present leader; its deadline stays what it was."""
        self._requests.add(
            self._leader,
            request_id,
            forwarded,
            now=forwarded.asked_at,
            timeout_seconds=_SECONDS_MAX,
        )

    def _why_not(self, forwarded: ForwardedRequest) -> str:
        why = self._cluster_member.outage_sentence
        if not why:
            why = "meta is not connected yet" if self._leader is None else "meta does not answer"
        advice = "try again"
        may_repeat = isinstance(forwarded.request, RepeatableRequest)
        if (forwarded.was_sent or forwarded.is_in_doubt) and not may_repeat:
            advice = _LOOK_FIRST
        return f"{why[: Limits.detail_characters_max - len(advice) - 2]}: {advice}"


def _id_of(answer: MetaAnswer) -> int:
    if isinstance(answer, Accepted):
        # Meta answers each request on its own.
        return answer.request_ids[0] if len(answer.request_ids) == 1 else 0
    return answer.request_id


def _refused(forwarded: ForwardedRequest, code: int, detail: str) -> Effect:
    return answer_to(forwarded.asker, Refused(forwarded.request.request_id, code, detail))
