"""What commands ask of a session, without a greeting; what is meta's to answer is passed on to it.

It travels over the connection of the session's `ClusterMember`, under ids of its own, once the
leader has answered there: what never left is in no doubt. Lost on the way it is asked again over
the next connection: a read has no effect, a setting is changed once by a change that names itself
(`change_id`), and nodes of meta by one that names the members it was decided on. A session keeps
nothing of this, so a read is as new as meta's answer to it.
"""

from typing import Final

from msgspec.structs import replace

from zreg.config import Limits
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import LimitError, NotLeaderError, NotReadyError
from zreg.membership.cluster_member import ClusterMember
from zreg.session.proxy.listings import Listings
from zreg.wire.common_messages import Accepted, Refused
from zreg.wire.data_messages import ListDatums
from zreg.wire.membership_messages import FetchMembership, MembershipReply
from zreg.wire.meta_messages import AddMeta, FetchMetaNodes, MetaNodesReply, RemoveMeta
from zreg.wire.settings_messages import FetchSettings, SetSetting, SettingsReply

# Less than a command waits for one session: it hears what is in the way, and can ask again.
_SECONDS_MAX: Final = 1.5
_UNDER_WAY_MAX: Final = 100
_UNDER_WAY_PER_CLIENT_MAX: Final = 10

Request = SetSetting | FetchSettings | AddMeta | RemoveMeta | FetchMetaNodes
Answer = SettingsReply | MetaNodesReply | Accepted | Refused
Question = FetchMembership | ListDatums | Request


class Passed:
    """One request under way to meta."""

    __slots__ = ("ends_at", "is_in_doubt", "peer", "request", "was_sent")

    def __init__(self, peer: Peer, request: Request, ends_at: float) -> None:
        self.peer = peer
        self.request = request
        self.ends_at = ends_at
        # Whether it is at a meta node now, and whether it was lost on the way to one before.
        self.was_sent = self.is_in_doubt = False


class MetaProxy:
    """All requests under way to meta, bounded in number and time."""

    def __init__(self, cluster_member: ClusterMember, queries: Listings) -> None:
        self._cluster_member = cluster_member
        self._listings = queries
        # By the id that meta was told last, in the order of their ends.
        self._under_way: dict[int, Passed] = {}
        self._meta: str | None = None

    def ask(self, peer: Peer, question: Question, now: float) -> list[Effect]:
        """Answer from what the session knows, or ask those who know."""
        match question:
            case FetchMembership():
                membership, trouble = (
                    self._cluster_member.membership,
                    self._cluster_member.outage_sentence,
                )
                reply = MembershipReply(question.request_id, membership, trouble=trouble)
                return [Send(Link.CLIENTS, peer, reply)]
            case ListDatums():
                return self._listings.ask(peer, question, now)
            case _:
                return self._pass_on(peer, question, now)

    def answered(self, meta: Peer, answer: Answer) -> list[Effect] | None:
        """Give an answer back to who asked; None if it is nobody's, or not the last word."""
        answered_id = _id_of(answer)
        passed = self._under_way.get(answered_id)
        if passed is None or meta != self._meta:
            return None
        if isinstance(answer, Refused) and answer.code == NotLeaderError.code:
            # The cluster member goes to the leader, and everything is asked again there.
            passed.was_sent = False
            return None
        del self._under_way[answered_id]
        request_id = passed.request.request_id
        if isinstance(answer, Refused):
            return [_refused(passed, answer.code, answer.detail)]
        if isinstance(answer, Accepted):
            return [Send(Link.CLIENTS, passed.peer, Accepted((request_id,)))]
        return [Send(Link.CLIENTS, passed.peer, replace(answer, request_id=request_id))]

    def on_leader(self) -> list[Effect]:
        """Ask all requests again over a new connection to the leader of meta."""
        if self._cluster_member.leader == self._meta:
            return []
        self._meta = self._cluster_member.leader
        if self._meta is None:
            return []
        under_way, self._under_way = self._under_way, {}
        return [self._send(passed, self._meta) for passed in under_way.values()]

    def drop(self, peer: Peer) -> None:
        """Forget what a client asked that is gone; what was sent to meta happens all the same."""
        self._under_way = {
            request_id: passed
            for request_id, passed in self._under_way.items()
            if passed.peer != peer
        }

    def tick(self, now: float) -> list[Effect]:
        """Give up on what takes too long, and say what is in the way."""
        effects: list[Effect] = []
        for request_id, passed in list(self._under_way.items()):
            if now < passed.ends_at:
                break
            del self._under_way[request_id]
            effects.append(_refused(passed, NotReadyError.code, self._why_not(passed)))
        return effects

    def next_tick_at(self) -> float | None:
        """When a request has taken too long."""
        return next((passed.ends_at for passed in self._under_way.values()), None)

    # --- helpers ------------------------------------------------------------------------------

    def _pass_on(self, peer: Peer, request: Request, now: float) -> list[Effect]:
        passed = Passed(peer, request, now + _SECONDS_MAX)
        count = sum(other.peer == peer for other in self._under_way.values())
        if count >= _UNDER_WAY_PER_CLIENT_MAX or len(self._under_way) >= _UNDER_WAY_MAX:
            detail = "too many requests are under way to meta: wait for the answers to some"
            return [_refused(passed, LimitError.code, detail)]
        if self._meta is None:
            # It leaves as soon as meta is reached.
            self._under_way[self._cluster_member.next_request_id()] = passed
            return []
        return [self._send(passed, self._meta)]

    def _send(self, passed: Passed, meta: str) -> Effect:
        request_id = self._cluster_member.next_request_id()
        self._under_way[request_id] = passed
        passed.is_in_doubt = passed.is_in_doubt or passed.was_sent
        passed.was_sent = True
        return Send(Link.META, meta, replace(passed.request, request_id=request_id))

    def _why_not(self, passed: Passed) -> str:
        trouble = self._cluster_member.outage_sentence
        if not trouble:
            trouble = "meta is not connected yet" if self._meta is None else "meta does not answer"
        advice = "try again"
        is_in_doubt = passed.was_sent or passed.is_in_doubt
        if is_in_doubt and not isinstance(passed.request, FetchSettings | FetchMetaNodes):
            advice = "nobody knows whether it is done; look, then ask again"
        return f"{trouble[: Limits.detail_characters_max - len(advice) - 2]}: {advice}"


def _id_of(answer: Answer) -> int:
    if isinstance(answer, Accepted):
        # Each request to meta is answered for itself.
        return answer.request_ids[0] if len(answer.request_ids) == 1 else 0
    return answer.request_id


def _refused(passed: Passed, code: int, detail: str) -> Effect:
    return Send(Link.CLIENTS, passed.peer, Refused(passed.request.request_id, code, detail))
