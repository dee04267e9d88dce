"""Registrations: accepted means accepted, the newest state is sent, and digests are true."""

import logging
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_fakes import (
    ALICE_ID,
    CONFIG,
    D1,
    D2,
    PAY,
    S1,
    bring_up,
    digest_of,
    make_links,
    make_membership,
    make_publisher,
    names_at,
    to_data,
)

from zreg.config import Limits
from zreg.effects import Effect, Link, Log, PeerLost, PeerUp, Send
from zreg.model import NO_INCARNATION, Cause, Incarnation, Publisher, Removal
from zreg.primitives.digest import DigestSum
from zreg.session.upstream.node_queues import NodeQueues
from zreg.session.upstream.reconciliation import Reconciliation
from zreg.session.upstream.registration import Registration
from zreg.session.upstream.registrations import Registrations
from zreg.wire.client_messages import Unpublish
from zreg.wire.data_messages import (
    CompareDigest,
    ComparePublishers,
    DigestCompared,
    PublishDatum,
    PublishersCompared,
    UnpublishDatum,
)

ONE, TWO = make_publisher(1), make_publisher(2)
WINDOW = 4096
S1_AGAIN = Incarnation(8, "s1")
RETRY = CONFIG.request_retry_seconds


class Bench:
    """Registrations with their queues and connections."""

    def __init__(self, *data: str, is_up: bool = True, session: Incarnation = S1) -> None:
        self.links = make_links(*data, is_up=is_up)
        self.queues = NodeQueues(CONFIG, self.links, rng=Random(1))
        self.registrations = Registrations(self.links, self.queues)
        self.registrations.on_ring()
        self.reconciliation = Reconciliation(CONFIG, self.links, self.registrations, self.queues)
        if session != NO_INCARNATION:
            self.registrations.on_incarnation(session)

    def settle(self, now: float) -> list[Effect]:
        """End a turn, as the core does."""
        return self.queues.settle(self.registrations.session, now)

    def tick(self, now: float) -> list[Effect]:
        """Let time pass, as the core does."""
        self.reconciliation.tick(now)
        return self.queues.tick(self.registrations.session, now)

    def next_tick_at(self) -> float:
        return min(self.queues.next_tick_at(), self.reconciliation.next_tick_at())

    def publish(self, *publishers: Publisher) -> None:
        for publisher in publishers:
            self.registrations.publish(PAY, publisher, 7)

    def started(self, *publishers: Publisher) -> list[Effect]:
        """Publish, and send it with the first digest."""
        self.publish(*publishers)
        return self.settle(0.0)

    def registration(self, publisher: Publisher = ONE) -> Registration:
        registration = self.registrations.find(publisher.publisher_id)
        assert registration is not None
        return registration

    def accept_all(self, peer: str = D1) -> None:
        self.registrations.on_accepted(peer, range(1, 10_000))

    def lose(self, peer: str = D1) -> None:
        self.links.on_peer_lost(PeerLost(Link.DATA, peer), 0.0)
        self.queues.on_node_lost(peer)

    def come_up(self, peer: str = D1) -> None:
        bring_up(self.links, peer)
        self.queues.request_digest(peer)

    def follow(self, *data: str, epoch: int = 4) -> None:
        self.links.follow(make_membership(*data, epoch=epoch))
        self.registrations.on_ring()


def removal(publisher: Publisher, cause: Cause = Cause.UNPUBLISHED) -> Removal:
    return Removal(publisher.publisher_id, publisher.version, cause, publisher.session)


# --- a pending write ------------------------------------------------------------------------------


def test_a_registration_is_sent_to_its_primary_once_when_the_turn_ends() -> None:
    bench = Bench(D1)

    bench.publish(ONE)

    assert bench.settle(0.0) == to_data(D1, PublishDatum(1, PAY, ONE), digest_of(ONE))
    assert bench.settle(0.0) == []
    assert bench.queues.pending_count == 1
    assert len(bench.registrations) == 1


def test_a_registration_is_accepted_when_its_data_node_says_so() -> None:
    bench = Bench(D1)
    bench.publish(ONE)
    assert not bench.registrations.is_accepted(bench.registration()), "not sent"
    bench.settle(0.0)
    assert not bench.registrations.is_accepted(bench.registration()), "not answered"

    assert bench.registrations.on_accepted(D1, [1]) == [bench.registration()]

    assert bench.registrations.is_accepted(bench.registration())
    assert bench.queues.pending_count == 0


