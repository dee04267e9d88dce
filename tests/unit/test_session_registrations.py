"""Registrations: accepted means accepted, and the newest state is sent to the primary."""

import pytest
from session_fakes import (
    ALICE_ID,
    D1,
    D2,
    ONE,
    PAY,
    S1,
    S1_AGAIN,
    TWO,
    RegistrationsBench,
    accepted,
    digest_of,
    make_links,
    make_publisher,
    names_at,
    removal_of,
    to_data,
)

from zreg.effects import Link, Send
from zreg.model import NO_INCARNATION, Cause, Removal
from zreg.wire.records.client_messages import Unpublish
from zreg.wire.records.data_messages import (
    ComparePublishers,
    DigestCompared,
    PublishDatum,
    PublishersCompared,
    UnpublishDatum,
)

# --- a registration that is not accepted yet ------------------------------------------------------


def test_a_registration_is_sent_to_its_primary_once_when_the_turn_ends() -> None:
    bench = RegistrationsBench(D1)

    bench.publish(ONE)

    assert bench.settle(0.0) == to_data(D1, PublishDatum(1, PAY, ONE), digest_of(ONE))
    assert bench.settle(0.0) == []
    assert bench.queues.pending_count == 1
    assert len(bench.registrations) == 1


def test_a_registration_is_accepted_when_its_data_node_says_so() -> None:
    bench = RegistrationsBench(D1)
    bench.publish(ONE)
    assert not bench.registrations.is_accepted(bench.registration(ONE)), "not sent"
    bench.settle(0.0)
    assert not bench.registrations.is_accepted(bench.registration(ONE)), "not answered"

    assert bench.registrations.on_accepted(D1, accepted([1])) == [bench.registration(ONE)]

    assert bench.registrations.is_accepted(bench.registration(ONE))
    assert bench.queues.pending_count == 0


def test_a_registration_that_its_primary_lacks_is_sent_again() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE, TWO)
    bench.registrations.resend([ONE.publisher_id])
    assert bench.settle(0.0) == [], "it is under way already"
    bench.accept_all()

    bench.registrations.resend([ONE.publisher_id, b"?" * 16])

    assert bench.settle(0.0) == to_data(D1, PublishDatum(3, PAY, ONE))


def test_a_session_answers_for_what_its_present_incarnation_registered() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE, TWO)
    bench.accept_all()
    bench.registrations.withdraw(bench.registration(ONE), Cause.BYE)

    assert not bench.registrations.answers_for(ONE.publisher_id), "it was withdrawn"
    assert not bench.registrations.answers_for(b"?" * 16), "it was never registered"
    assert bench.registrations.answers_for(TWO.publisher_id)

    bench.registrations.on_incarnation(S1_AGAIN)
    assert not bench.registrations.answers_for(TWO.publisher_id), "its client has to say it again"


@pytest.mark.parametrize(("peer", "request_id"), [(D2, 1), ("d1@0", 1), ("", 1), (D1, 99), (D1, 0)])
def test_no_other_answer_accepts_a_registration(peer: str, request_id: int) -> None:
    bench = RegistrationsBench(D1, D2)
    name = names_at(bench.links, D1)[0]
    bench.registrations.publish(name, ONE, 7)
    bench.settle(0.0)

    assert bench.registrations.on_accepted(peer, accepted([request_id])) == []

    assert not bench.registrations.is_accepted(bench.registration(ONE))


def test_an_answer_that_comes_twice_counts_once() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)

    assert bench.registrations.on_accepted(D1, accepted([1, 1])) == [bench.registration(ONE)]
    assert bench.registrations.on_accepted(D1, accepted([1])) == []


def test_the_answer_to_an_older_state_accepts_nothing() -> None:
    """There is one registration per publisher: a newer state replaces one that is under way."""
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    newer = make_publisher(1, version=2)

    bench.publish(newer)

    assert bench.settle(0.0) == to_data(D1, PublishDatum(2, PAY, newer))
    assert bench.queues.pending_count == 1
    assert bench.registrations.on_accepted(D1, accepted([1])) == []
    assert not bench.registrations.is_accepted(bench.registration(ONE))
    assert bench.registrations.on_accepted(D1, accepted([2])) == [bench.registration(ONE)]


