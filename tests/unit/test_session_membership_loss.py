"""What a session does that is no member any more, or that reaches nobody."""

from msgspec.structs import replace
from session_fakes import make_member, make_membership

from zreg.model import Incarnation, Membership, Role, Status
from zreg.session.membership_loss import UNREACHED_SECONDS_MAX, MembershipLoss

ALONE = make_membership(session=Incarnation(1, "s1"))


def with_other() -> Membership:
    other = make_member("s2", 2, Role.SESSION)
    return Membership(ALONE.cluster_id, 3, 3, ALONE.ring, (*ALONE.members, other))


OTHERS = with_other()


def test_a_member_sends_no_client_away() -> None:
    loss = MembershipLoss("s1", now=0.0)
    loss.on_joined()

    assert not loss.is_lasting(100.0)
    assert not loss.take_due(100.0, OTHERS)
    assert loss.next_tick_at() is None


def test_clients_are_sent_away_once_the_loss_has_lasted_and_again_after_a_pause() -> None:
    loss = MembershipLoss("s1", now=0.0)
    loss.note_leader(0.0, is_reached=True)
    loss.on_lost(10.0)
    loss.on_lost(11.0)

    assert loss.next_tick_at() == 12.0
    assert not loss.is_lasting(11.9)
    assert not loss.take_due(11.9, ALONE)
    assert loss.is_lasting(12.0)
    assert loss.take_due(12.0, ALONE)

    assert loss.is_lasting(12.0)
    assert not loss.take_due(13.9, ALONE)
    assert loss.take_due(14.0, ALONE)


def test_clients_are_sent_away_at_once_if_the_session_cannot_join_again_soon() -> None:
    loss = MembershipLoss("s1", now=0.0)
    loss.on_lost(10.0, is_final=True)

    assert loss.take_due(10.0, ALONE)


def test_a_session_that_joins_again_keeps_its_clients() -> None:
    loss = MembershipLoss("s1", now=0.0)
    loss.on_lost(10.0)

    loss.on_joined()

    assert not loss.is_lasting(20.0)
    assert not loss.take_due(20.0, OTHERS)


def test_a_session_that_was_never_admitted_sends_its_clients_away_more_patiently() -> None:
    loss = MembershipLoss("s1", now=10.0)

    assert not loss.take_due(14.9, OTHERS)
    assert loss.take_due(15.0, OTHERS)
    assert not loss.take_due(24.9, OTHERS)
    assert loss.take_due(25.0, OTHERS)
    assert not loss.is_lasting(25.0), "it lost nothing, and serves reads"
    assert not loss.take_due(35.0, ALONE), "its clients can go nowhere"


def make_isolated(
    *, is_meta_reached: bool = False, is_data_reached: bool = False
) -> MembershipLoss:
    loss = MembershipLoss("s1", now=0.0)
    loss.on_joined()
    for note in (loss.note_leader, loss.note_data_nodes):
        note(1.0, is_reached=True)
    loss.note_leader(10.0, is_reached=is_meta_reached)
    loss.note_data_nodes(11.0, is_reached=is_data_reached)
    return loss


def test_a_session_that_reaches_nobody_gives_up_after_a_while() -> None:
    loss = make_isolated()
    loss.note_leader(12.0, is_reached=False)
    loss.note_data_nodes(12.0, is_reached=False)

    at = 11.0 + UNREACHED_SECONDS_MAX
    assert not loss.must_give_up(at - 0.1, OTHERS)
    assert loss.must_give_up(at, OTHERS)
    assert not loss.must_give_up(at, ALONE), "its clients can go nowhere"


def test_a_session_that_had_departed_before_may_be_back() -> None:
    """Seed 90343 of the chaos workload: it came back a moment after the other one was isolated."""
    departed = replace(OTHERS.members[-1], status=Status.DEPARTED)
    membership = replace(OTHERS, members=(*ALONE.members, departed))

    assert make_isolated().must_give_up(11.0 + UNREACHED_SECONDS_MAX, membership)


def test_a_session_that_reaches_meta_or_a_data_node_goes_on() -> None:
    assert not make_isolated(is_meta_reached=True).must_give_up(100.0, OTHERS)
    assert not make_isolated(is_data_reached=True).must_give_up(100.0, OTHERS)


def test_a_session_that_was_never_admitted_has_nothing_to_give_up() -> None:
    assert not MembershipLoss("s1", now=0.0).must_give_up(100.0, OTHERS)


def test_a_session_that_has_given_up_is_patient_since_others_may_reach_nobody_too() -> None:
    loss = make_isolated()
    loss.on_lost(16.0, is_final=True)

    assert not loss.must_give_up(17.0, OTHERS)
    assert loss.take_due(16.0, OTHERS)
    assert not loss.take_due(25.9, OTHERS)
    assert loss.take_due(26.0, OTHERS)


def test_meta_is_away_after_the_time_of_an_election() -> None:
    loss = make_isolated()

    assert not loss.is_meta_away(11.9)
    assert loss.is_meta_away(12.0)
    loss.note_leader(13.0, is_reached=True)
    assert not loss.is_meta_away(20.0)
