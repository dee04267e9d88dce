"""A connection belongs to one incarnation, and an incarnation to one connection."""

from zreg.meta.members.memory.lease_holders import LeaseHolders
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status

LEASE = 3.0
S1, S2, S3 = (Incarnation(number, f"s{number}") for number in (1, 2, 3))


def member(incarnation: Incarnation, status: Status, role: Role = Role.SESSION) -> Member:
    return Member(incarnation.node_id, role, incarnation.epoch, status, "tcp://x:1")


def holders() -> LeaseHolders:
    return LeaseHolders(LEASE, now=0.0)


def test_a_renewal_extends_the_lease_and_names_the_connection() -> None:
    found = holders()
    found.renew(S1, b"a", 1.0)

    assert (found.peer_of(S1), found.holder_of(b"a")) == (b"a", S1)
    assert len(found.leases) == 1


def test_a_node_that_renews_over_another_connection_leaves_the_former_one() -> None:
    found = holders()
    found.renew(S1, b"a", 1.0)
    found.renew(S1, b"b", 1.0)

    assert (found.peer_of(S1), found.holder_of(b"a"), found.holder_of(b"b")) == (b"b", None, S1)


def test_a_connection_that_another_node_uses_is_no_longer_that_of_the_first() -> None:
    found = holders()
    found.renew(S1, b"a", 1.0)
    found.renew(S2, b"a", 1.0)

    assert (found.peer_of(S1), found.peer_of(S2)) == (None, b"a")
    assert found.on_peer_lost(b"a") == S2


def test_a_lost_connection_leaves_the_lease() -> None:
    found = holders()
    found.renew(S1, b"a", 1.0)

    assert found.on_peer_lost(b"a") == S1
    assert found.on_peer_lost(b"a") is None
    assert found.peer_of(S1) is None
    assert len(found.leases) == 1

    found.drop(S1)
    assert len(found.leases) == 0


def test_a_new_leader_gives_each_living_node_a_lease_and_knows_no_connection() -> None:
    found = holders()
    found.renew(S1, b"a", 1.0)
    members = (
        member(S1, Status.WORKING),
        member(S2, Status.DEPARTED),
        member(S3, Status.WORKING, Role.META),
    )

    found.begin(Membership(b"c", 9, 0, RingParameters(), members), 2.0)

    assert list(found.leases) == [S1]
    assert (found.peer_of(S1), found.holder_of(b"a")) == (None, None)