def test_a_registration_that_its_primary_lacks_is_sent_again() -> None:
    bench = Bench(D1)
    bench.started(ONE, TWO)
    bench.registrations.resend([ONE.publisher_id])
    assert bench.settle(0.0) == [], "it is under way already"
    bench.accept_all()

    bench.registrations.resend([ONE.publisher_id, b"?" * 16])

    assert bench.settle(0.0) == to_data(D1, PublishDatum(3, PAY, ONE))


def test_a_session_answers_for_what_its_present_incarnation_registered() -> None:
    bench = Bench(D1)
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
    bench = Bench(D1, D2)
    name = names_at(bench.links, D1)[0]
    bench.registrations.publish(name, ONE, 7)
    bench.settle(0.0)

    assert bench.registrations.on_accepted(peer, [request_id]) == []

    assert not bench.registrations.is_accepted(bench.registration())


def test_an_answer_that_comes_twice_counts_once() -> None:
    bench = Bench(D1)
    bench.started(ONE)

    assert bench.registrations.on_accepted(D1, [1, 1]) == [bench.registration()]
    assert bench.registrations.on_accepted(D1, [1]) == []


def test_the_answer_to_an_older_state_accepts_nothing() -> None:
    """A pending write is one mark: the newer state takes its place, on the way as well."""
    bench = Bench(D1)
    bench.started(ONE)
    newer = make_publisher(1, version=2)

    bench.publish(newer)

    assert bench.settle(0.0) == to_data(D1, PublishDatum(2, PAY, newer))
    assert bench.queues.pending_count == 1
    assert bench.registrations.on_accepted(D1, [1]) == []
    assert not bench.registrations.is_accepted(bench.registration())
    assert bench.registrations.on_accepted(D1, [2]) == [bench.registration()]


def test_only_the_newest_state_waits_for_a_connection() -> None:
    bench = Bench(D1, is_up=False)
    for version in (1, 2, 3):
        bench.publish(make_publisher(1, version=version))
        assert bench.settle(0.0) == []

    bench.come_up()

    newest = make_publisher(1, version=3)
    assert bench.settle(1.0) == to_data(D1, PublishDatum(1, PAY, newest), digest_of(newest))


def test_a_registration_that_is_withdrawn_before_it_is_sent_is_sent_as_a_removal_only() -> None:
    """Another session may have sent it before."""
    bench = Bench(D1)
    bench.publish(ONE)

    bench.registrations.withdraw(bench.registration(), Cause.UNPUBLISHED, 8)

    request = UnpublishDatum(1, PAY, (removal(ONE),))
    assert bench.settle(0.0) == to_data(D1, request, digest_of())


def test_a_removal_is_kept_until_it_is_accepted_and_then_forgotten() -> None:
    bench = Bench(D1)
    bench.started(ONE)
    bench.accept_all()
    registration = bench.registration()

    bench.registrations.withdraw(registration, Cause.CLOSED)

    request = UnpublishDatum(2, PAY, (removal(ONE, Cause.CLOSED),))
    assert bench.settle(0.0) == to_data(D1, request)
    assert bench.registrations.find(ONE.publisher_id) is registration
    assert bench.registrations.on_accepted(D1, [2]) == [registration]
    assert bench.registrations.find(ONE.publisher_id) is None
    assert len(bench.registrations) == bench.queues.pending_count == 0


def test_a_removal_goes_up_to_the_version_that_the_client_names_if_that_is_higher() -> None:
    """Another session took the newer versions; a publish below the removal is of the past."""
    bench = Bench(D1)
    bench.started(ONE)

    bench.registrations.withdraw(bench.registration(), Cause.UNPUBLISHED, 8, version=5)

    gone = removal(make_publisher(1, version=5))
    assert bench.settle(0.0) == to_data(D1, UnpublishDatum(2, PAY, (gone,)))
    assert bench.registration().publisher.version == 5


def test_a_publisher_that_is_published_again_after_a_removal_stays() -> None:
    bench = Bench(D1)
    bench.started(ONE)
    bench.registrations.withdraw(bench.registration(), Cause.CLOSED)
    again = make_publisher(1, version=2)

    bench.publish(again)

    assert bench.settle(0.0) == to_data(D1, PublishDatum(2, PAY, again))
    bench.registrations.on_accepted(D1, [1, 2])
    assert bench.registration().publisher == again