def test_a_registration_that_is_withdrawn_before_it_is_sent_is_sent_as_a_removal_only() -> None:
    """Another session may have registered it before."""
    bench = RegistrationsBench(D1)
    bench.publish(ONE)

    bench.registrations.withdraw(bench.registration(ONE), Cause.UNPUBLISHED, 8)

    request = UnpublishDatum(1, PAY, (removal_of(ONE),))
    assert bench.settle(0.0) == to_data(D1, request, digest_of())


def test_a_removal_is_kept_until_it_is_accepted_and_then_forgotten() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    bench.accept_all()
    registration = bench.registration(ONE)

    bench.registrations.withdraw(registration, Cause.CLOSED)

    request = UnpublishDatum(2, PAY, (removal_of(ONE, Cause.CLOSED),))
    assert bench.settle(0.0) == to_data(D1, request)
    assert bench.registrations.find(ONE.publisher_id) is registration
    assert bench.registrations.on_accepted(D1, accepted([2])) == [registration]
    assert bench.registrations.find(ONE.publisher_id) is None
    assert len(bench.registrations) == bench.queues.pending_count == 0


def test_a_removal_goes_up_to_the_version_that_the_client_names_if_that_is_higher() -> None:
    """Another session took newer versions; the removal has to hold for those too."""
    bench = RegistrationsBench(D1)
    bench.started(ONE)

    bench.registrations.withdraw(bench.registration(ONE), Cause.UNPUBLISHED, 8, version=5)

    gone = removal_of(make_publisher(1, version=5))
    assert bench.settle(0.0) == to_data(D1, UnpublishDatum(2, PAY, (gone,)))
    assert bench.registration(ONE).publisher.version == 5


def test_a_publisher_that_is_published_again_after_a_removal_stays() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    bench.registrations.withdraw(bench.registration(ONE), Cause.CLOSED)
    again = make_publisher(1, version=2)

    bench.publish(again)

    assert bench.settle(0.0) == to_data(D1, PublishDatum(2, PAY, again))
    bench.registrations.on_accepted(D1, accepted([1, 2]))
    assert bench.registration(ONE).publisher == again


def test_a_publisher_that_this_session_never_had_is_withdrawn_all_the_same() -> None:
    bench = RegistrationsBench(D1)
    unpublish = Unpublish(5, ONE.publisher_id, 4, PAY)

    registration = bench.registrations.add_unknown(unpublish, ALICE_ID)
    bench.registrations.withdraw(registration, Cause.UNPUBLISHED, 5)

    gone = Removal(ONE.publisher_id, 4, Cause.UNPUBLISHED, NO_INCARNATION)
    assert bench.settle(0.0) == to_data(D1, UnpublishDatum(1, PAY, (gone,)), digest_of())


# --- refusals -------------------------------------------------------------------------------------


def test_a_final_refusal_removes_the_registration() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE, TWO)
    registration = bench.registration(ONE)

    assert bench.registrations.on_refused(D1, 1, 0.0, is_final=True) is registration

    assert bench.registrations.find(ONE.publisher_id) is None
    assert bench.tick(0.0) == to_data(D1, digest_of(TWO))


@pytest.mark.parametrize(("peer", "request_id"), [(D2, 1), ("d1@0", 1), (D1, 99)])
@pytest.mark.parametrize("is_final", [True, False])
def test_a_refusal_of_something_else_changes_nothing(
    peer: str, request_id: int, *, is_final: bool
) -> None:
    bench = RegistrationsBench(D1, D2)
    bench.registrations.publish(names_at(bench.links, D1)[0], ONE, 7)
    bench.settle(0.0)

    assert bench.registrations.on_refused(peer, request_id, 0.0, is_final=is_final) is None

    assert bench.registrations.on_accepted(D1, accepted([1])) == [bench.registration(ONE)]


