"""A session and a data node that disagree find out, and repair it."""

import logging

import pytest
from session_fakes import (
    CONFIG,
    D1,
    D2,
    ONE,
    PAY,
    S1,
    TWO,
    RegistrationsBench,
    make_publisher,
    names_at,
    to_data,
)

from zreg.config import Limits
from zreg.effects import Effect, Log, Send
from zreg.model import Cause, Incarnation, Removal
from zreg.wire.records.data_messages import (
    ComparePublishers,
    DigestCompared,
    PublishDatum,
    PublishersCompared,
    UnpublishDatum,
)


def differ(bench: RegistrationsBench, times: int = 1, *, is_equal: bool = False) -> list[Effect]:
    effects: list[Effect] = []
    for _ in range(times):
        compared = DigestCompared(3, is_equal)
        effects += bench.reconciliation.on_digest_compared(D1, compared, 0.0)
    return effects


def started_repair(count: int) -> Log:
    fields: dict[str, str | int | float] = {"node": D1, "publishers": count}
    return Log(logging.WARNING, "session.repair.started", fields)


def test_a_digest_that_differs_twice_in_succession_starts_a_comparison() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE, TWO)

    assert differ(bench) == []
    pairs = ((ONE.publisher_id, 1), (TWO.publisher_id, 1))
    assert differ(bench) == [started_repair(2), *to_data(D1, ComparePublishers(0, 255, pairs))]
    assert differ(bench) == [], "and the count begins again"


def test_a_digest_that_was_equal_in_between_starts_nothing() -> None:
    bench = RegistrationsBench(D1)

    assert differ(bench) + differ(bench, is_equal=True) + differ(bench) == []


@pytest.mark.parametrize(("peer", "ring_epoch"), [(D1, 2), (D1, 4), (D2, 3), ("", 2)])
def test_a_comparison_under_another_ring_or_with_another_node_is_ignored(
    peer: str, ring_epoch: int
) -> None:
    bench = RegistrationsBench(D1)

    for _ in range(3):
        assert (
            bench.reconciliation.on_digest_compared(
                peer, DigestCompared(ring_epoch, is_equal=False), 0.0
            )
            == []
        )


def test_only_what_this_incarnation_answers_for_on_that_node_is_compared() -> None:
    bench = RegistrationsBench(D1, D2)
    here, there = names_at(bench.links, D1)[0], names_at(bench.links, D2)[0]
    withdrawn, old = make_publisher(3), make_publisher(4, session=Incarnation(1, "s1"))
    for name, publisher in ((here, ONE), (there, TWO), (here, withdrawn), (here, old)):
        bench.registrations.publish(name, publisher, 7)
    bench.registrations.withdraw(bench.registration(withdrawn), Cause.BYE)

    pairs = ((ONE.publisher_id, 1),)
    assert differ(bench, 2) == [started_repair(1), *to_data(D1, ComparePublishers(0, 255, pairs))]


def test_a_comparison_is_cut_into_records_within_the_limits() -> None:
    """Only a hostile client makes so many ids of one byte; those over the limit are left out."""
    bench = RegistrationsBench(D1)
    first = [make_publisher(number) for number in range(200)]
    crowd = [
        make_publisher(publisher_id=b"\x02" + number.to_bytes(15))
        for number in range(Limits.ids_per_record_max + 1)
    ]
    bench.publish(*first, *crowd)

    effects = differ(bench, 2)
    for _ in range(3):
        effects += bench.reconciliation.tick(0.0)

    low = ComparePublishers(0, 1, tuple((p.publisher_id, 1) for p in first))
    high = ComparePublishers(2, 255, tuple((p.publisher_id, 1) for p in crowd[:-1]))
    assert effects == [started_repair(200 + len(crowd)), *to_data(D1, low)]
    # The next record follows the answer to the one before.
    answer = PublishersCompared((), ())
    assert bench.reconciliation.on_publishers_compared(D1, answer) == to_data(D1, high)
    assert bench.reconciliation.on_publishers_compared(D1, answer) == []
    assert bench.reconciliation.on_publishers_compared(D1, answer) == []