def test_a_publisher_that_this_session_never_had_is_withdrawn_all_the_same() -> None:
    bench = Bench(D1)
    unpublish = Unpublish(5, ONE.publisher_id, 4, PAY)

    registration = bench.registrations.add_unknown(unpublish, ALICE_ID)
    bench.registrations.withdraw(registration, Cause.UNPUBLISHED, 5)

    gone = Removal(ONE.publisher_id, 4, Cause.UNPUBLISHED, NO_INCARNATION)
    assert bench.settle(0.0) == to_data(D1, UnpublishDatum(1, PAY, (gone,)), digest_of())


def test_a_request_without_an_answer_in_time_is_sent_again_under_another_id() -> None:
    bench = Bench(D1)
    bench.tick(10.0)
    bench.publish(ONE)
    bench.settle(10.2)
    bench.publish(TWO)
    bench.settle(10.6)
    bench.tick(11.0)
    assert bench.next_tick_at() == pytest.approx(10.2 + RETRY)

    assert bench.tick(11.1) == []
    assert bench.tick(11.3) == to_data(D1, PublishDatum(3, PAY, ONE))

    assert bench.registrations.on_accepted(D1, [1]) == [], "the first request is given up"
    assert bench.registrations.on_accepted(D1, [2, 3]) == [
        bench.registration(TWO),
        bench.registration(ONE),
    ]
    assert bench.next_tick_at() == 12.0


def test_requests_under_way_are_bounded_and_the_rest_follows_the_answers() -> None:
    bench = Bench(D1)
    publishers = [make_publisher(number) for number in range(WINDOW + 2)]

    effects = bench.started(*publishers)

    requests = [PublishDatum(n + 1, PAY, p) for n, p in enumerate(publishers)]
    assert effects == to_data(D1, *requests[:WINDOW]), "and no digest: not all of it was sent"
    assert not bench.registrations.is_accepted(bench.registration(publishers[-1]))
    bench.registrations.on_accepted(D1, [1, 2])
    assert bench.settle(0.0) == to_data(D1, *requests[WINDOW:], digest_of(*publishers))


# --- refusals -------------------------------------------------------------------------------------


def refuse(bench: Bench, now: float) -> float:
    """Refuse what was sent last; return the pause before it is sent again."""
    request_id = bench.registration().request_id
    assert (
        bench.registrations.on_refused(D1, request_id, now, is_final=False) is bench.registration()
    )
    return bench.next_tick_at() - now


def test_a_registration_that_is_refused_for_now_is_sent_again_after_a_pause() -> None:
    bench = Bench(D1)
    bench.tick(10.0)
    bench.publish(ONE)
    bench.settle(10.0)

    pause = refuse(bench, 10.0)

    assert 0.05 <= pause <= 0.1
    bench.publish(TWO)
    assert bench.settle(10.0 + pause / 2) == [], "nothing goes there meanwhile"
    assert not bench.registrations.is_accepted(bench.registration())
    again = [PublishDatum(2, PAY, ONE), PublishDatum(3, PAY, TWO)]
    assert bench.tick(10.0 + pause) == to_data(D1, *again)


def test_pauses_grow_while_a_node_refuses_and_begin_again_when_it_accepts() -> None:
    bench = Bench(D1)
    bench.publish(ONE)
    bench.settle(0.0)
    pauses: list[float] = []
    now = 0.0
    for _ in range(8):
        now += 2.0  # longer than any pause
        bench.tick(now)
        pauses.append(refuse(bench, now))

    assert all(pause <= 2 * pauses[0] * 2**4 for pause in pauses)
    assert max(pauses) > 4 * pauses[0]
    now += 2.0
    bench.tick(now)
    bench.accept_all()
    bench.publish(make_publisher(1, version=2))
    bench.settle(now)
    assert refuse(bench, now) <= 0.1


def test_many_refusals_at_once_are_one_pause() -> None:
    bench = Bench(D1)
    bench.tick(0.0)
    bench.publish(ONE, TWO)
    bench.settle(0.0)

    bench.registrations.on_refused(D1, 1, 0.0, is_final=False)
    due = bench.next_tick_at()
    bench.registrations.on_refused(D1, 2, 0.0, is_final=False)

    assert bench.next_tick_at() == due


def test_a_final_refusal_removes_the_registration() -> None:
    bench = Bench(D1)
    bench.started(ONE, TWO)
    registration = bench.registration()

    assert bench.registrations.on_refused(D1, 1, 0.0, is_final=True) is registration

    assert bench.registrations.find(ONE.publisher_id) is None
    assert bench.tick(0.0) == to_data(D1, digest_of(TWO))