# --- connections and ring -------------------------------------------------------------------------


def test_a_new_data_node_gets_exactly_what_moved_to_it() -> None:
    bench = RegistrationsBench(D1)
    after = make_links(D1, D2)
    stays, moves = names_at(after, D1)[0], names_at(after, D2)[0]
    bench.registrations.publish(stays, ONE, 7)
    bench.registrations.publish(moves, TWO, 8)
    bench.settle(0.0)

    bench.follow(D1, D2)
    bench.come_up(D2)

    assert bench.settle(0.0) == [
        *to_data(D2, PublishDatum(3, moves, TWO), digest_of(TWO, ring_epoch=4)),
        *to_data(D1, digest_of(ONE, ring_epoch=4)),
    ]
    assert bench.registrations.on_accepted(D1, accepted([1, 2])) == [bench.registration(ONE)], (
        "D1 does not own TWO"
    )
    assert not bench.registrations.is_accepted(bench.registration(TWO))


def test_an_accepted_registration_is_sent_again_to_another_incarnation_of_its_node() -> None:
    """The new incarnation holds nothing of what the former one accepted."""
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    bench.accept_all()

    bench.follow("d1@4")
    bench.come_up("d1@4")

    assert not bench.registrations.is_accepted(bench.registration(ONE))
    assert bench.settle(0.0) == to_data(
        "d1@4", PublishDatum(2, PAY, ONE), digest_of(ONE, ring_epoch=4)
    )
    assert bench.registrations.on_accepted(D1, accepted([2])) == []


def make_copied(copies: int = 2) -> tuple[RegistrationsBench, str, str]:
    """Return registrations on two nodes, of which the first is the primary and then is gone."""
    bench = RegistrationsBench(D1, D2)
    bench.follow(D1, D2, epoch=4, copies=2)
    primary = bench.links.primary(PAY)
    other = D2 if primary == D1 else D1
    bench.started(ONE)
    bench.accept_all(primary, copies)
    return bench, primary, other


def test_a_registration_is_not_sent_to_a_new_primary_that_has_a_copy() -> None:
    bench, _, other = make_copied()

    bench.follow(other, epoch=5, copies=2)

    assert bench.settle(0.0) == to_data(other, digest_of(ONE, ring_epoch=5))
    assert bench.registrations.is_accepted(bench.registration(ONE))
    assert bench.registrations.answers_for(ONE.publisher_id)


def test_one_digest_that_differs_shows_what_a_copy_lacks() -> None:
    bench, _, other = make_copied()
    bench.follow(other, epoch=5, copies=2)
    bench.settle(0.0)

    effects = bench.reconciliation.on_digest_compared(other, DigestCompared(5, is_equal=False), 0.0)

    assert ComparePublishers(0, 255, ((ONE.publisher_id, 1),)) in [
        effect.message for effect in effects if isinstance(effect, Send)
    ]
    missing = PublishersCompared((ONE.publisher_id,), ())
    bench.reconciliation.on_publishers_compared(other, missing)
    assert bench.settle(0.0) == to_data(other, PublishDatum(2, PAY, ONE))


def test_a_registration_that_one_node_alone_held_is_sent_to_the_new_primary() -> None:
    bench, _, other = make_copied(copies=1)

    bench.follow(other, epoch=5, copies=2)

    assert bench.settle(0.0)[0] == Send(Link.DATA, other, PublishDatum(2, PAY, ONE))


def test_a_registration_is_sent_to_a_new_primary_that_had_no_copy() -> None:
    bench, _, _ = make_copied()

    bench.follow("d3@9", epoch=9, copies=2)
    bench.come_up("d3@9")

    assert bench.settle(0.0)[0] == Send(Link.DATA, "d3@9", PublishDatum(2, PAY, ONE))


