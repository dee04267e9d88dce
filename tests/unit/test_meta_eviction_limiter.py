"""A quarter of a role may be evicted within a lease, and never its last member."""

import pytest

from zreg.config import Config
from zreg.meta.members.departures.eviction_limiter import EvictionLimiter
from zreg.model import Member, Membership, RingParameters, Role, Status

CONFIG = Config()
LEASE = CONFIG.lease_seconds


def membership(count: int, status: Status = Status.WORKING) -> Membership:
    members = (
        Member(f"s{number}", Role.SESSION, number, status, "tcp://x:1") for number in range(count)
    )
    return Membership(b"c", 9, 0, RingParameters(), tuple(members))


@pytest.mark.parametrize(
    ("living", "departing", "may_evict"),
    [(1, 0, False), (2, 0, True), (2, 1, False), (4, 1, False), (8, 1, True), (8, 2, False)],
)
def test_the_share_counts_the_departures_under_way(
    living: int, departing: int, *, may_evict: bool
) -> None:
    limiter = EvictionLimiter(CONFIG)

    found = limiter.may_evict(membership(living), Role.SESSION, 0.0, departing_count=departing)

    assert found is may_evict


def test_evictions_count_for_a_lease_and_for_their_role() -> None:
    limiter, four = EvictionLimiter(CONFIG), membership(4)
    limiter.note_silent(Role.DATA, 0.0)
    assert limiter.may_evict(four, Role.SESSION, 0.0)
    limiter.note_silent(Role.SESSION, 0.0)

    assert not limiter.may_evict(four, Role.SESSION, LEASE - 0.1)
    assert limiter.may_evict(four, Role.SESSION, LEASE)