@pytest.mark.parametrize(("peer", "request_id"), [(D2, 1), ("d1@0", 1), (D1, 99)])
@pytest.mark.parametrize("is_final", [True, False])
def test_a_refusal_of_something_else_changes_nothing(
    peer: str, request_id: int, *, is_final: bool
) -> None:
    bench = Bench(D1, D2)
    bench.registrations.publish(names_at(bench.links, D1)[0], ONE, 7)
    bench.settle(0.0)

    assert bench.registrations.on_refused(peer, request_id, 0.0, is_final=is_final) is None

    assert bench.registrations.on_accepted(D1, [1]) == [bench.registration()]


# --- connections and ring -------------------------------------------------------------------------


def test_a_request_under_way_when_a_connection_broke_is_sent_over_the_next() -> None:
    bench = Bench(D1)
    bench.started(ONE, TWO)
    bench.registrations.on_accepted(D1, [1])

    bench.lose()
    assert bench.settle(0.0) == []
    assert bench.registrations.on_accepted(D1, [2]) == [], "an answer of before"
    bench.come_up()

    again = PublishDatum(3, PAY, TWO)
    assert bench.settle(0.0) == to_data(D1, again, digest_of(ONE, TWO))


def test_a_broken_connection_to_an_unknown_data_node_changes_nothing() -> None:
    bench = Bench(D1)
    bench.started(ONE)

    bench.queues.on_node_lost("d9@9")

    assert bench.settle(0.0) == []


def test_a_new_data_node_gets_exactly_what_moved_to_it() -> None:
    bench = Bench(D1)
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
    assert bench.registrations.on_accepted(D1, [1, 2]) == [bench.registration(ONE)], (
        "D1 does not own TWO"
    )
    assert not bench.registrations.is_accepted(bench.registration(TWO))


def test_an_accepted_registration_is_sent_again_to_another_incarnation_of_its_node() -> None:
    """It holds nothing of what its predecessor accepted."""
    bench = Bench(D1)
    bench.started(ONE)
    bench.accept_all()

    bench.follow("d1@4")
    bench.come_up("d1@4")

    assert not bench.registrations.is_accepted(bench.registration())
    assert bench.settle(0.0) == to_data(
        "d1@4", PublishDatum(2, PAY, ONE), digest_of(ONE, ring_epoch=4)
    )
    assert bench.registrations.on_accepted(D1, [2]) == []


def test_removals_move_with_the_ring_too() -> None:
    bench = Bench(D1)
    bench.started(ONE)
    bench.registrations.withdraw(bench.registration(), Cause.BYE)
    bench.settle(0.0)

    bench.follow(D2)
    bench.come_up(D2)

    gone = UnpublishDatum(3, PAY, (removal(ONE, Cause.BYE),))
    assert bench.settle(0.0) == to_data(D2, gone, digest_of(ring_epoch=4))


def test_a_registration_without_a_primary_waits_for_one() -> None:
    bench = Bench()
    bench.publish(ONE)
    assert bench.settle(0.0) == []
    assert not bench.registrations.is_accepted(bench.registration())

    bench.follow(D1)
    bench.come_up()

    assert bench.settle(0.0) == to_data(D1, PublishDatum(1, PAY, ONE), digest_of(ONE, ring_epoch=4))


def test_when_the_last_data_node_goes_everything_is_pending_again() -> None:
    bench = Bench(D1)
    bench.started(ONE)
    bench.accept_all()

    bench.follow()

    assert not bench.registrations.is_accepted(bench.registration())
    assert bench.queues.pending_count == 1
    assert bench.settle(0.0) == bench.tick(0.0) == []


# --- incarnations ---------------------------------------------------------------------------------


def test_the_first_incarnation_answers_for_what_was_published_before_it() -> None:
    bench = Bench(D1, session=NO_INCARNATION)
    bench.publish(make_publisher(1, session=NO_INCARNATION))
    bench.registrations.on_incarnation(S1)

    assert bench.settle(0.0) == to_data(D1, PublishDatum(1, PAY, ONE), digest_of(ONE))


def test_a_session_without_incarnation_sends_no_digest() -> None:
    bench = Bench(D1, session=NO_INCARNATION)

    assert bench.tick(0.0) == []


