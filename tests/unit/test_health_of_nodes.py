"""What session, data and meta nodes list as problems, and when they may be sent work."""

from random import Random

import pytest
from meta_fakes import Cluster, identity_of, meta_member, running
from msgspec.structs import replace
from session_fakes import (
    ALICE,
    CONFIG,
    D1,
    D2,
    META,
    Session,
    make_member,
    make_membership,
)

from zreg.config import Config
from zreg.data.core import DataCore
from zreg.effects import REFUSED, Link, PeerLost, PeerUp
from zreg.errors import NotLeaderError, UnknownNodeError
from zreg.health import Harm, Health
from zreg.membership.leader_link.leader_outage import OUTAGE_SECONDS
from zreg.meta.core import MetaCore
from zreg.meta.group.raft_driver import new_raft
from zreg.model import Incarnation, Membership, RingParameters, Role, Status
from zreg.raft.ready import Persisted
from zreg.session.core import SessionCore
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.membership_messages import MembershipReply

MINE = Incarnation(3, "d1")
# After this time an outage counts as a problem.
LONG = OUTAGE_SECONDS + 0.1


def codes(health: Health) -> dict[str, Harm]:
    """Return the harm of each problem by its code."""
    assert len({problem.code for problem in health.problems}) == len(health.problems)
    return {problem.code: problem.harm for problem in health.problems}


def detail(health: Health, code: str) -> str:
    (found,) = [problem.detail for problem in health.problems if problem.code == code]
    return found


def with_status(membership: Membership, node_id: str, status: Status) -> Membership:
    members = [replace(m, status=status) if m.node_id == node_id else m for m in membership.members]
    return replace(membership, members=tuple(members))


# --- a session ----------------------------------------------------------------------------------


def health(session: Session) -> Health:
    return session.core.health(session.now)


def lose_meta(session: Session, reason: str = REFUSED) -> None:
    session.local(PeerLost(Link.META, META, reason))


def test_a_session_that_works_has_no_problems() -> None:
    session = Session(D1, D2)

    assert health(session) == Health()
    assert health(session).is_ready


def test_a_new_session_without_meta_serves_no_clients_and_says_why_at_once() -> None:
    session = Session()
    assert codes(health(session)) == {"not-admitted": Harm.STOPS_WORK}

    lose_meta(session)

    assert codes(health(session)) == {
        "not-admitted": Harm.STOPS_WORK,
        "meta-unreachable": Harm.DEGRADES,
    }
    assert "knows of no other node: start meta" in detail(health(session), "not-admitted")
    assert f"{META}: refused" in detail(health(session), "meta-unreachable")


def test_a_session_goes_on_without_meta_and_says_so_after_a_while() -> None:
    session = Session(D1)
    lose_meta(session)
    session.now += OUTAGE_SECONDS - 0.1
    assert health(session) == Health(), "an election is no problem"

    session.now += 0.2

    assert codes(health(session)) == {"meta-unreachable": Harm.DEGRADES}
    assert health(session).is_ready
    said = detail(health(session), "meta-unreachable")
    assert "not been reached for 3 s" in said
    assert "meanwhile clients are served and what they publish is accepted" in said


def test_a_session_passes_on_what_a_meta_node_without_a_majority_says() -> None:
    session = Session(D1)
    no = Refused(1, NotLeaderError.code, "2 of its 3 nodes must run: start them")
    session.turn(Link.META, META, no)

    session.now += LONG

    assert codes(health(session)) == {"meta-quorum-missing": Harm.DEGRADES}
    said = detail(health(session), "meta-quorum-missing")
    assert said.startswith("2 of its 3 nodes must run: start them. This has lasted 3 s")
    assert health(session).is_ready


