"""When a primary accepts a write: it waits for the replicas in sync, and for no others."""

from replica_fakes import (
    D1,
    D2,
    D3,
    EPOCH,
    NAME,
    ONE,
    OTHER,
    P1,
    P2,
    P3,
    RING_EPOCH,
    TWO,
    A,
    B,
    Primary,
    change_of,
    make_membership,
    make_synced,
    names_on,
    published,
    to_peer,
    to_replica,
    v,
    with_status,
)

from zreg.data.replication.acceptances import Waiting
from zreg.effects import WARNING, Effect, Log, Send
from zreg.model import DataInfoId, Status
from zreg.primitives.ring import bucket_of
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.replication_messages import Replicate

FIRST = change_of(1, published())


def sent(number: int, *changes: object, peers: tuple[str, ...] = (A, B)) -> list[Effect]:
    """Return what a primary sends its replicas."""
    record = Replicate(RING_EPOCH, number, changes)  # type: ignore[arg-type]
    return [to_replica(peer, record) for peer in peers]


def accepted(*request_ids: int, copies: int, peer: bytes = ONE) -> Effect:
    return to_peer(peer, Accepted(request_ids, copies))


def late(peer: str) -> Effect:
    return Log(WARNING, "data.replica.late", {"replica": peer})


def names_with_one_replica() -> tuple[DataInfoId, DataInfoId]:
    """Return names of `d1` with the replica `d2`, and with `d3`."""
    return names_on("d1", "d2", replica_count=2)[0], names_on("d1", "d3", replica_count=2)[0]


WITH_A, WITH_B = names_with_one_replica()
TWO_COPIES = make_membership(replica_count=2)


def make_waiting() -> Primary:
    """Return a primary with a write, request 1, that waits for both replicas."""
    primary = make_synced()
    primary.write(published())
    assert primary.end_turn() == sent(1, (NAME, FIRST))
    assert len(primary.acceptances) == 1
    return primary


def test_a_write_is_accepted_at_once_with_one_copy_if_no_replica_is_in_sync() -> None:
    primary = Primary()

    primary.write(published())

    assert primary.end_turn() == [accepted(1, copies=1)]
    assert primary.acceptances.next_tick_at() is None


def test_a_write_waits_for_a_joining_node_in_sync_that_counts_as_no_copy() -> None:
    """A moment later that node may be the primary, and must not lack what was accepted."""
    joining = with_status(make_membership(D1, D2), D2, Status.INITIAL)
    primary = Primary(joining)
    primary.connect(A)
    primary.end_turn()
    primary.write(published())
    assert accepted(1, copies=1) in primary.end_turn(), "it is not in sync yet"
    primary.compare(A)
    primary.write(published(version=2), request_id=2)

    assert not any(map(is_accepted, primary.end_turn()))
    primary.ack(A, primary.replication.number)
    assert primary.end_turn() == [accepted(2, copies=1)]


def is_accepted(effect: Effect) -> bool:
    return isinstance(effect, Send) and isinstance(effect.message, Accepted)


def test_a_connected_replica_that_was_not_compared_gets_the_change_and_is_not_waited_for() -> None:
    primary = Primary()
    primary.connect(A)
    primary.end_turn()

    primary.write(published())

    assert primary.end_turn() == [*sent(1, (NAME, FIRST), peers=(A,)), accepted(1, copies=1)]


def test_a_write_is_accepted_when_all_replicas_in_sync_hold_it() -> None:
    primary = make_waiting()

    primary.ack(A, 1)
    assert primary.end_turn() == []
    primary.ack(B, 1)

    assert primary.end_turn() == [accepted(1, copies=3)]
    assert len(primary.acceptances) == 0