def test_a_new_incarnation_does_not_answer_for_what_the_former_one_registered() -> None:
    """Its client may have gone elsewhere: it has to say it again."""
    bench = Bench(D1)
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
    bench = Bench(D1)
    bench.started(ONE)
    bench.registrations.withdraw(bench.registration(), Cause.BYE)

    bench.registrations.on_incarnation(S1_AGAIN)

    gone = UnpublishDatum(2, PAY, (removal(ONE, Cause.BYE),))
    assert bench.settle(0.0) == to_data(D1, gone, digest_of())
    assert not bench.registrations.is_accepted(bench.registration())
    bench.registrations.on_accepted(D1, [2])
    assert len(bench.registrations) == 0


def test_a_refused_registration_of_a_former_incarnation_is_not_sent_again() -> None:
    bench = Bench(D1)
    bench.started(ONE)
    bench.registrations.on_incarnation(S1_AGAIN)
    bench.tick(0.0)

    bench.registrations.on_refused(D1, 1, 0.0, is_final=False)

    assert bench.tick(0.5) == []
    assert not bench.registrations.is_accepted(bench.registration())


# --- digests and repair ---------------------------------------------------------------------------


def test_digests_are_sent_once_in_a_while_and_when_a_connection_stands() -> None:
    bench = Bench(D1)
    assert bench.tick(10.0) == to_data(D1, digest_of())
    assert bench.next_tick_at() == 10.0 + CONFIG.digest_seconds

    assert bench.tick(10.5) == []
    assert bench.tick(11.0) == to_data(D1, digest_of())
    bench.lose()
    assert bench.tick(12.0) == []
    bench.come_up()
    assert bench.settle(12.1) == to_data(D1, digest_of())


def differ(bench: Bench, times: int = 1, *, is_equal: bool = False) -> list[Effect]:
    effects: list[Effect] = []
    for _ in range(times):
        effects += bench.reconciliation.on_digest_compared(D1, DigestCompared(3, is_equal))
    return effects


def started_repair(count: int) -> Log:
    fields: dict[str, str | int | float] = {"node": D1, "publishers": count}
    return Log(logging.WARNING, "session.repair.started", fields)


def test_a_digest_that_differs_twice_in_succession_starts_a_comparison() -> None:
    bench = Bench(D1)
    bench.started(ONE, TWO)

    assert differ(bench) == []
    pairs = ((ONE.publisher_id, 1), (TWO.publisher_id, 1))
    assert differ(bench) == [started_repair(2), *to_data(D1, ComparePublishers(0, 255, pairs))]
    assert differ(bench) == [], "and the count begins again"


def test_a_digest_that_was_equal_in_between_starts_nothing() -> None:
    bench = Bench(D1)

    assert differ(bench) + differ(bench, is_equal=True) + differ(bench) == []


@pytest.mark.parametrize(("peer", "ring_epoch"), [(D1, 2), (D1, 4), (D2, 3), ("", 2)])
def test_a_comparison_under_another_ring_or_with_another_node_is_ignored(
    peer: str, ring_epoch: int
) -> None:
    bench = Bench(D1)

    for _ in range(3):
        assert (
            bench.reconciliation.on_digest_compared(
                peer, DigestCompared(ring_epoch, is_equal=False)
            )
            == []
        )


def test_only_what_this_incarnation_answers_for_on_that_node_is_compared() -> None:
    bench = Bench(D1, D2)
    here, there = names_at(bench.links, D1)[0], names_at(bench.links, D2)[0]
    withdrawn, old = make_publisher(3), make_publisher(4, session=Incarnation(1, "s1"))
    for name, publisher in ((here, ONE), (there, TWO), (here, withdrawn), (here, old)):
        bench.registrations.publish(name, publisher, 7)
    bench.registrations.withdraw(bench.registration(withdrawn), Cause.BYE)

    pairs = ((ONE.publisher_id, 1),)
    assert differ(bench, 2) == [started_repair(1), *to_data(D1, ComparePublishers(0, 255, pairs))]


def test_a_comparison_is_cut_into_records_within_the_limits() -> None:
    """Nobody but a hostile client makes so many ids of one byte; what is over is left out."""
    bench = Bench(D1)
    first = [make_publisher(number) for number in range(200)]
    crowd = [
        make_publisher(publisher_id=b"\x02" + number.to_bytes(15))
        for number in range(Limits.ids_per_record_max + 1)
    ]
    bench.publish(*first, *crowd)

    effects = differ(bench, 2)

    low = ComparePublishers(0, 1, tuple((p.publisher_id, 1) for p in first))
    high = ComparePublishers(2, 255, tuple((p.publisher_id, 1) for p in crowd[:-1]))
    assert effects == [started_repair(200 + len(crowd)), *to_data(D1, low, high)]


