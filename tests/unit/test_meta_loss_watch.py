"""How long ago nodes were lost: each meta node measures it, and no change of leader resets it."""

from meta_state_fakes import founded, member

from zreg.meta.loss_watch import LossWatch
from zreg.meta.state.meta_state import MetaState
from zreg.model import Incarnation, Role
from zreg.wire.log_commands import Admit, Depart
from zreg.wire.records.membership_messages import GoneNode

HOUR = 3600.0
D1, D2 = Incarnation(2, "d1"), Incarnation(3, "d2")
BOTH = (Admit(member("d1")), Admit(member("d2")))
LOST = Depart(D1, "gone", is_loss=True)


def watched(state: MetaState) -> LossWatch:
    return LossWatch(state, HOUR)


def test_a_lost_node_is_told_with_when_it_was_lost_and_how_long_it_lived() -> None:
    state = founded(*BOTH)
    watch = watched(state)
    assert watch.follow(100.0) == []
    state.apply(LOST)
    assert watch.follow(160.0) == []

    gone = GoneNode(D1, Role.DATA, "tcp://d1:1", "gone", 4, 2, 1, 2500, 60_000)
    assert watch.gone(162.5) == (gone,)


def test_the_last_loss_is_told_first() -> None:
    state = founded(*BOTH, LOST)
    watch = watched(state)
    watch.follow(1.0)
    state.apply(Depart(D2, "silent", is_loss=True))
    watch.follow(2.0)

    assert [each.incarnation.node_id for each in watch.gone(3.0)] == ["d2", "d1"]


def test_a_loss_that_is_over_is_told_once_and_shown_no_more() -> None:
    state = founded(*BOTH, LOST)
    watch = watched(state)
    watch.follow(1.0)
    state.apply(Admit(member("d1", life=2)))

    assert [loss.incarnation for loss in watch.follow(2.0)] == [D1]
    assert watch.follow(3.0) == []
    assert watch.gone(3.0) == ()


def test_after_the_time_that_is_configured_a_loss_is_old() -> None:
    state = founded(*BOTH, LOST)
    watch = watched(state)
    watch.follow(10.0)

    assert (len(watch.gone(10.0 + HOUR - 1)), watch.old(10.0 + HOUR - 1)) == (1, [])
    assert (watch.gone(10.0 + HOUR), watch.old(10.0 + HOUR)) == ((), [D1])


def test_times_before_this_process_began_are_told_as_at_least_so_long() -> None:
    state = founded(*BOTH, LOST)
    state.inherited_epoch = state.epoch
    watch = watched(state)
    watch.follow(10.0)

    (gone,) = watch.gone(11.0)
    assert (gone.milliseconds_ago, gone.is_at_least) == (1000, True)


def test_a_life_that_began_before_this_process_is_told_as_at_least_so_long() -> None:
    state = founded(*BOTH)
    state.inherited_epoch = state.epoch
    watch = watched(state)
    watch.follow(10.0)
    state.apply(LOST)
    watch.follow(15.0)

    (gone,) = watch.gone(15.0)
    assert (gone.milliseconds_lived, gone.is_at_least) == (5000, True)


def test_what_comes_with_a_snapshot_happened_before() -> None:
    state = MetaState()
    watch = watched(state)
    watch.follow(1.0)
    state.restore(founded(*BOTH, LOST).snapshot())
    watch.follow(2.0)

    assert [each.is_at_least for each in watch.gone(3.0)] == [True]


def test_times_of_what_is_forgotten_are_dropped() -> None:
    state = founded(*BOTH, LOST)
    watch = watched(state)
    watch.follow(1.0)
    state.losses = ()
    watch.follow(2.0)

    assert (watch._times, set(watch._joined)) == ({}, {D2, Incarnation(1, "m1")})
