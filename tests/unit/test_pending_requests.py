"""Pending requests: an answer of the peer that was asked, and only that, reaches the owner."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zreg.primitives.pending_requests import PendingRequests


def test_ids_are_never_used_twice() -> None:
    pending: PendingRequests[str, str] = PendingRequests()

    assert [pending.next_id() for _ in range(3)] == [1, 2, 3]


def test_an_answer_ends_its_request_and_returns_its_owner() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("d1", 1, "fetch")

    assert pending.owner("d1", 1) == "fetch"
    assert pending.take("d1", 1) == "fetch"
    assert pending.take("d1", 1) is None
    assert len(pending) == 0


def test_an_answer_from_another_peer_ends_nothing() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("d1", 1, "fetch")

    assert pending.owner("d2", 1) is None
    assert pending.take("d2", 1) is None
    assert pending.take("d1", 1) == "fetch"


def test_one_request_can_go_to_several_peers() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("d1", 1, "listing")
    pending.add("d2", 1, "listing")

    assert pending.take("d1", 1) == "listing"
    assert pending.count("d1") == 0
    assert pending.count("d2") == 1


def test_a_request_without_a_timeout_never_expires() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("d1", 1, "publish", now=1.0)

    assert pending.next_deadline_at() is None
    assert pending.take_expired(1e9) == []
    assert pending.take("d1", 1) == "publish"


def test_requests_expire_at_their_deadlines() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("d1", 1, "slow", now=0.0, timeout_seconds=2.0)
    pending.add("d1", 2, "quick", now=0.0, timeout_seconds=1.0)
    pending.add("d2", 3, "quick too", now=0.0, timeout_seconds=1.0)

    assert pending.next_deadline_at() == 1.0
    assert pending.take_expired(0.5) == []
    assert pending.take_expired(1.0) == [("d1", 2, "quick"), ("d2", 3, "quick too")]
    assert pending.next_deadline_at() == 2.0


def test_an_answered_request_leaves_no_deadline_behind() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("d1", 1, "one", now=0.0, timeout_seconds=1.0)
    pending.add("d1", 2, "two", now=0.5, timeout_seconds=1.0)
    pending.take("d1", 1)

    assert pending.next_deadline_at() == 1.5
    pending.take("d1", 2)
    assert pending.next_deadline_at() is None


def test_adding_again_starts_the_time_anew() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("d1", 1, "parts", now=0.0, timeout_seconds=1.0)
    pending.add("d1", 1, "parts", now=0.7, timeout_seconds=1.0)

    assert pending.take_expired(1.0) == []
    assert pending.take_expired(1.7) == [("d1", 1, "parts")]


def test_a_request_that_is_sent_again_keeps_its_deadline() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("m1", 1, "early", now=0.0, timeout_seconds=1.0)
    pending.add("m1", 2, "late", now=0.5, timeout_seconds=1.0)
    (_, early), (_, late) = pending.take_all("m1")

    pending.add("m2", 3, early, now=0.0, timeout_seconds=1.0)
    pending.add("m2", 4, late, now=0.5, timeout_seconds=1.0)

    assert pending.next_deadline_at() == 1.0
    assert pending.take_expired(1.0) == [("m2", 3, "early")]
    assert pending.take_expired(1.5) == [("m2", 4, "late")]


def test_the_pending_requests_are_gone_through_peer_by_peer() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    pending.add("d1", 1, "fetch")
    pending.add("d2", 2, "listing")
    pending.add("d1", 3, "fetch")

    assert list(pending) == [("d1", 1, "fetch"), ("d1", 3, "fetch"), ("d2", 2, "listing")]


def test_a_lost_peer_gives_its_requests_back_in_order() -> None:
    pending: PendingRequests[str, str] = PendingRequests()
    for request_id in (3, 1, 2):
        pending.add("d1", request_id, f"owner {request_id}", now=0.0, timeout_seconds=1.0)
    pending.add("d2", 4, "other", now=0.0, timeout_seconds=1.0)

    assert [request_id for request_id, _ in pending.take_all("d1")] == [3, 1, 2]
    assert pending.take_all("d1") == []
    assert pending.take_expired(1.0) == [("d2", 4, "other")]


class PendingMachine(RuleBasedStateMachine):
    """Compares the table with a plain dict of deadlines."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: PendingRequests[str, int] = PendingRequests()
        self.model: dict[tuple[str, int], float | None] = {}
        self.now = 0.0

    @rule(
        peer=st.sampled_from(["d1", "d2"]),
        request_id=st.integers(1, 5),
        timeout=st.sampled_from([None, 1.0, 2.0]),
        seconds_ago=st.sampled_from([0.0, 0.25, 0.75]),
    )
    def add(self, peer: str, request_id: int, timeout: float | None, seconds_ago: float) -> None:
        now = self.now - seconds_ago
        self.pending.add(peer, request_id, request_id, now=now, timeout_seconds=timeout)
        self.model[peer, request_id] = None if timeout is None else now + timeout

    @rule(peer=st.sampled_from(["d1", "d2"]), request_id=st.integers(1, 5))
    def take(self, peer: str, request_id: int) -> None:
        is_pending = self.model.pop((peer, request_id), "absent") != "absent"
        assert self.pending.take(peer, request_id) == (request_id if is_pending else None)

    @rule(peer=st.sampled_from(["d1", "d2"]))
    def lose(self, peer: str) -> None:
        lost = {request_id for of, request_id in self.model if of == peer}
        self.model = {key: at for key, at in self.model.items() if key[0] != peer}
        assert {request_id for request_id, _ in self.pending.take_all(peer)} == lost

    @rule(seconds=st.sampled_from([0.25, 1.0, 3.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = {key for key, at in self.model.items() if at is not None and at <= self.now}
        self.model = {key: at for key, at in self.model.items() if key not in due}
        expired = self.pending.take_expired(self.now)
        assert {(peer, request_id) for peer, request_id, _ in expired} == due
        assert len(expired) == len(due)

    @invariant()
    def agrees(self) -> None:
        assert len(self.pending) == len(self.model)
        assert {(peer, request_id) for peer, request_id, _ in self.pending} == set(self.model)
        deadlines = [at for at in self.model.values() if at is not None]
        assert self.pending.next_deadline_at() == min(deadlines, default=None)


TestPendingMachine = PendingMachine.TestCase