def test_a_session_that_knows_its_cluster_from_its_disk_takes_clients() -> None:
    cached = make_membership(D1)
    member = make_member("s1", 0, Role.SESSION)
    core = SessionCore(member, CONFIG, rng=Random(1), now=0.0, cached=cached)
    core.start(0.0)

    found = core.health(0.0)

    assert codes(found) == {"not-admitted": Harm.DEGRADES, "data-unreachable": Harm.DEGRADES}
    assert "started from the membership on its disk" in detail(found, "not-admitted")
    assert found.is_ready
    core.tick(0.0)
    core.receive(Link.LOCAL, "", PeerLost(Link.META, META, REFUSED), 0.0)
    said = detail(core.health(LONG), "meta-unreachable")
    assert "served what is published; what they publish waits" in said


def test_a_session_without_incarnation_is_sent_no_clients_once_it_sends_its_own_away() -> None:
    session = Session(D1)
    session.turn(Link.META, META, Refused(1, UnknownNodeError.code, "gone"))

    assert codes(health(session)) == {"not-admitted": Harm.DEGRADES}
    assert "not admitted this node (again) yet" in detail(health(session), "not-admitted")
    for _ in range(3):
        session.wait(2.1)
        assert codes(health(session))["not-admitted"] is Harm.STOPS_WORK
    # Meta was silent for more than half a lease, so the session connects again.
    session.local(PeerUp(Link.META, META))
    session.join(make_membership(D1, epoch=9, ring_epoch=3))
    assert health(session) == Health()


def test_a_session_names_the_data_nodes_that_it_does_not_reach() -> None:
    session = Session(D1, D2)
    session.go_down(D2)

    assert codes(health(session)) == {"data-unreachable": Harm.DEGRADES}
    assert "no connection to d2: " in detail(health(session), "data-unreachable")
    assert health(session).is_ready


def test_a_session_says_that_there_is_no_data_node() -> None:
    session = Session()
    session.join(make_membership())

    assert codes(health(session)) == {"no-data-node": Harm.DEGRADES}


def test_a_full_session_is_sent_no_more_clients() -> None:
    session = Session(D1, config=replace(CONFIG, clients_max=1))
    assert health(session) == Health()

    session.greet(ALICE)

    assert codes(health(session)) == {"clients-full": Harm.STOPS_WORK}


@pytest.mark.parametrize(
    ("status", "code"), [(Status.INITIAL, "waiting"), (Status.LEAVING, "leaving")]
)
def test_a_session_that_comes_and_goes_or_leaves_is_sent_no_clients(
    status: Status, code: str
) -> None:
    session = Session(D1)

    session.follow(with_status(make_membership(D1, epoch=4, ring_epoch=3), "s1", status))

    assert codes(health(session)) == {code: Harm.STOPS_WORK}


# --- a data node --------------------------------------------------------------------------------


def make_data(kept: Membership | None = None) -> DataCore:
    core = DataCore(make_member("d1", 0), CONFIG, rng=Random(1), now=0.0, cached=kept)
    core.start(0.0)
    core.tick(0.0)
    core.receive(Link.LOCAL, "", PeerUp(Link.META, META), 0.0)
    return core


def hear(core: DataCore, message: Message, now: float = 0.0) -> None:
    core.receive(Link.META, META, message, now)


def joined(status: Status = Status.WORKING) -> MembershipReply:
    membership = with_status(make_membership("d1@3", D2), "d1", status)
    return MembershipReply(1, membership, MINE)


def test_a_data_node_is_sent_work_while_it_is_a_working_member() -> None:
    core = make_data()
    assert codes(core.health(0.0)) == {"not-admitted": Harm.STOPS_WORK}

    hear(core, joined())

    assert core.health(0.0) == Health()


def test_a_data_node_says_when_its_datums_have_fewer_copies_than_before() -> None:
    core = make_data()
    ring = RingParameters(replica_count=3)
    both = replace(joined().membership, ring=ring)
    hear(core, MembershipReply(1, both, MINE))
    core.tick(2.0)
    one = replace(
        both, epoch=9, ring_epoch=9, members=tuple(m for m in both.members if m.node_id != "d2")
    )
    core.receive(Link.META, META, MembershipReply(0, one), 2.5)
    core.tick(4.0)

    assert codes(core.health(4.0))["copies-missing"] is Harm.DEGRADES
    assert "at most 1 of 2 copies" in detail(core.health(4.0), "copies-missing")


