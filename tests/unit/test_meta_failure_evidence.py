"""Three pieces of evidence must agree before a node departs at once; each is forgotten."""

import pytest

from zreg.meta.members.memory.failure_evidence import CHECKS_MAX, FailureEvidence
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status

LEASE = 3.0
D1 = Incarnation(2, "d1")


def member(incarnation: Incarnation) -> Member:
    address = f"tcp://{incarnation.node_id}:1"
    return Member(incarnation.node_id, Role.DATA, incarnation.epoch, Status.WORKING, address)


def membership(*incarnations: Incarnation) -> Membership:
    return Membership(b"c", 9, 9, RingParameters(), tuple(map(member, incarnations)))


MEMBERSHIP = membership(D1)


def both(evidence: FailureEvidence, gone: Incarnation = D1, now: float = 0.0) -> None:
    evidence.note_reported(gone, now)
    evidence.note_closed(gone, now)


def test_a_report_alone_and_a_closed_connection_alone_prove_nothing() -> None:
    evidence = FailureEvidence(LEASE)
    evidence.note_reported(D1, 0.0)
    assert evidence.begin_checks(MEMBERSHIP, 0.0) == []
    assert len(evidence) == 1

    evidence = FailureEvidence(LEASE)
    evidence.note_closed(D1, 0.0)
    assert evidence.begin_checks(MEMBERSHIP, 0.0) == []


@pytest.mark.parametrize("report_first", [True, False])
def test_a_report_and_a_closed_connection_in_any_order_begin_a_check(*, report_first: bool) -> None:
    evidence = FailureEvidence(LEASE)
    first, second = evidence.note_reported, evidence.note_closed
    if not report_first:
        first, second = second, first
    first(D1, 0.0)
    second(D1, LEASE)

    assert evidence.begin_checks(MEMBERSHIP, LEASE) == [("d1@2", member(D1))]
    assert evidence.begin_checks(MEMBERSHIP, LEASE) == [], "it is being looked at"
    assert evidence.conclude("d1@2", LEASE, is_refused=True) == D1
    assert len(evidence) == 0


@pytest.mark.parametrize("report_first", [True, False])
def test_evidence_older_than_a_lease_is_forgotten(*, report_first: bool) -> None:
    evidence = FailureEvidence(LEASE)
    first, second = evidence.note_reported, evidence.note_closed
    if not report_first:
        first, second = second, first
    first(D1, 0.0)
    second(D1, LEASE + 0.01)

    assert evidence.begin_checks(MEMBERSHIP, LEASE + 0.01) == []
    assert len(evidence) == 1


def test_a_check_that_ends_after_a_lease_proves_nothing() -> None:
    evidence = FailureEvidence(LEASE)
    both(evidence)
    evidence.begin_checks(MEMBERSHIP, 0.0)

    assert evidence.conclude("d1@2", LEASE + 0.01, is_refused=True) is None


def test_a_check_that_never_ends_makes_room_after_a_lease() -> None:
    evidence = FailureEvidence(LEASE)
    both(evidence)
    evidence.begin_checks(MEMBERSHIP, 0.0)
    both(evidence, now=LEASE)
    assert evidence.begin_checks(MEMBERSHIP, LEASE) == []

    assert evidence.begin_checks(MEMBERSHIP, 2 * LEASE + 0.01) == []
    both(evidence, now=2 * LEASE + 0.01)
    assert evidence.begin_checks(MEMBERSHIP, 2 * LEASE + 0.01) == [("d1@2", member(D1))]


def test_a_member_that_is_reached_or_silent_stays_and_is_not_checked_again() -> None:
    evidence = FailureEvidence(LEASE)
    both(evidence)
    evidence.begin_checks(MEMBERSHIP, 0.0)

    assert evidence.conclude("d1@2", 0.1, is_refused=False) is None
    evidence.note_reported(D1, 0.1)
    assert evidence.begin_checks(MEMBERSHIP, 0.1) == []


def test_a_renewal_clears_the_evidence_also_during_a_check() -> None:
    evidence = FailureEvidence(LEASE)
    both(evidence)
    evidence.begin_checks(MEMBERSHIP, 0.0)
    evidence.clear(D1)

    assert evidence.conclude("d1@2", 0.1, is_refused=True) is None
    evidence.note_reported(D1, 0.1)
    assert evidence.begin_checks(MEMBERSHIP, 0.1) == []


def test_a_new_leadership_begins_without_evidence() -> None:
    evidence = FailureEvidence(LEASE)
    both(evidence)
    evidence.begin_checks(MEMBERSHIP, 0.0)
    evidence.begin([], 0.0)

    assert len(evidence) == 0
    assert evidence.conclude("d1@2", 0.1, is_refused=True) is None


def test_an_unexpected_or_repeated_result_of_a_check_changes_nothing() -> None:
    evidence = FailureEvidence(LEASE)
    assert evidence.conclude("d1@2", 0.0, is_refused=True) is None
    both(evidence)
    assert evidence.conclude("d1@2", 0.0, is_refused=True) is None
    evidence.begin_checks(MEMBERSHIP, 0.0)
    assert evidence.conclude("d1@2", 0.0, is_refused=True) == D1
    assert evidence.conclude("d1@2", 0.0, is_refused=True) is None


@pytest.mark.parametrize("now_members", [(), (Incarnation(5, "d1"),)])
def test_only_living_members_are_checked(now_members: tuple[Incarnation, ...]) -> None:
    evidence = FailureEvidence(LEASE)
    both(evidence)

    assert evidence.begin_checks(membership(*now_members), 0.0) == []


def test_a_bounded_number_of_members_is_checked_at_a_time() -> None:
    evidence = FailureEvidence(LEASE)
    many = [Incarnation(n, f"d{n}") for n in range(1, CHECKS_MAX + 3)]
    for incarnation in many:
        both(evidence, incarnation)

    names = [name for name, _ in evidence.begin_checks(membership(*many), 0.0)]
    assert names == [str(incarnation) for incarnation in many[:CHECKS_MAX]]
    assert evidence.begin_checks(membership(*many), 0.0) == []
    evidence.conclude(names[0], 0.0, is_refused=False)
    assert [n for n, _ in evidence.begin_checks(membership(*many), 0.0)] == [str(many[CHECKS_MAX])]
