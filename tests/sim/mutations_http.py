"""Rules of instances over HTTP, each with what takes it out of the production code."""

from collections.abc import Sequence

from mutations import Patch

from zreg.data.sessions import writes as writes_module
from zreg.data.sessions.http_instances import HttpInstances
from zreg.effects import Effect
from zreg.session.instances import instances as instances_module
from zreg.session.instances.instance_questions import InstanceRegistered, RegisterInstance
from zreg.session.instances.instance_request import InstanceRequest
from zreg.session.instances.instances import Instances
from zreg.session.upstream.followed.followed_datums import FollowedDatums


def a_session_is_not_told_that_it_lost_an_instance() -> list[Patch]:
    """The primary tells the session that has lost an instance to another one."""

    def on_put(self: HttpInstances, *args: object) -> list[Effect]:
        return []

    return [(HttpInstances, "on_put", on_put)]


def a_lease_removes_what_others_registered() -> list[Patch]:
    """A lease that ends removes only what its own session has registered."""
    return [(writes_module, "is_of_another_session", lambda removal, held: False)]


def a_session_renews_without_asking() -> list[Patch]:
    """A renewal asks the primary first whether the session still answers for the instance."""
    ask = Instances.ask

    def from_memory(
        self: Instances, question_id: int, question: RegisterInstance, now: float
    ) -> Sequence[Effect]:
        registration = self._registrations.find(question.publisher_id)
        if registration is None or registration.removal is not None:
            return ask(self, question_id, question, now)
        self._begin_lease(question, now)
        request = InstanceRequest(question_id, question, now, 0)
        version = registration.publisher.version
        request.answer = InstanceRegistered(
            "renewed", self._registrations.session, version, 1, question.lease_seconds, 3.0
        )
        return [request.accepted(1)]

    return [(Instances, "ask", from_memory)]


def a_view_keeps_what_was_withdrawn_elsewhere() -> list[Patch]:
    """A session that learns that its instance was withdrawn elsewhere drops it from its copy."""
    return [(FollowedDatums, "doubt", lambda self, followed: [])]


def versions_begin_anew() -> list[Patch]:
    """A version is at least the epoch in which it is given, as the last one may be lost."""
    return [(instances_module, "_COUNTER_BITS", 0)]