def test_all_writes_of_a_turn_are_accepted_by_one_acknowledgement_of_each_replica() -> None:
    primary = make_synced()
    primary.write(published(P1))
    primary.write(published(P2), request_id=2)
    primary.write(published(P3), request_id=3, peer=TWO)
    primary.end_turn()

    primary.ack(A, 1)
    primary.ack(B, 1)

    assert primary.end_turn() == [accepted(1, 2, copies=3), accepted(3, copies=3, peer=TWO)]


def test_a_later_acknowledgement_accepts_the_writes_before_it() -> None:
    primary = make_waiting()
    primary.write(published(P2), request_id=2)
    primary.end_turn(0.1)
    primary.write(published(P3), request_id=3)
    primary.end_turn(0.1)

    primary.ack(A, 2)
    primary.ack(B, 3)

    assert primary.end_turn(0.1) == [accepted(1, 2, copies=3)]
    assert len(primary.acceptances) == 1


def test_a_late_replica_is_out_of_sync_and_the_write_is_accepted_without_it() -> None:
    primary = make_waiting()
    primary.ack(A, 1)
    assert primary.acceptances.next_tick_at() == 0.25
    assert primary.acceptances.tick(0.24) == []

    assert primary.acceptances.tick(0.25) == [late(B)]

    assert primary.end_turn(0.25) == [accepted(1, copies=2)]
    assert primary.replication.awaited(bucket_of(NAME)) == (A,)


def test_a_late_replica_is_logged_once_and_holds_up_no_later_write() -> None:
    primary = make_waiting()
    for number, name in ((2, OTHER), (3, names_on("d1", "d3")[0])):
        primary.write(published(), name=name, request_id=number)
    primary.end_turn(0.1)
    primary.ack(A, 3)

    assert primary.acceptances.tick(0.25) == [late(B)]
    assert primary.end_turn(0.25) == [accepted(1, 2, copies=2)]
    assert primary.acceptances.tick(0.35) == []

    assert primary.end_turn(0.35) == [accepted(3, copies=2)]


def test_two_late_replicas_leave_the_copy_of_the_primary() -> None:
    primary = make_waiting()

    assert primary.acceptances.tick(0.3) == [late(A), late(B)]

    assert primary.end_turn(0.3) == [accepted(1, copies=1)]


def test_a_late_replica_is_in_sync_again_after_two_seconds_and_an_equal_digest() -> None:
    primary = make_waiting()
    primary.acceptances.tick(0.25)
    primary.ack(A, 1)
    primary.compare(A, now=2.24)
    assert primary.replication.awaited(bucket_of(NAME)) == ()

    primary.compare(A, now=2.25)

    assert primary.replication.awaited(bucket_of(NAME)) == (A,)


def test_a_late_replica_is_not_in_sync_by_an_equal_digest_of_long_ago() -> None:
    """It works off what it was sent: a copy that was equal seconds ago lacks what came since."""
    primary = make_waiting()
    primary.ack(B, 1)
    primary.acceptances.tick(0.25)

    primary.compare(A, now=3.0)
    assert primary.replication.awaited(bucket_of(NAME)) == (B,)
    primary.ack(A, 1)
    primary.compare(A, now=4.0)
    assert primary.replication.awaited(bucket_of(NAME)) == (A, B)


def test_a_late_replica_is_asked_again_for_its_acknowledgement_with_each_comparison() -> None:
    """It may have refused the change, and at rest none follows."""
    primary = make_waiting()
    primary.ack(B, 1)
    primary.acceptances.tick(0.25)
    primary.end_turn(0.25)

    primary.replication.tick(1.0)
    asked = to_replica(A, Replicate(RING_EPOCH, 1, ()))
    assert primary.end_turn(1.0).count(asked) == 1
    primary.ack(A, 1)
    primary.replication.tick(2.0)
    assert asked not in primary.end_turn(2.0)


def test_a_lost_connection_ends_the_wait_for_its_replica() -> None:
    primary = make_waiting()
    primary.ack(A, 1)

    assert primary.lose(B) == B

    assert primary.end_turn() == [accepted(1, copies=2)]