def test_a_publisher_that_a_data_node_lacks_is_sent_again_once() -> None:
    bench = Bench(D1, D2)
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
    bench = Bench(D1)
    bench.started(ONE)
    strays = ((PAY, ONE.publisher_id, 1), (PAY, TWO.publisher_id, 4))

    effects = bench.reconciliation.on_publishers_compared(D1, PublishersCompared((), strays))

    gone = Removal(TWO.publisher_id, 4, Cause.NOT_REPLAYED, S1)
    assert effects == to_data(D1, UnpublishDatum(0, PAY, (gone,)))


class FakeDataNode:
    """Applies what arrives in order, and checks each digest against what it holds."""

    def __init__(self) -> None:
        self.held: dict[bytes, int] = {}
        self.digest_count = 0

    def take(self, effects: list[Effect]) -> list[int]:
        """Apply requests; return their ids."""
        accepted: list[int] = []
        for effect in effects:
            assert isinstance(effect, Send)
            match effect.message:
                case PublishDatum(request_id=request_id, publisher=publisher):
                    assert publisher.session == S1
                    self.held[publisher.publisher_id] = publisher.version
                    accepted.append(request_id)
                case UnpublishDatum(request_id=request_id, removals=removals):
                    for each in removals:
                        self.held.pop(each.publisher_id, None)
                    accepted.append(request_id)
                case CompareDigest() as compare:
                    digest = DigestSum()
                    for publisher_id, version in self.held.items():
                        digest.add(publisher_id, version)
                    assert (compare.count, compare.digest) == (digest.count, digest.value)
                    self.digest_count += 1
        return accepted


class Life:
    """Clients, a session and a data node, at random; what is sent may arrive late or never."""

    ACTIONS = ("publish", "publish", "withdraw", "carry", "carry", "answer", "lose", "wait")

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.bench = Bench(D1)
        self.node = FakeDataNode()
        self.now = 0.0
        self.raised = 0
        self.under_way: list[Effect] = []
        self.answers: list[int] = []

    def act(self) -> None:
        """Let one thing happen, and the turn end."""
        registrations = self.bench.registrations
        publisher = make_publisher(self.rng.randint(1, 3), version=self.raised + 1)
        registration = registrations.find(publisher.publisher_id)
        match self.rng.choice(self.ACTIONS):
            case "publish":
                self.raised += 1
                self.bench.publish(publisher)
            case "withdraw" if registration is not None:
                registrations.withdraw(registration, Cause.UNPUBLISHED)
            case "carry":
                self.answers += self.node.take(self.under_way)
                self.under_way = []
            case "answer":
                registrations.on_accepted(D1, self.answers)
                self.answers = []
            case "lose":
                self.lose()
            case "wait":
                self.now += self.rng.choice([0.1, 1.0])
                self.under_way += self.bench.tick(self.now)
        self.under_way += self.bench.settle(self.now)

    def lose(self) -> None:
        """Break the connection: what is on it is gone, and the next one stands at once."""
        self.under_way, self.answers = [], []
        self.bench.lose()
        self.bench.come_up()


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_a_digest_is_always_that_of_what_was_sent_before_on_the_connection(seed: int) -> None:
    """Whatever is published, withdrawn, answered late, lost with a connection, or timed out."""
    life = Life(Random(seed))
    for _ in range(40):
        life.act()
    bench, node = life.bench, life.node

    life.lose()
    bench.registrations.on_accepted(D1, node.take(bench.settle(life.now)))

    assert node.held == {
        publisher.publisher_id: publisher.version
        for publisher in bench.registrations.answered_for_at(D1)
    }
    assert node.digest_count > 0
    assert bench.queues.pending_count == 0


def test_a_data_node_that_comes_up_before_the_ring_names_it_gets_a_digest() -> None:
    bench = Bench(D1, is_up=False)
    bench.links.follow(make_membership(D1, D2, epoch=4))
    bench.links.on_peer_up(PeerUp(Link.DATA, D2))

    bench.queues.request_digest(D2)

    assert bench.settle(0.0) == to_data(D2, digest_of(ring_epoch=4))