def test_what_is_not_accepted_is_sent_to_the_new_primary_again() -> None:
    bench, primary, other = make_copied()
    bench.publish(make_publisher(1, version=2))
    bench.settle(0.0)
    bench.follow(other, epoch=5, copies=2)

    assert bench.settle(0.0)[0] == Send(
        Link.DATA, other, PublishDatum(3, PAY, make_publisher(1, version=2))
    )
    assert bench.registrations.on_accepted(primary, accepted([2])) == []


def test_removals_move_with_the_ring_too() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    bench.registrations.withdraw(bench.registration(ONE), Cause.BYE)
    bench.settle(0.0)

    bench.follow(D2)
    bench.come_up(D2)

    gone = UnpublishDatum(3, PAY, (removal_of(ONE, Cause.BYE),))
    assert bench.settle(0.0) == to_data(D2, gone, digest_of(ring_epoch=4))


def test_a_registration_without_a_primary_waits_for_one() -> None:
    bench = RegistrationsBench()
    bench.publish(ONE)
    assert bench.settle(0.0) == []
    assert not bench.registrations.is_accepted(bench.registration(ONE))

    bench.follow(D1)
    bench.come_up()

    assert bench.settle(0.0) == to_data(D1, PublishDatum(1, PAY, ONE), digest_of(ONE, ring_epoch=4))


def test_when_the_last_data_node_goes_everything_is_pending_again() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    bench.accept_all()

    bench.follow()

    assert not bench.registrations.is_accepted(bench.registration(ONE))
    assert bench.queues.pending_count == 1
    assert bench.settle(0.0) == bench.tick(0.0) == []


# --- incarnations ---------------------------------------------------------------------------------


def test_the_first_incarnation_does_not_answer_for_what_was_published_before_it() -> None:
    """A client that was connected without meta may be at another session now."""
    bench = RegistrationsBench(D1, session=NO_INCARNATION)
    bench.publish(make_publisher(1, session=NO_INCARNATION))
    bench.registrations.on_incarnation(S1)

    assert bench.settle(0.0) == to_data(D1, digest_of())
    bench.registrations.withdraw(bench.registration(ONE), Cause.CLOSED)
    assert bench.settle(0.0) == []
    assert len(bench.registrations) == 0


def test_a_new_incarnation_does_not_answer_for_what_the_former_one_registered() -> None:
    """The client may be at another session now: it has to publish again."""
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    bench.accept_all()
    bench.publish(TWO)

    bench.registrations.on_incarnation(S1_AGAIN)

    again = make_publisher(1, version=2, session=S1_AGAIN)
    assert bench.settle(0.0) == to_data(D1, digest_of())
    assert not bench.registrations.is_accepted(bench.registration(ONE)), (
        "nor does it say that it is held"
    )
    assert not bench.registrations.is_accepted(bench.registration(TWO))
    bench.publish(again)
    assert bench.settle(0.0) == to_data(D1, PublishDatum(2, PAY, again))
    assert bench.tick(0.0) == to_data(D1, digest_of(again))


def test_a_removal_is_sent_also_by_a_new_incarnation() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    bench.registrations.withdraw(bench.registration(ONE), Cause.BYE)

    bench.registrations.on_incarnation(S1_AGAIN)

    gone = UnpublishDatum(2, PAY, (removal_of(ONE, Cause.BYE),))
    assert bench.settle(0.0) == to_data(D1, gone, digest_of())
    assert not bench.registrations.is_accepted(bench.registration(ONE))
    bench.registrations.on_accepted(D1, accepted([2]))
    assert len(bench.registrations) == 0


def test_a_refused_registration_of_a_former_incarnation_is_not_sent_again() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    bench.registrations.on_incarnation(S1_AGAIN)
    bench.tick(0.0)

    bench.registrations.on_refused(D1, 1, 0.0, is_final=False)

    assert bench.tick(0.5) == []
    assert not bench.registrations.is_accepted(bench.registration(ONE))
