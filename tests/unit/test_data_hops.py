"""A data node notes when it merged a change, when its replicas had it, and when it was accepted."""

from msgspec.structs import replace
from replica_fakes import (
    EPOCH,
    NAME,
    P1,
    P2,
    A,
    B,
    Primary,
    make_synced,
    published,
    unpublished,
)

from zreg.model import Version
from zreg.primitives.reports.hop_rings import Noted
from zreg.wire.records.common_messages import HopKind


def noted(primary: Primary) -> list[Noted]:
    return list(primary.hops.by_id[NAME])


def v(counter: int) -> Version:
    return Version(EPOCH, counter)


def test_a_change_is_noted_with_its_version_its_publisher_and_its_number_in_the_stream() -> None:
    primary = make_synced()
    primary.write(published(P1))
    primary.end_turn(1.5)

    assert noted(primary) == [
        (HopKind.HINTED, 1.5, P1, 1, v(1), "", primary.replication.number),
    ]


def test_the_acceptance_is_noted_when_the_last_replica_has_acknowledged() -> None:
    primary = make_synced()
    primary.write(published(P1))
    primary.end_turn(1.5)
    number = primary.replication.number
    primary.ack(A, number)
    assert len(noted(primary)) == 1
    primary.ack(B, number)

    (_, (kind, _, _, copies, _, _, accepted)) = noted(primary)
    assert (kind, copies, accepted) == (HopKind.ACCEPTED, 3, number)


def test_the_acceptance_without_a_late_replica_is_noted_when_its_time_is_over() -> None:
    primary = make_synced()
    primary.write(published(P1))
    primary.end_turn(1.5)
    primary.ack(A, primary.replication.number)

    primary.acceptances.tick(1.5 + 10.0)

    kind, at, _, copies, *_ = noted(primary)[-1]
    assert (kind, at, copies) == (HopKind.ACCEPTED, 11.5, 2)


def test_all_publishes_and_removals_of_a_turn_are_named() -> None:
    primary = make_synced()
    primary.write(published(P2))
    primary.end_turn(1.0)
    primary.write(published(P1, version=4))
    primary.write(unpublished(P2, 1))
    primary.end_turn(2.0)

    found = [(kind, publisher, version) for kind, at, publisher, version, *_ in noted(primary)]
    assert found[1:] == [(HopKind.MERGED, P2, 1), (HopKind.HINTED, P1, 4)]


def test_a_change_of_many_publishers_takes_a_bounded_number_of_entries() -> None:
    primary = make_synced()
    for number in range(1000):
        primary.write(published(number.to_bytes(16)))
    primary.end_turn(1.0)

    assert len(noted(primary)) <= 16
    assert noted(primary)[-1][0] is HopKind.HINTED


def test_a_change_of_which_subscribers_see_nothing_is_noted_as_such() -> None:
    primary = make_synced()
    primary.write(published(P1))
    primary.end_turn(1.0)
    primary.write(replace(published(P1), version=2))
    primary.end_turn(2.0)

    assert noted(primary)[-1][:5] == (HopKind.COMMITTED, 2.0, P1, 2, v(2))