def test_a_comparison_is_gathered_over_several_turns() -> None:
    """Those of two data nodes are gathered one after the other; publishing goes on meanwhile."""
    bench = RegistrationsBench(D1, D2)
    names = {peer: names_at(bench.links, peer)[0] for peer in (D1, D2)}
    publishers = [make_publisher(number) for number in range(6000)]
    for publisher in publishers:
        bench.registrations.publish(names[D1], publisher, 7)
    reconciliation = bench.reconciliation
    reconciliation.tick(0.0)

    for _ in range(2):
        compared = DigestCompared(3, is_equal=False)
        effects = reconciliation.on_digest_compared(D1, compared, 0.1)
    assert effects == [started_repair(6000)]
    assert reconciliation.on_publishers_compared(D1, PublishersCompared((), ())) == []
    for _ in range(2):
        reconciliation.on_digest_compared(D2, compared, 0.1)
    bench.registrations.withdraw(bench.registration(publishers[0]), Cause.UNPUBLISHED)
    assert reconciliation.next_tick_at() == 0.1
    assert reconciliation.tick(0.1) == []
    first = reconciliation.tick(0.2)
    assert [effect.peer for effect in first if isinstance(effect, Send)] == [D1]
    assert reconciliation.next_tick_at() == 0.2
    assert reconciliation.tick(0.2) == []
    assert reconciliation.tick(0.3) == to_data(D2, ComparePublishers(0, 255, ()))
    assert reconciliation.next_tick_at() == CONFIG.digest_seconds


def test_digests_that_differ_meanwhile_do_not_start_a_comparison_again() -> None:
    """A new one would begin at the first byte, so a long one would never come to the last."""
    bench = RegistrationsBench(D1)
    ids = [bytes([first]) + n.to_bytes(15) for first in range(230) for n in range(20)]
    bench.publish(*(make_publisher(publisher_id=publisher_id) for publisher_id in ids))
    answer = PublishersCompared((), ())
    differ(bench, 2)

    for _ in range(2):
        assert differ(bench, 1) == []
        assert bench.reconciliation.on_publishers_compared(D1, answer) != []
    assert bench.reconciliation.on_publishers_compared(D1, answer) == []


def test_a_comparison_without_an_answer_is_started_again() -> None:
    """The data node was still busy with a new ring, and did not answer."""
    bench = RegistrationsBench(D1)
    bench.publish(ONE)
    assert differ(bench, 2) != []

    assert differ(bench, 2) == []
    assert started_repair(1) in differ(bench, 1)


def test_a_comparison_ends_with_the_connection_and_with_the_ring() -> None:
    bench = RegistrationsBench(D1)
    bench.publish(*(make_publisher(number) for number in range(6000)))
    reconciliation = bench.reconciliation
    reconciliation.tick(0.0)

    for end in (lambda: reconciliation.on_node_lost(D1), reconciliation.on_ring):
        differ(bench, 2)
        end()
        assert reconciliation.tick(0.1) == []
        assert reconciliation.next_tick_at() == CONFIG.digest_seconds


def test_a_publisher_that_a_data_node_lacks_is_sent_again_once() -> None:
    bench = RegistrationsBench(D1, D2)
    here, there = names_at(bench.links, D1)[0], names_at(bench.links, D2)[0]
    under_way = make_publisher(3)
    bench.registrations.publish(here, ONE, 7)
    bench.registrations.publish(there, TWO, 7)
    bench.settle(0.0)
    bench.accept_all(D1)
    bench.accept_all(D2)
    bench.registrations.publish(here, under_way, 7)
    bench.settle(0.0)

    lacks = (ONE.publisher_id, TWO.publisher_id, under_way.publisher_id, b"?" * 16)
    assert bench.reconciliation.on_publishers_compared(D1, PublishersCompared(lacks, ())) == []

    assert bench.settle(0.0) == to_data(D1, PublishDatum(4, here, ONE))
    assert not bench.registrations.is_accepted(bench.registration(ONE))


def test_a_stray_that_is_not_registered_here_is_removed() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)
    strays = ((PAY, ONE.publisher_id, 1), (PAY, TWO.publisher_id, 4))

    effects = bench.reconciliation.on_publishers_compared(D1, PublishersCompared((), strays))

    gone = Removal(TWO.publisher_id, 4, Cause.CLOSED, S1)
    assert effects == to_data(D1, UnpublishDatum(0, PAY, (gone,)))
