"""Which nodes were lost: agreed by the meta nodes, and over when they are back or replaced."""

import msgspec
import pytest
from meta_state_fakes import founded, member

from zreg.meta.state.losses import LOSSES_MAX
from zreg.meta.state.meta_state import MetaState
from zreg.model import NO_INCARNATION, Incarnation, Membership, Role, Status
from zreg.wire.log_commands import (
    Admit,
    AnyCommand,
    Depart,
    Forget,
    Loss,
    MetaImage,
    SetStatus,
    decode_command,
    decode_image,
    encode_image,
)

D1, D2, D3 = Incarnation(2, "d1"), Incarnation(3, "d2"), Incarnation(4, "d3")
THREE = (Admit(member("d1")), Admit(member("d2")), Admit(member("d3")))
LOST_D2 = Depart(D2, "gone", is_loss=True)


def states(state: MetaState) -> dict[str, bool]:
    """Return the lost ids, and whether each loss is over."""
    return {loss.incarnation.node_id: loss.is_over for loss in state.losses}


def test_a_loss_says_which_node_it_was_and_what_it_was_before() -> None:
    state = founded(*THREE, LOST_D2)

    assert state.losses == (Loss(D2, Role.DATA, "tcp://d2:1", 5, "gone", 3),)


@pytest.mark.parametrize("reason", ["left", "drain expired"])
def test_a_goodbye_and_the_end_of_a_drain_are_no_losses(reason: str) -> None:
    assert founded(*THREE, Depart(D2, reason)).losses == ()


def test_a_departure_that_changes_nothing_is_no_loss() -> None:
    assert founded(*THREE, Depart(Incarnation(99, "d2"), "gone", is_loss=True)).losses == ()


def test_a_loss_is_over_when_the_id_is_back_even_before_it_works() -> None:
    state = founded(*THREE, LOST_D2, Admit(member("d2", life=2), status=Status.INITIAL))

    assert states(state) == {"d2": True}


def test_a_loss_is_over_when_as_many_nodes_of_the_role_work_as_before() -> None:
    newcomer = Admit(member("d9"), status=Status.INITIAL)
    state = founded(*THREE, LOST_D2, newcomer)
    assert states(state) == {"d2": False}, "the new one does not work yet"

    state.apply(SetStatus(Incarnation(6, "d9"), Status.WORKING))
    assert states(state) == {"d2": True}


def test_one_newcomer_takes_the_place_of_one_lost_node() -> None:
    state = founded(*THREE, LOST_D2, Depart(D3, "gone", is_loss=True), Admit(member("d9")))
    assert states(state) == {"d2": False, "d3": True}

    state.apply(Admit(member("d8")))
    assert states(state) == {"d2": True, "d3": True}


def test_a_node_of_another_role_replaces_none() -> None:
    assert states(founded(*THREE, LOST_D2, Admit(member("s1")))) == {"d2": False}


def test_a_loss_that_was_over_stays_over_when_another_node_is_lost() -> None:
    state = founded(*THREE, LOST_D2, Admit(member("d9")), Depart(D3, "silent", is_loss=True))

    assert states(state) == {"d2": True, "d3": False}


def test_the_losses_of_an_id_are_counted_and_shown_once() -> None:
    again = Admit(member("d2", life=2))
    lost_again = Depart(Incarnation(6, "d2"), "silent", is_loss=True)
    state = founded(*THREE, LOST_D2, again, lost_again)

    (loss,) = state.losses
    assert (loss.incarnation.epoch, loss.reason, loss.count, loss.is_over) == (
        6,
        "silent",
        2,
        False,
    )


def test_a_node_that_was_being_drained_is_not_missed() -> None:
    """Its place on the ring was given up on purpose: as many nodes work as should."""
    state = founded(*THREE, SetStatus(D2, Status.LEAVING), LOST_D2)

    assert states(state) == {"d2": True}


def test_losses_are_forgotten_by_the_incarnation_that_was_lost() -> None:
    state = founded(*THREE, LOST_D2, Depart(D3, "gone", is_loss=True))
    before = state.membership

    applied = state.apply(Forget(NO_INCARNATION, (D2, Incarnation(99, "d3"))))
    assert not applied.is_changed
    assert states(state) == {"d3": False}
    assert state.membership is before, "no epoch depends on what is remembered"


def test_a_session_is_forgotten_after_its_grace_and_its_loss_stays() -> None:
    s1 = Incarnation(2, "s1")
    state = founded(Admit(member("s1")), Admit(member("s2")), Depart(s1, "gone", is_loss=True))
    state.apply(Forget(s1))

    assert states(state) == {"s1": False}


def test_what_is_remembered_is_bounded_and_what_is_over_goes_first() -> None:
    state = founded()
    for number in range(LOSSES_MAX + 3):
        state.apply(Admit(member(f"d{number}")))
    for number in range(LOSSES_MAX + 1):
        lost = state.membership.living(f"d{number}")
        assert lost is not None
        state.apply(Depart(lost.incarnation, "gone", is_loss=True))
        if number == LOSSES_MAX // 2:
            state.apply(Admit(member(f"d{number}", life=2)))
            state.apply(Depart(state.membership.members[0].incarnation, "left"))

    names = [loss.incarnation.node_id for loss in state.losses]
    assert len(names) == len(set(names)) == LOSSES_MAX
    assert "d0" in names
    assert f"d{LOSSES_MAX // 2}" not in names, "it was back"


def test_a_snapshot_holds_the_losses() -> None:
    state, restored = founded(*THREE, LOST_D2), MetaState()
    restored.restore(state.snapshot())

    assert restored.losses == state.losses


# --- meta nodes of earlier versions ---------------------------------------------------------------


def test_an_image_of_an_earlier_version_has_no_losses() -> None:
    image = MetaImage(Membership(b"", 0, 0, founded().membership.ring, ()), ())
    fields = msgspec.msgpack.decode(encode_image(image))

    assert decode_image(msgspec.msgpack.encode(fields[:4])).losses == ()


def test_a_departure_in_a_journal_of_an_earlier_version_is_no_loss() -> None:
    """When it happened is not known: it would be shown as lost since the upgrade."""
    old = msgspec.msgpack.encode([5, [3, "d2"], "gone"])
    command = decode_command(old)

    assert command == Depart(D2, "gone")
    assert founded(*THREE, command).losses == ()


def test_a_meta_node_of_an_earlier_version_changes_nothing_when_losses_are_forgotten() -> None:
    """It decodes the command without the losses: there is no member to forget."""
    command: AnyCommand = Forget(NO_INCARNATION, (D2,))
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(command))
    as_it_reads = decode_command(msgspec.msgpack.encode(fields[:2]))
    state = founded(*THREE, LOST_D2)
    before = state.membership

    assert as_it_reads == Forget(NO_INCARNATION)
    assert not state.apply(as_it_reads).is_changed
    assert state.membership is before
