"""Questions of commands and pages: it answers, or asks data nodes, meta or another node."""

from zreg.effects import Effect
from zreg.membership.cluster_member import ClusterMember
from zreg.primitives.reports.own_answers import NodeQuestion
from zreg.session.proxy.askers import Asker, answer_to
from zreg.session.proxy.listings import Listings
from zreg.session.proxy.meta_proxy import MetaProxy, MetaRequest
from zreg.session.proxy.node_questions import NodeQuestions
from zreg.wire.records.data_messages import ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

Question = FetchMembership | NodeQuestion | ListDatums | MetaRequest


class CommandQuestions:
    """Answers what the session knows; passes on listings, and questions to meta and other nodes."""

    def __init__(
        self,
        cluster_member: ClusterMember,
        listings: Listings,
        meta_proxy: MetaProxy,
        node_questions: NodeQuestions,
    ) -> None:
        self._cluster_member = cluster_member
        self._listings = listings
        self._meta_proxy = meta_proxy
        self._node_questions = node_questions

    def ask(self, asker: Asker, question: Question, now: float) -> list[Effect]:
        """Answer a question, or ask the data nodes or meta."""
        member = self._cluster_member
        match question:
            case FetchMembership():
                outage = member.outage_sentence
                reply = MembershipReply(question.request_id, member.membership, trouble=outage)
                return [answer_to(asker, reply)]
            case ListDatums():
                outage = member.outage_sentence
                return self._listings.ask(asker, question, now, outage_sentence=outage)
            case _ if isinstance(question, NodeQuestion):
                return self._node_questions.ask(asker, question, now)
            case _:
                return self._meta_proxy.ask(asker, question, now)

    def tick(self, now: float) -> list[Effect]:
        """Refuse the questions to meta and to other nodes whose time is over."""
        return self._meta_proxy.tick(now) + self._node_questions.tick(now)

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due; None while there is nothing to wait for."""
        due_at, node_due_at = self._meta_proxy.next_tick_at(), self._node_questions.next_tick_at()
        if due_at is None or node_due_at is None:
            return node_due_at if due_at is None else due_at
        return min(due_at, node_due_at)