def test_a_copy_that_the_lost_replica_had_acknowledged_counts() -> None:
    primary = make_waiting()
    primary.ack(A, 1)
    primary.lose(A)
    assert primary.end_turn() == []

    primary.ack(B, 1)

    assert primary.end_turn() == [accepted(1, copies=3)]


def test_a_replica_that_connects_again_is_not_waited_for_with_what_was_sent_before() -> None:
    """The change may be lost: a digest shows it, and no acknowledgement of a later change does."""
    primary = make_waiting()
    primary.lose(A)
    primary.connect(A)
    primary.write(published(P2), request_id=2)
    primary.end_turn()
    number = primary.replication.number
    primary.ack(A, number)

    primary.ack(B, number)

    assert primary.acceptances.tick(0.25) == []
    assert primary.end_turn() == [accepted(1, 2, copies=2)]


def make_waiting_under_a_new_ring() -> Primary:
    """Return a primary with a write that it sent under the ring before."""
    primary = make_waiting()
    ring = make_membership(epoch=EPOCH + 1, ring_epoch=EPOCH + 1)
    primary.placement.follow(ring)
    primary.replication.follow(ring, has_new_ring=True)
    primary.end_turn()
    return primary


def test_a_later_acknowledgement_is_none_of_what_was_sent_under_the_ring_before() -> None:
    """A replica that knew the new ring has refused that."""
    primary = make_waiting_under_a_new_ring()
    primary.ack(A, 1)
    assert primary.end_turn() == []
    primary.write(published(P2), request_id=2)
    primary.end_turn()

    primary.ack(B, primary.replication.number)

    assert primary.end_turn() == [accepted(1, copies=2)]


def test_a_repeated_write_under_a_new_ring_has_a_number_of_its_own() -> None:
    primary = make_waiting_under_a_new_ring()
    primary.ack(A, 1)
    primary.ack(B, 1)
    assert primary.end_turn() == [accepted(1, copies=3)]
    primary.compare(A)
    primary.compare(B)
    primary.write(request_id=2)

    number = primary.replication.number
    record = Replicate(EPOCH + 1, number, ())
    assert primary.end_turn() == [to_replica(A, record), to_replica(B, record)]
    primary.ack(A, number)
    primary.ack(B, number)

    assert primary.end_turn() == [accepted(2, copies=3)]


def test_a_replica_whose_copy_turns_out_to_differ_is_still_waited_for() -> None:
    primary = make_waiting()
    primary.compare(A, differing=[bucket_of(NAME)])
    primary.ack(B, 1)
    assert primary.end_turn() == []

    primary.ack(A, 1)

    assert primary.end_turn() == [accepted(1, copies=3)]


def test_two_groups_of_replicas_do_not_wait_for_each_other() -> None:
    primary = make_synced(TWO_COPIES)
    primary.write(published(), name=WITH_A)
    primary.write(published(), name=WITH_B, request_id=2)
    primary.end_turn()

    primary.ack(B, 2)

    assert primary.end_turn() == [accepted(2, copies=2)]
    primary.ack(A, 2)
    assert primary.end_turn() == [accepted(1, copies=2)]


def test_writes_of_one_session_with_different_numbers_of_copies_are_accepted_apart() -> None:
    primary = make_synced()
    primary.compare(B, differing=[bucket_of(OTHER)])
    primary.write(published())
    primary.write(published(), name=OTHER, request_id=2)
    primary.end_turn()

    primary.ack(A, 2)
    assert primary.end_turn() == [accepted(2, copies=2)]
    primary.ack(B, 2)

    assert primary.end_turn() == [accepted(1, copies=3)]


# --- writes that change nothing -------------------------------------------------------------------


def test_a_repeated_write_that_all_replicas_hold_is_accepted_at_once() -> None:
    primary = make_waiting()
    primary.ack(A, 1)
    primary.ack(B, 1)
    primary.end_turn()

    primary.write(published(), request_id=1)

    assert primary.end_turn() == [accepted(1, copies=3)]


