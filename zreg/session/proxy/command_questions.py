"""Questions of commands and pages: answered from the membership, or by data nodes or meta."""

from zreg.effects import Effect
from zreg.membership.cluster_member import ClusterMember
from zreg.session.proxy.askers import Asker, answer_to
from zreg.session.proxy.listings import Listings
from zreg.session.proxy.meta_proxy import MetaProxy, MetaRequest
from zreg.wire.records.data_messages import ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

Question = FetchMembership | ListDatums | MetaRequest


class CommandQuestions:
    """Answers a question for the membership; passes on listings and the questions to meta."""

    def __init__(
        self, cluster_member: ClusterMember, listings: Listings, meta_proxy: MetaProxy
    ) -> None:
        self._cluster_member = cluster_member
        self._listings = listings
        self._meta_proxy = meta_proxy

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
            case _:
                return self._meta_proxy.ask(asker, question, now)
