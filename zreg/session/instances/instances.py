"""Registers, renews and withdraws the instances of programs that have no client.

Such a program may ask another session with each renewal, so no session knows by itself whether it
still answers for an instance. Each request therefore asks the primary first what it holds:

- If that is what this session registered, and the program wants the same, it is a renewal: the
  lease begins again, and nothing is written.
- In all other cases this session registers the instance at a version above all that is known, and
  so takes it over. The data node tells the session that has lost it.

A lease that ends removes what this session has registered, and nothing that another session has
registered since: the data node looks at that.
"""

from collections.abc import Iterable
from typing import Final

from zreg.config import Config
from zreg.effects import INFO, Effect, Log
from zreg.errors import LimitError, NotReadyError, UnknownMessageError
from zreg.membership.cluster_member import ClusterMember
from zreg.model import COUNT_MAX, Cause, Incarnation, Publisher, http_client_id, is_over_http
from zreg.session.clients.client_handler import ClientHandler
from zreg.session.data_handler import DataHandler
from zreg.session.instances.instance_leases import InstanceLease, InstanceLeases
from zreg.session.instances.instance_questions import (
    InstanceQuestion,
    InstanceRegistered,
    InstanceWithdrawn,
    RegisterInstance,
    WithdrawInstance,
)
from zreg.session.instances.instance_request import InstanceRequest
from zreg.session.instances.primary_questions import PrimaryQuestions
from zreg.session.instances.wanted import wanted
from zreg.session.upstream.registered.registration import Registration
from zreg.wire.records.client_messages import Unpublish
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import InstanceFetched, InstanceTaken

# How long a request waits: less than an HTTP connection lives.
_SECONDS_MAX: Final = 3.0
# More than a node has HTTP connections.
_REQUESTS_MAX: Final = 256
# A program that renews four times in a lease, or in the grace of a session that died, may miss two.
_RENEWALS: Final = 4
# A version is at least the epoch in which it is given, and this many bits for what follows in that
# epoch: a session and all data nodes that hold an instance may be lost, and with them the version
# that followers have seen. What a float has exactly is enough for 2^33 epochs.
_COUNTER_BITS: Final = 20
# A removal is so far above the highest version that is known: another session may hold a
# registration at one of the next versions that it could not write yet.
_REMOVAL_STEP: Final = 1024
_VERSION_MAX: Final = COUNT_MAX - _REMOVAL_STEP
_AGAIN: Final = "send the request again, or to another session"
_OLDER: Final = "runs an earlier version of zreg, which takes no instances over HTTP: update it"