def test_a_repeated_write_waits_for_the_acknowledgement_of_the_first_one() -> None:
    primary = make_waiting()
    primary.write(published(), request_id=2)
    assert primary.end_turn() == []
    primary.ack(A, 1)

    primary.ack(B, 1)

    assert primary.end_turn() == [accepted(1, 2, copies=3)]


def test_no_replica_is_late_with_changes_that_it_was_not_sent() -> None:
    """The number of the last change may be one of buckets that the replica keeps no copies of."""
    primary = make_synced(TWO_COPIES)
    primary.write(published(), name=WITH_B)
    primary.end_turn()
    primary.ack(B, 1)
    primary.end_turn()

    primary.write(name=WITH_A, request_id=2)

    assert primary.end_turn() == sent(1, peers=(A,))
    primary.ack(A, 1)
    assert primary.acceptances.tick(0.3) == []
    assert primary.end_turn(0.3) == [accepted(2, copies=2)]


def test_a_replica_that_connected_since_the_last_change_is_asked_once_for_all_writes() -> None:
    primary = make_waiting()
    primary.ack(B, 1)
    primary.lose(A)
    primary.connect(A)
    primary.end_turn()
    primary.compare(A)

    primary.write(request_id=2)
    primary.write(request_id=3, peer=TWO)

    assert primary.end_turn() == sent(2)
    primary.ack(A, 2)
    primary.ack(B, 2)
    assert primary.end_turn() == [accepted(2, copies=3), accepted(3, copies=3, peer=TWO)]


# --- sessions and rings ---------------------------------------------------------------------------


def test_a_session_that_is_gone_gets_no_acceptance() -> None:
    primary = make_synced()
    primary.write(published(P1))
    primary.write(published(P2), request_id=2, peer=TWO)
    primary.end_turn()
    primary.acceptances.forget(ONE)
    primary.ack(A, 1)
    primary.ack(B, 1)
    primary.write(published(P3), request_id=3)

    primary.acceptances.forget(TWO)
    primary.acceptances.forget(ONE)

    assert primary.end_turn() == sent(2, (NAME, change_of(2, published(P3), source=v(1))))
    assert len(primary.acceptances) == 0


def test_the_writes_to_buckets_of_another_primary_are_taken_out() -> None:
    primary = make_waiting()
    primary.write(published(), name=OTHER, request_id=2)
    primary.end_turn(0.1)

    taken = primary.acceptances.take_of_others(lambda bucket: bucket == bucket_of(OTHER))

    assert taken == [Waiting(1, 0.0, bucket_of(NAME), NAME, ONE, 1)]
    assert len(primary.acceptances) == 1
    primary.ack(A, 2)
    primary.ack(B, 2)
    assert primary.end_turn() == [accepted(2, copies=3)]


def test_a_replica_that_the_ring_has_no_more_holds_up_a_write_for_its_time_at_most() -> None:
    primary = make_waiting()
    primary.ack(B, 1)
    ring = make_membership(D1, D3, epoch=EPOCH + 1, ring_epoch=EPOCH + 1)
    primary.placement.follow(ring)
    primary.replication.follow(ring, has_new_ring=True)
    primary.end_turn()

    assert primary.acceptances.tick(0.25) == []

    assert primary.end_turn(0.25) == [accepted(1, copies=2)]
    assert primary.replication.stream(str(D2)) is None


def test_a_waiting_write_is_due_after_the_oldest_of_all_groups() -> None:
    primary = make_synced(TWO_COPIES)
    primary.write(published(), name=WITH_A)
    primary.end_turn(1.0)
    primary.write(published(), name=WITH_B, request_id=2)
    primary.end_turn(1.1)

    assert primary.acceptances.next_tick_at() == 1.25
    assert primary.acceptances.tick(1.25) == [late(A)]
    assert primary.acceptances.next_tick_at() == 1.1 + 0.25
