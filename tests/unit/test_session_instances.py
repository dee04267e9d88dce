"""Instances over HTTP at a session: renewals, take-overs, withdrawals, and the end of leases."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace
from session_fakes import (
    CONFIG,
    D1,
    PAY,
    S1,
    S1_AGAIN,
    V1,
    Session,
    make_membership,
    to_data,
)

from zreg.effects import INFO, Effect, Emit, HostChanged, Link, Log, PeerUp, Send
from zreg.errors import LimitError, NotPrimaryError, NotReadyError, UnknownMessageError
from zreg.model import (
    Cause,
    Incarnation,
    Publisher,
    Removal,
    http_client_id,
    http_publisher_id,
)
from zreg.session.instances.instance_questions import (
    InstanceRegistered,
    InstanceWithdrawn,
    RegisterInstance,
    WithdrawInstance,
)
from zreg.session.pages.page_questions import ReadService
from zreg.session.proxy.askers import PageAnswered, PageAsked
from zreg.wire.body import pack_body
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import (
    FetchChanges,
    FetchInstance,
    InstanceFetched,
    InstanceTaken,
    PublishDatum,
    UnpublishDatum,
)

ID = http_publisher_id(PAY, "web-1")
S2 = Incarnation(4, "s2")
# The epoch of the membership is 3.
FIRST = (3 << 20) + 1


def packed(value: str = "10.0.0.7:80", registered_at: float = 1.0) -> bytes:
    return pack_body([value], attributes={"zreg.http": "web-1"}, registered_at=registered_at)


def put(value: str = "10.0.0.7:80", lease_seconds: float = 12.0, **labels: str) -> RegisterInstance:
    return RegisterInstance(PAY, "web-1", packed(value), lease_seconds, **labels)


DELETE = WithdrawInstance(PAY, "web-1")


def publisher(version: int = FIRST, value: str = "10.0.0.7:80", **changes: object) -> Publisher:
    client_id = http_client_id(ID)
    made = Publisher(ID, version, client_id, S1, "z1", "dc1", "", packed(value))
    return replace(made, **changes)


def withdrawn(version: int, *, was_registered: bool = True) -> InstanceWithdrawn:
    return InstanceWithdrawn(was_registered, version, 1)


def sent(effects: Sequence[Effect]) -> list[Message]:
    """Return what data nodes are told, without digests."""
    wanted = (FetchInstance, PublishDatum, UnpublishDatum, FetchChanges)
    messages = [e.message for e in effects if isinstance(e, Send) and e.link is Link.DATA]
    return [message for message in messages if isinstance(message, wanted)]


def answers(effects: Sequence[Effect]) -> list[msgspec.Struct]:
    events = [e.event for e in effects if isinstance(e, Emit)]
    return [event.answer for event in events if isinstance(event, PageAnswered)]


class Asked(Session):
    """A session with one data node, and a program that asks it."""

    def ask(self, question: msgspec.Struct) -> list[Effect]:
        return self.local(PageAsked(7, question))

    def fetched(
        self, effects: Sequence[Effect], held: Publisher | None = None, version: int = 0
    ) -> list[Effect]:
        """Let the data node answer the question among these effects."""
        (fetch,) = [m for m in sent(effects) if isinstance(m, FetchInstance)]
        known = held.version if held is not None else version
        return self.hears(D1, InstanceFetched(fetch.request_id, known, held))

    def registered(self, question: RegisterInstance | None = None) -> list[Effect]:
        """Register an instance that no node knows; return the effects of the acceptance."""
        return self.accept_all(D1, self.fetched(self.ask(question or put())))


def test_the_primary_is_asked_first_and_the_version_is_above_what_it_knows() -> None:
    session = Asked(D1)

    effects = session.ask(put())
    assert effects == to_data(D1, FetchInstance(1, PAY, ID))
    held = 7 << 20
    effects = session.fetched(effects, version=held)
    assert sent(effects) == [PublishDatum(2, PAY, publisher(held + 1))]
    assert answers(effects) == []
    assert answers(session.accept_all(D1, effects)) == [
        InstanceRegistered("registered", S1, held + 1, 1, 12.0, 3.0)
    ]


def test_a_version_is_at_least_the_epoch_in_which_it_is_given() -> None:
    session = Asked(D1)

    effects = session.fetched(session.ask(put()), version=5)

    assert sent(effects) == [PublishDatum(2, PAY, publisher(FIRST))]


def test_the_same_again_is_a_renewal_that_writes_nothing() -> None:
    session = Asked(D1)
    session.registered()
    session.now += 1
    again = RegisterInstance(PAY, "web-1", packed(registered_at=99.0), 12.0)

    effects = session.fetched(session.ask(again), publisher())

    assert sent(effects) == []
    assert answers(effects) == [InstanceRegistered("renewed", S1, FIRST, 1, 12.0, 3.0)]
    assert session.core.statistics()["http_instance_renewals"] == 1


def test_another_body_is_an_update_at_the_next_version() -> None:
    session = Asked(D1)
    session.registered()

    effects = session.fetched(session.ask(put("10.0.0.8:80")), publisher())

    assert sent(effects) == [PublishDatum(4, PAY, publisher(FIRST + 1, "10.0.0.8:80"))]
    assert answers(session.accept_all(D1, effects)) == [
        InstanceRegistered("updated", S1, FIRST + 1, 1, 12.0, 3.0)
    ]


def test_an_instance_of_another_session_is_taken_over_unchanged() -> None:
    session = Asked(D1)
    held = publisher(session=S2, zone="z9", app="shop", body=packed(registered_at=5.0))

    effects = session.fetched(session.ask(put()), held)

    taken = replace(held, version=held.version + 1, session=S1)
    assert sent(effects) == [PublishDatum(2, PAY, taken)]
    (answer,) = answers(session.accept_all(D1, effects))
    assert isinstance(answer, InstanceRegistered)
    assert answer.outcome == "renewed"


def test_a_label_that_is_named_replaces_the_one_that_is_registered() -> None:
    session = Asked(D1)

    effects = session.fetched(session.ask(put(zone="z2")), publisher(session=S2))

    assert sent(effects) == [PublishDatum(2, PAY, publisher(FIRST + 1, zone="z2"))]


def test_an_instance_of_a_former_incarnation_is_registered_by_the_present_one() -> None:
    session = Asked(D1)
    session.registered()
    session.join(make_membership(D1, epoch=8, session=S1_AGAIN), S1_AGAIN)

    effects = session.fetched(session.ask(put()), publisher())

    version = (8 << 20) + 1
    assert sent(effects) == [PublishDatum(4, PAY, publisher(version, session=S1_AGAIN))]


def test_what_another_session_has_taken_over_is_forgotten_and_not_removed() -> None:
    session = Asked(D1)
    session.registered()

    assert sent(session.hears(D1, InstanceTaken(PAY, ID, FIRST + 1))) == []

    statistics = session.core.statistics()
    assert (statistics["publishers"], statistics["http_instances"]) == (0, 0)
    assert sent(session.wait(20.0)) == []


def test_a_notice_of_an_earlier_take_over_is_ignored() -> None:
    session = Asked(D1)
    session.registered()

    session.hears(D1, InstanceTaken(PAY, ID, FIRST - 1))

    assert session.core.statistics()["http_instances"] == 1


def test_a_request_that_was_overtaken_asks_again_and_comes_above() -> None:
    session = Asked(D1)
    effects = session.fetched(session.ask(put()))

    effects = session.hears(D1, InstanceTaken(PAY, ID, FIRST))
    assert sent(effects) == [FetchInstance(1, PAY, ID)]

    effects = session.fetched(effects, publisher(session=S2))
    assert sent(effects) == [PublishDatum(3, PAY, publisher(FIRST + 1))]


def test_a_lease_that_ends_removes_what_this_session_has_registered() -> None:
    session = Asked(D1)
    session.registered()

    assert sent(session.wait(11.9)) == []
    effects = session.wait(0.2)

    removal = Removal(ID, FIRST, Cause.SILENT, S1)
    assert sent(effects) == [UnpublishDatum(3, PAY, (removal,))]
    assert session.core.statistics()["http_instances_off"] == 1
    off = {"id": PAY, "instance": "web-1", "publisher": ID.hex(), "cause": "silent"}
    assert Log(INFO, "instance.off", off) in effects
    session.accept_all(D1, effects)
    assert session.core.statistics()["publishers"] == 0


def test_a_request_that_the_primary_does_not_answer_renews_the_lease_here() -> None:
    session = Asked(D1)
    session.registered()
    session.wait(8.0)
    session.ask(put())

    (answer,) = answers(session.wait(3.1))
    assert isinstance(answer, Refused)
    assert (answer.code, "has not answered" in answer.detail) == (NotReadyError.code, True)
    assert sent([e for e in session.wait(8.0) if not isinstance(e, Log)]) == []
    assert session.core.statistics()["http_instances"] == 1


def test_what_is_accepted_late_stays_for_half_of_its_lease_from_then() -> None:
    session = Asked(D1)
    effects = session.fetched(session.ask(put()))
    session.wait(11.0)
    session.accept_all(D1, effects)

    session.wait(5.9)
    assert session.core.statistics()["http_instances"] == 1
    session.wait(0.2)
    assert session.core.statistics()["http_instances"] == 0


def test_after_a_stall_of_the_session_all_leases_begin_again() -> None:
    session = Asked(D1)
    session.registered()
    session.now += 20.0
    session.core.tick(session.now)

    session.wait(11.0)
    assert session.core.statistics()["http_instances"] == 1
    session.wait(1.1)
    assert session.core.statistics()["http_instances"] == 0


def test_a_lease_is_no_longer_than_a_removal_is_remembered() -> None:
    session = Asked(D1, config=replace(CONFIG, tombstone_seconds=200.0))

    (answer,) = answers(session.registered(put(lease_seconds=300.0)))

    assert isinstance(answer, InstanceRegistered)
    assert (answer.lease_seconds, answer.renew_within_seconds) == (200.0, 5.0)


def test_a_withdrawal_is_far_above_all_that_is_known() -> None:
    session = Asked(D1)
    session.registered()

    effects = session.fetched(session.ask(DELETE), publisher())

    version = FIRST + 1024
    removal = Removal(ID, version, Cause.UNPUBLISHED, S1)
    assert sent(effects) == [UnpublishDatum(4, PAY, (removal,))]
    assert answers(session.accept_all(D1, effects)) == [withdrawn(version)]
    assert session.core.statistics()["publishers"] == 0


def test_an_instance_of_another_session_is_withdrawn_too() -> None:
    session = Asked(D1)

    effects = session.fetched(session.ask(DELETE), publisher(session=S2))

    (unpublish,) = sent(effects)
    assert isinstance(unpublish, UnpublishDatum)
    assert unpublish.removals[0].version == FIRST + 1024
    (answer,) = answers(session.accept_all(D1, effects))
    assert answer == withdrawn(FIRST + 1024)


def test_the_withdrawal_of_an_unknown_instance_leaves_a_tombstone_all_the_same() -> None:
    session = Asked(D1)

    effects = session.fetched(session.ask(DELETE))

    (answer,) = answers(session.accept_all(D1, effects))
    assert answer == withdrawn((3 << 20) + 1024, was_registered=False)


def test_an_instance_is_registered_again_while_its_removal_waits() -> None:
    session = Asked(D1)
    session.registered()
    session.fetched(session.ask(DELETE), publisher())

    effects = session.fetched(session.ask(put()), publisher())

    version = FIRST + 1024 + 1
    assert sent(effects) == [PublishDatum(6, PAY, publisher(version))]
    given = answers(session.accept_all(D1, effects))
    assert InstanceRegistered("registered", S1, version, 1, 12.0, 3.0) in given
    assert session.core.statistics()["http_instances"] == 1


def test_what_the_primary_lacks_is_sent_again_with_the_renewal() -> None:
    session = Asked(D1)
    session.registered()

    effects = session.fetched(session.ask(put()))

    assert sent(effects) == [PublishDatum(4, PAY, publisher())]
    (answer,) = answers(session.accept_all(D1, effects))
    assert answer == InstanceRegistered("renewed", S1, FIRST, 1, 12.0, 3.0)


def test_a_copy_that_shows_what_was_removed_elsewhere_is_fetched_again() -> None:
    session = Asked(D1)
    session.registered()
    session.answer_fetch(D1, session.ask(ReadService(PAY, b"", 10)), V1, publisher())

    effects = session.hears(D1, InstanceTaken(PAY, ID, FIRST + 1, is_removed=True))

    (fetch,) = sent(effects)
    assert isinstance(fetch, FetchChanges)
    assert fetch.is_unsure
    session.answer_fetch(D1, effects, V1)
    (read,) = answers(session.ask(ReadService(PAY, b"", 10)))
    assert getattr(read, "publishers", None) == ()


def test_a_data_node_that_is_no_primary_is_asked_again_after_a_pause() -> None:
    session = Asked(D1)
    session.ask(put())

    assert answers(session.hears(D1, Refused(1, NotPrimaryError.code, "not me", 3))) == []
    assert FetchInstance(1, PAY, ID) in sent(session.wait(0.2))


def test_a_data_node_of_an_earlier_version_is_named() -> None:
    session = Asked(D1)
    session.ask(put())

    (answer,) = answers(session.hears(D1, Refused(1, UnknownMessageError.code, "tag 84")))

    assert isinstance(answer, Refused)
    assert f"{D1} runs an earlier version" in answer.detail


def test_an_instance_that_a_full_data_node_refuses_is_forgotten() -> None:
    session = Asked(D1)
    session.fetched(session.ask(put()))

    (answer,) = answers(session.hears(D1, Refused(2, LimitError.code, "full")))

    assert answer == Refused(0, LimitError.code, "full")
    assert session.core.statistics()["http_instances"] == 0
    assert session.core.statistics()["publishers"] == 0


def test_a_program_is_told_in_time_that_no_data_node_is_reached() -> None:
    session = Asked(D1)
    session.go_down(D1)
    assert sent(session.ask(put())) == []

    (answer,) = answers(session.wait(3.1))
    assert isinstance(answer, Refused)
    assert "does not reach d1@1" in answer.detail

    session.ask(put())
    effects = session.local(PeerUp(Link.CHANGES, D1), PeerUp(Link.DATA, D1))
    effects += session.wait(0.2)
    assert FetchInstance(2, PAY, ID) in sent(effects)


def test_what_no_data_node_accepts_in_time_is_answered_without_copies_and_kept() -> None:
    session = Asked(D1)
    effects = session.fetched(session.ask(put()))

    assert answers(session.wait(3.1)) == [InstanceRegistered("registered", S1, FIRST, 0, 12.0, 3.0)]
    assert answers(session.accept_all(D1, effects)) == []
    assert session.core.statistics()["http_instances"] == 1


def test_a_session_that_is_no_member_takes_no_instance() -> None:
    session = Asked()

    (answer,) = answers(session.ask(put()))

    assert isinstance(answer, Refused)
    assert answer.code == NotReadyError.code
    assert "another session" in answer.detail


def test_a_program_that_renews_at_a_session_that_lost_its_incarnation_lives() -> None:
    """An isolated session takes its incarnation up again later."""
    session = Asked(D1)
    session.registered()
    session.local(HostChanged("10.0.0.7", b"q" * 16))
    for _ in range(4):
        session.wait(5.0)
        (answer,) = answers(session.ask(put()))
        assert isinstance(answer, Refused)

    assert session.core.statistics()["http_instances"] == 1


def test_instances_are_bounded_also_those_that_wait_for_their_removal() -> None:
    session = Asked(D1, config=replace(CONFIG, http_instances_max=1))
    session.registered()
    other = RegisterInstance(PAY, "web-2", packed(), 12.0)

    (answer,) = answers(session.ask(other))
    assert isinstance(answer, Refused)
    assert (answer.code, "http_instances_max" in answer.detail) == (LimitError.code, True)

    effects = session.fetched(session.ask(DELETE), publisher())
    assert len(answers(session.ask(other))) == 1
    session.accept_all(D1, effects)
    assert len(sent(session.ask(other))) == 1