class Instances:
    """The requests under way, and the leases of what this session has registered for programs.

    Invariants: what has a lease is registered here, or is about to be. What waits for its removal
    is in `_withdrawing`. Both together are at most `http_instances_max`.
    """

    def __init__(
        self,
        config: Config,
        cluster_member: ClusterMember,
        data: DataHandler,
        clients: ClientHandler,
    ) -> None:
        self._config = config
        self._cluster_member = cluster_member
        self._next_id = data.links.requests.next_id
        self._registrations = data.registrations
        self._followed = data.followed
        self._table = clients.table
        self._withdrawals = clients.publishing.withdrawals
        self._leases = InstanceLeases()
        self._withdrawing: set[bytes] = set()
        # The requests that wait for an answer of the primary; those that wait for acceptance.
        self._questions = PrimaryQuestions(config, data.links)
        self._waiting: dict[bytes, list[InstanceRequest]] = {}
        self._stall_count = self._table.stall_count
        self._renewed_count = self._taken_count = self._expired_count = 0

    # --- what programs ask --------------------------------------------------------------------

    def ask(
        self, question_id: int, question: RegisterInstance | WithdrawInstance, now: float
    ) -> list[Effect]:
        """Ask the primary what it holds. A program that renews lives, even if that fails."""
        request = InstanceRequest(question_id, question, now + _SECONDS_MAX, self._next_id())
        if isinstance(question, RegisterInstance) and request.publisher_id in self._leases:
            self._begin_lease(question, now)
        if (full := self._why_full(request.publisher_id)) is not None:
            return [request.refused(LimitError.code, full)]
        if self._cluster_member.incarnation is None:
            return [request.refused(NotReadyError.code, f"{self._why_no_member}: {_AGAIN}")]
        return self._questions.ask(request, now)

    def _why_full(self, publisher_id: bytes) -> str | None:
        waiting = sum(map(len, self._waiting.values()))
        if len(self._questions) + waiting >= _REQUESTS_MAX:
            return f"{_REQUESTS_MAX} requests for instances are under way here: {_AGAIN}"
        if publisher_id in self._leases or publisher_id in self._withdrawing:
            return None
        count_max = self._config.http_instances_max
        if len(self._leases) + len(self._withdrawing) < count_max:
            return None
        return (
            f"this session holds {count_max} instances over HTTP, as many as it takes: ask another "
            "session, or raise http_instances_max"
        )

    @property
    def _why_no_member(self) -> str:
        return self._cluster_member.outage_sentence or "meta has not admitted this session yet"

    def _lease_seconds(self, question: RegisterInstance) -> float:
        # A removal has to be remembered for as long as a session may hold an older registration.
        return min(question.lease_seconds, self._config.tombstone_seconds)

    def _begin_lease(self, question: RegisterInstance, now: float) -> None:
        seconds = self._lease_seconds(question)
        self._leases.begin(question.publisher_id, question.name, question.instance, seconds, now)

    # --- what the primary holds ---------------------------------------------------------------

    def receive(
        self, peer: str, message: InstanceFetched | InstanceTaken, now: float
    ) -> list[Effect]:
        """Take what a data node says about an instance."""
        if isinstance(message, InstanceTaken):
            return self._on_taken(message, now)
        return self._on_fetched(peer, message, now)

    def _on_fetched(self, peer: str, fetched: InstanceFetched, now: float) -> list[Effect]:
        """Go on with a request: this session knows now what the primary holds."""
        request = self._questions.take(fetched.request_id, peer)
        if request is None:
            return []
        if self._cluster_member.incarnation is None:
            self._questions.ask_later(request, self._why_no_member, now)
            return []
        registration = self._registrations.find(request.publisher_id)
        highest, known = fetched.version, fetched.publisher
        if registration is not None and registration.publisher.version > fetched.version:
            # The primary lacks what this session has, or gets it in a moment.
            highest = registration.publisher.version
            known = None if registration.removal is not None else registration.publisher
            self._registrations.resend([request.publisher_id])
        if highest > _VERSION_MAX:
            detail = "no version is left for this instance: give it another id"
            return [request.refused(LimitError.code, detail)]
        highest = max(highest, self._cluster_member.membership.epoch << _COUNTER_BITS)
        if isinstance(request.question, RegisterInstance):
            return self._register(request, request.question, known, highest + 1, now)
        return self._withdraw(request, known, highest + _REMOVAL_STEP)

    def _register(
        self,
        request: InstanceRequest,
        question: RegisterInstance,
        known: Publisher | None,
        version: int,
        now: float,
    ) -> list[Effect]:
        """Renew what this session has registered, or register what the program wants."""
        session = self._registrations.session
        publisher, outcome = wanted(
            question, known, session=session, version=version, config=self._config
        )
        seconds = self._lease_seconds(question)
        self._begin_lease(question, now)
        registration = self._registrations.find(request.publisher_id)
        is_own = registration is not None and _is_own(registration, known, session)
        if outcome == "renewed" and registration is not None and is_own:
            self._renewed_count += 1
            publisher = registration.publisher
        else:
            if registration is not None:
                self._withdrawals.on_end(registration)
                self._withdrawing.discard(request.publisher_id)
            self._registrations.publish(question.name, publisher, 0)
        within = min(seconds, self._config.session_grace_seconds) / _RENEWALS
        request.answer = InstanceRegistered(
            outcome, publisher.session, publisher.version, 0, seconds, within
        )
        return self._answer_or_wait(request)

    def _withdraw(
        self, request: InstanceRequest, known: Publisher | None, version: int
    ) -> list[Effect]:
        """Withdraw an instance, also one of another session; leave a tombstone in any case."""
        publisher_id, name = request.publisher_id, request.question.name
        registration = self._registrations.find(publisher_id)
        if registration is None:
            unpublish = Unpublish(0, publisher_id, version, name)
            registration = self._registrations.add_unknown(unpublish, http_client_id(publisher_id))
        self._withdrawals.withdraw(registration, Cause.UNPUBLISHED, version=version)
        self._leases.drop(publisher_id)
        self._withdrawing.add(publisher_id)
        request.answer = InstanceWithdrawn(known is not None, version, 0)
        effects = self._answer_or_wait(request)
        return [*effects, _off(publisher_id, Cause.UNPUBLISHED, request.question)]

    def _answer_or_wait(self, request: InstanceRequest) -> list[Effect]:
        registration = self._registrations.find(request.publisher_id)
        assert registration is not None
        if self._registrations.is_accepted(registration):
            return [request.accepted(registration.copies)]
        self._waiting.setdefault(request.publisher_id, []).append(request)
        return []

    # --- what becomes of registrations --------------------------------------------------------

    def on_accepted(self, registrations: Iterable[Registration], now: float) -> list[Effect]:
        """Answer the programs whose instances a data node has accepted or removed."""
        effects: list[Effect] = []
        # Each acceptance of each client comes by here, and mostly there is no instance.
        if not (self._leases.by_id or self._withdrawing):
            return effects
        for registration in registrations:
            publisher = registration.publisher
            if not is_over_http(publisher.client_id):
                continue
            if registration.removal is None:
                self._leases.note_accepted(publisher.publisher_id, now)
            else:
                self._withdrawing.discard(publisher.publisher_id)
            waiting = self._waiting.pop(publisher.publisher_id, ())
            effects += [request.accepted(registration.copies) for request in waiting]
        return effects

    def on_refused(self, registration: Registration, refused: Refused) -> list[Effect]:
        """Give up an instance that its data node has refused for good."""
        publisher_id = registration.publisher.publisher_id
        self._leases.drop(publisher_id)
        self._withdrawing.discard(publisher_id)
        waiting = self._waiting.pop(publisher_id, ())
        return [request.refused(refused.code, refused.detail) for request in waiting]

    def on_fetch_refused(self, refused: Refused, now: float) -> list[Effect]:
        """Ask again after a pause: the data node cannot say yet, or is the primary no more."""
        request = self._questions.find(refused.request_id)
        if request is None:
            return []
        if refused.code == UnknownMessageError.code:
            self._questions.take(refused.request_id)
            return [request.refused(NotReadyError.code, f"{request.peer} {_OLDER}")]
        self._questions.ask_later(request, f"{request.peer} refused: {refused.detail}", now)
        return []

    def _on_taken(self, taken: InstanceTaken, now: float) -> list[Effect]:
        """Forget an instance that another session has registered or removed.

        A request that waits here for its acceptance asks again, and comes above that.
        """
        publisher_id = taken.publisher_id
        registration = self._registrations.find(publisher_id)
        if (
            registration is None
            or registration.removal is not None
            or registration.publisher.version > taken.version
            or not is_over_http(registration.publisher.client_id)
        ):
            return []
        self._taken_count += 1
        self._registrations.forget(registration)
        self._leases.drop(publisher_id)
        effects: list[Effect] = []
        for request in self._waiting.pop(publisher_id, ()):
            effects += self._questions.ask(request, now)
        followed = self._followed.find(taken.data_info_id) if taken.is_removed else None
        if followed is not None and publisher_id in followed.mirror.content:
            effects += self._followed.doubt(followed)
        return effects

    # --- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Withdraw the instances whose lease has ended; answer the requests whose time is over."""
        if self._table.stall_count != self._stall_count:
            self._stall_count = self._table.stall_count
            self._leases.begin_all(now)
        effects: list[Effect] = []
        for publisher_id, lease in self._leases.take_ended(now):
            effects += self._expire(publisher_id, lease)
        for request in self._questions.take_expired(now):
            detail = f"not done within {_SECONDS_MAX:g} s, since {request.why}: {_AGAIN}"
            effects.append(request.refused(NotReadyError.code, detail))
        for publisher_id, waiting in list(self._waiting.items()):
            if waiting[0].deadline <= now:
                effects += [each.accepted(0) for each in waiting if each.deadline <= now]
                self._waiting[publisher_id] = [each for each in waiting if each.deadline > now]
                if not self._waiting[publisher_id]:
                    del self._waiting[publisher_id]
        return effects + self._questions.tick(now)

    def _expire(self, publisher_id: bytes, lease: InstanceLease) -> list[Effect]:
        registration = self._registrations.find(publisher_id)
        if registration is None or registration.removal is not None:
            return []
        self._expired_count += 1
        self._withdrawals.withdraw(registration, Cause.SILENT)
        if self._registrations.find(publisher_id) is registration:
            self._withdrawing.add(publisher_id)
        return [_off(publisher_id, Cause.SILENT, lease)]

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due; None if no instance is registered or asked for."""
        has_requests = self._questions.by_id or self._waiting
        if not (has_requests or self._leases.by_id):
            return None
        due = self._leases.next_at()
        if has_requests:
            requests = [*self._questions, *(each[0] for each in self._waiting.values())]
            due = min([request.due_at for request in requests] + ([] if due is None else [due]))
        return due

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes."""
        return {
            "http_instances": len(self._leases),
            "http_instance_renewals": self._renewed_count,
            "http_instances_taken": self._taken_count,
            "http_instances_off": self._expired_count,
        }


def _is_own(registration: Registration, known: Publisher | None, session: Incarnation) -> bool:
    """Return whether the primary holds exactly what this incarnation has registered."""
    own = registration.publisher
    return (
        registration.removal is None
        and known is not None
        and known.version == own.version
        and known.session == own.session == session
    )


def _off(publisher_id: bytes, cause: Cause, named: InstanceLease | InstanceQuestion) -> Effect:
    fields: dict[str, str | int | float] = {
        "id": named.name,
        "instance": named.instance,
        "publisher": publisher_id.hex(),
        "cause": cause.name.lower(),
    }
    return Log(INFO, "instance.off", fields)