def test_a_data_node_that_came_and_went_too_often_waits() -> None:
    core = make_data()

    hear(core, joined(Status.INITIAL))

    assert codes(core.health(0.0)) == {"waiting": Harm.STOPS_WORK}


def test_a_data_node_works_on_without_meta() -> None:
    core = make_data()
    hear(core, joined())
    core.receive(Link.LOCAL, "", PeerLost(Link.META, META, REFUSED), 1.0)

    found = core.health(1.0 + LONG)

    assert codes(found) == {"meta-unreachable": Harm.DEGRADES}
    assert found.is_ready
    assert "takes writes and answers as before" in detail(found, "meta-unreachable")


def test_a_data_node_that_started_from_its_disk_serves_no_requests() -> None:
    core = make_data(make_membership(D1))
    core.receive(Link.LOCAL, "", PeerLost(Link.META, META, REFUSED), 1.0)

    found = core.health(1.0)

    assert codes(found) == {"not-admitted": Harm.STOPS_WORK, "meta-unreachable": Harm.DEGRADES}
    assert "holds nothing and serves no requests" in detail(found, "meta-unreachable")


# --- a meta node --------------------------------------------------------------------------------


def of_meta(cluster: Cluster, name: str) -> Health:
    return cluster.cores[name].health(cluster.now)


def test_meta_nodes_that_agree_have_no_problems() -> None:
    cluster = running()

    assert {of_meta(cluster, name) for name in cluster.cores} == {Health()}


def test_a_meta_node_that_is_alone_has_no_problems() -> None:
    cluster = running(("m1",))

    assert of_meta(cluster, "m1") == Health()


def test_a_missing_meta_node_is_named_with_how_many_more_may_fail() -> None:
    cluster = running()
    leader, gone, other = cluster.leader(), *cluster.followers()
    cluster.stop(gone)

    for name in (leader, other):
        found = of_meta(cluster, name)
        assert codes(found) == {"meta-node-missing": Harm.DEGRADES}
        said = detail(found, "meta-node-missing")
        assert f"no connection to {gone} (not reached): as far as it sees, 0 more of meta's" in said
        assert found.is_ready


def test_a_meta_node_without_a_majority_is_not_ready_and_says_what_to_do() -> None:
    cluster = running()
    last, *gone = cluster.followers()[0], cluster.leader(), cluster.followers()[1]
    for name in gone:
        cluster.stop(name)
    cluster.run(1.0)
    assert codes(of_meta(cluster, last)) == {
        "meta-electing": Harm.STOPS_WORK,
        "meta-node-missing": Harm.DEGRADES,
    }

    cluster.run(4.0)

    found = of_meta(cluster, last)
    assert codes(found) == {"meta-quorum-missing": Harm.STOPS_WORK}
    said = detail(found, "meta-quorum-missing")
    assert "2 of its 3 nodes must run and reach each other" in said
    assert all(name in said for name in gone)
    assert "start them, or check the network" in said
    assert "clients are served as before" in said


def test_a_leader_that_has_not_applied_what_earlier_ones_committed_is_not_ready() -> None:
    cluster = running()
    core = cluster.cores[cluster.leader()]

    core.raft_driver._applied_term -= 1

    assert codes(core.health(0.0)) == {"meta-electing": Harm.STOPS_WORK}


def test_a_meta_node_that_waits_to_be_added_says_how() -> None:
    core = MetaCore(
        meta_member("m4"),
        Config(),
        raft=new_raft("m4", Persisted(), Random(1)),
        identity=identity_of("m4", peers={}),
        cluster_id=b"m4" * 8,
        now=0.0,
    )
    core.start(0.0)

    found = core.health(0.0)

    assert codes(found) == {"not-added": Harm.STOPS_WORK}
    assert "zreg meta add m4=" in detail(found, "not-added")
