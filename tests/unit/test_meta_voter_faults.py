"""Faults while meta nodes change: late messages, lost journals, peers that are behind."""

from random import Random

import pytest
from meta_fakes import (
    CONFIG,
    NAMES,
    SESSION,
    Cluster,
    change,
    identity_of,
    meta_member,
    refusal,
    running,
)
from msgspec.structs import replace

from zreg.effects import HandOver, Link, PeerIncompatible
from zreg.errors import (
    DeniedError,
    LimitError,
    NotReadyError,
    UnknownNodeError,
)
from zreg.meta.core import MetaCore
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.group.recovery import recovery
from zreg.raft.ready import Persisted
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import Join
from zreg.wire.records.meta_messages import (
    AddMeta,
    FetchMetaNodes,
    IntroduceMeta,
    MetaDeclined,
    MetaIntroduced,
    MetaNodesReply,
    RemoveMeta,
)
from zreg.wire.records.raft_messages import AppendEntries, RequestVote


def late_vote(cluster: Cluster, sender: str, receiver: str) -> RequestVote:
    """Return the vote request of a node that got an order to take over late."""
    raft = cluster.cores[receiver].raft_driver.raft
    return RequestVote(
        sender=sender,
        receiver=receiver,
        term=raft.term + 1,
        sequence=1,
        last_index=raft.log.last_index - 1,
        last_term=raft.term,
        is_pre_vote=False,
        is_transfer=True,
    )


def test_a_removed_node_that_stands_for_election_late_must_introduce_itself() -> None:
    cluster = running(("m1", "m2"))
    last, gone = cluster.leader(), cluster.followers()[0]
    cluster.stop(gone)
    change(cluster, last, RemoveMeta, 7, gone)
    cluster.run(0.2)
    assert cluster.answers() == [Accepted((7,))]

    cluster.give(last, Link.RAFT_ANSWER, b"request", late_vote(cluster, gone, last))

    assert cluster.leader() == last
    (answer,) = [send.message for _, send in cluster.sent if send.link is Link.RAFT_ANSWER]
    assert isinstance(answer, Refused)
    assert "has not said who it is" in answer.detail


def test_a_lone_node_that_had_to_step_down_leads_again() -> None:
    """A node that knows a later configuration may ask, also a lone node."""
    cluster = running(("m1",))
    unknown = IntroduceMeta(1, "m9", "m1", "tcp://m9:9611", "x", "", b"", 1_000, 1_000)
    cluster.give("m1", Link.RAFT_ANSWER, b"request", unknown)
    term = cluster.cores["m1"].raft_driver.raft.term

    cluster.give("m1", Link.RAFT_ANSWER, b"request", late_vote(cluster, "m9", "m1"))
    assert not cluster.cores["m1"].is_leading
    cluster.run(3.0)

    assert cluster.leader() == "m1"
    assert cluster.cores["m1"].raft_driver.raft.term > term


def first_entry(cluster: Cluster, leader: str, receiver: str) -> AppendEntries:
    """Return the leader's first entry for a node that is far behind."""
    raft = cluster.cores[leader].raft_driver.raft
    return AppendEntries(
        sender=leader,
        receiver=receiver,
        term=raft.term,
        sequence=1,
        prev_index=0,
        prev_term=0,
        commit_index=1,
        entries=raft.log.entries_between(0, 1),
    )


def adding_while_one_is_away() -> tuple[Cluster, str]:
    """Return a cluster whose new node m4 has one entry, and a peer that does not know m4."""
    cluster = running()
    leader = cluster.leader()
    away, other = cluster.followers()
    cluster.cut = {away}
    change(cluster, leader, AddMeta, 7, "m4", "tcp://m4:9611")
    cluster.run(0.2, leader, other)
    cluster.cut = {leader, other}
    me = cluster.cores[leader].raft_driver.peers
    cluster.start("m4", {})
    cluster.give("m4", Link.RAFT_ANSWER, b"1", me._introduction_requests.send("m4", 0.0).message)  # type: ignore[attr-defined]
    cluster.give("m4", Link.RAFT_ANSWER, b"2", first_entry(cluster, leader, "m4"))
    assert cluster.cores["m4"].raft_driver.raft.configuration.voters == NAMES
    return cluster, away


def failed(cluster: Cluster) -> set[str]:
    return set(cluster.failed())


def test_a_new_node_does_not_end_because_a_peer_does_not_know_it_yet() -> None:
    cluster, away = adding_while_one_is_away()

    cluster.run(0.2, away, "m4")

    assert "m4 was removed" in cluster.cores["m4"].raft_driver.peers.missing()[away]
    assert failed(cluster) == set()
    cluster.wake(*NAMES)
    cluster.run(3.0)
    assert cluster.cores[cluster.leader()].raft_driver.raft.configuration.voters == (*NAMES, "m4")
    assert failed(cluster) == set()


def test_a_new_node_does_not_end_by_one_claim_while_there_is_no_leader() -> None:
    cluster, away = adding_while_one_is_away()

    cluster.run(4.0, away, "m4")

    assert cluster.cores["m4"].raft_driver.raft.leader is None
    assert "m4 was removed" in cluster.cores["m4"].raft_driver.peers.missing()[away]
    assert failed(cluster) == set()


def test_a_new_node_that_was_removed_ends_when_a_majority_says_so() -> None:
    cluster, away = adding_while_one_is_away()
    cluster.cut = {"m4"}
    cluster.run(0.5)
    change(cluster, cluster.leader(), RemoveMeta, 8, "m4")
    cluster.run(0.5)
    cluster.cut = set(NAMES) - {away}
    cluster.run(4.0)
    assert failed(cluster) == set()

    cluster.wake(*NAMES, "m4")
    cluster.run(4.0)

    assert failed(cluster) == {"m4"}


def declined(cluster: Cluster, by: str, **changes: int | str) -> MetaDeclined:
    """Return the claim of a peer with a later configuration that m1 was removed."""
    peers = cluster.cores[by].raft_driver.peers
    raft = cluster.cores["m1"].raft_driver.raft
    about = peers.introductions.about_me("m1")
    no = MetaDeclined(0, *about, UnknownNodeError.code, "m1 was removed")
    later = replace(no, configuration_index=raft.configuration_index + 1)
    return replace(later, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, True),
        ({"sender": "m3"}, False),
        ({"founders": "others"}, False),
        ({"cluster_id": b"another"}, False),
        ({"code": DeniedError.code}, False),
        ({"configuration_index": 1}, False),
        ({"configuration_term": 0}, False),
        ({"request_id": 1_000_000}, False),
    ],
)
def test_a_member_ends_when_a_peer_with_a_later_configuration_does_not_know_it(
    changes: dict[str, int | str], *, ends: bool
) -> None:
    cluster = running()
    cluster.cores["m1"].raft_driver.peers.introduce_to_all(cluster.now)

    cluster.give("m1", Link.RAFT_ASK, "m2", declined(cluster, "m2", **changes))

    assert failed(cluster) == ({"m1"} if ends else set())
    assert cluster.cores["m1"].raft_driver.peers.is_up("m2") is ("request_id" in changes)


def test_a_node_being_added_ends_by_a_claim_of_a_later_term() -> None:
    cluster, away = adding_while_one_is_away()
    cluster.run(2.0, away, "m4")
    assert failed(cluster) == set()
    core = cluster.cores["m4"].raft_driver
    about = cluster.cores[away].raft_driver.peers.introductions.about_me("m4")
    no = MetaDeclined(0, *about, UnknownNodeError.code, "m4 was removed")

    cluster.give("m4", Link.RAFT_ASK, away, replace(no, configuration_term=core.raft.term + 1))

    assert failed(cluster) == {"m4"}


def test_a_refused_request_does_not_end_a_node() -> None:
    cluster = running()

    cluster.cut = {"m2"}
    for _ in range(2):
        cluster.give("m1", Link.RAFT_ASK, "m2", Refused(0, UnknownNodeError.code, "who?"))

    assert failed(cluster) == set()
    assert cluster.cores["m1"].raft_driver.peers.missing() == {"m2": "who?"}


def test_a_new_leader_removes_no_node_before_it_has_heard_the_others() -> None:
    """One node is dead, which the new leader does not know yet: it needs the other one."""
    cluster = running()
    former = cluster.leader()
    dead, new = cluster.followers()
    cluster.stop(dead)
    cluster.give(former, Link.LOCAL, "", HandOver())
    cluster.run(0.1)
    assert cluster.leader() == new

    early = refusal(change(cluster, new, RemoveMeta, 7, former))
    cluster.run(1.5)
    late = refusal(change(cluster, new, RemoveMeta, 8, former))

    assert early.code == NotReadyError.code
    assert f"has not heard {dead} yet" in early.detail
    assert late.code == DeniedError.code
    change(cluster, new, RemoveMeta, 9, dead)
    cluster.run(0.2)
    assert cluster.answers() == [Accepted((9,))]


def test_repeated_requests_do_not_keep_a_failed_handover_alive() -> None:
    """The successor is stuck: the leader gives the handover up, however often it is asked."""
    names = tuple(f"m{number}" for number in range(1, 6))
    cluster = running(names)
    leader = cluster.leader()
    stuck = max(cluster.followers())
    cluster.cut = {stuck}
    raft = cluster.cores[leader].raft_driver.raft
    targets = []

    for number in range(20):
        change(cluster, leader, RemoveMeta, number, leader)
        targets.append(raft.status().transfer_target)
        cluster.run(0.2, *(name for name in names if name != stuck))
        if not cluster.cores[leader].is_leading:
            break
        targets.append(raft.status().transfer_target)

    assert targets[0] == stuck
    assert None in targets
    assert not cluster.cores[leader].is_leading


def test_meta_has_at_most_as_many_nodes_as_can_vote() -> None:
    """One more would get the log, and wait for its vote for ever."""
    cluster = running(tuple(f"m{number}" for number in range(1, 8)))

    refused = refusal(change(cluster, cluster.leader(), AddMeta, 8, "m8", "tcp://m8:9611"))

    assert refused.code == LimitError.code
    assert "has its 7 nodes" in refused.detail


def test_a_name_that_no_node_can_have_is_not_added() -> None:
    cluster = running()

    refused = refusal(change(cluster, cluster.leader(), AddMeta, 7, "m 4", "tcp://m4:9611"))

    assert refused.code == DeniedError.code
    assert "'m 4' cannot be used" in refused.detail


def test_no_two_nodes_are_at_one_address() -> None:
    cluster = running()

    refused = refusal(change(cluster, cluster.leader(), AddMeta, 7, "m4", "tcp://m2:9611"))

    assert refused.code == DeniedError.code
    assert "m2 is at m2:9611 already" in refused.detail


def test_a_node_that_founded_a_cluster_by_mistake_is_told_how_to_join() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.start("m4", {"m4": "tcp://m4:9611"})
    cluster.run(2.5)
    change(cluster, leader, AddMeta, 7, "m4", "tcp://m4:9611")
    cluster.run(2.0, *NAMES)
    (reply,) = cluster.request(leader, FetchMetaNodes(1))
    assert isinstance(reply, MetaNodesReply)
    (trouble,) = [node.trouble for node in reply.nodes if node.node_id == "m4"]
    assert "started again with --join, on an empty directory" in trouble

    cluster.stop("m4")
    cluster.start("m4", {}, journal_id="an empty directory")
    cluster.run(4.0)

    raft = cluster.cores["m4"].raft_driver.raft
    assert raft.configuration.voters == (*NAMES, "m4")


def test_a_meta_node_that_has_not_introduced_itself_is_not_shown() -> None:
    """Sessions and data nodes connect to the addresses that are shown."""
    cluster = running()
    leader, other = cluster.leader(), cluster.followers()[0]
    forged = Join(1, meta_member(other, "forged"), b"", 0)
    cluster.sent.clear()
    cluster.cores[leader].raft_driver.peers.introductions._askers.clear()

    cluster.give(leader, Link.RAFT_ANSWER, b"request", forged)
    (answer,) = [send.message for _, send in cluster.sent if send.link is Link.RAFT_ANSWER]
    assert isinstance(answer, Refused)
    assert "has not said who it is" in answer.detail
    member = cluster.cores[leader].membership.living(other)
    assert member is not None
    assert member.process_id == other.encode()


def test_a_node_that_is_not_shown_introduces_itself_again() -> None:
    """The leader has forgotten its introduction, so it refuses to show it."""
    cluster = running()
    leader, other = cluster.leader(), cluster.followers()[0]
    core = cluster.cores[other]
    core._leader.meta_members.member = meta_member(other, "restarted")
    cluster.cores[leader].raft_driver.peers.introductions._askers.clear()

    cluster.run(2.0)

    member = cluster.cores[leader].membership.living(other)
    assert member is not None
    assert member.process_id == b"restarted"


def test_an_abandoned_node_is_no_peer_of_the_recovered_one() -> None:
    """It knows a later configuration, so it may ask; but the other journal is no peer's."""
    cluster = running()
    last, given_up = NAMES[0], cluster.cores[NAMES[1]].raft_driver
    raft = cluster.cores[last].raft_driver.raft
    kept = Persisted(term=raft.term, entries=raft.log.entries_between(0, raft.log.last_index))
    for _ in range(2):
        cluster.give(cluster.leader(), Link.LOCAL, "", HandOver())
        cluster.run(0.3)
    change(cluster, cluster.leader(), AddMeta, 7, "m4", "tcp://m4:9611")
    cluster.run(0.2)
    save = recovery(kept, last, f"tcp://{last}:9611", "another name")
    entries = (*kept.entries, *save.entries)
    first = save.entries[0]
    mine = given_up.raft.log.configuration_position
    assert mine > (first.term, first.index)

    core = MetaCore(
        meta_member(last),
        CONFIG,
        raft=new_raft(last, Persisted(term=save.term, entries=entries), Random(1)),
        identity=identity_of(last, journal_id="another name"),
        cluster_id=b"",
        now=0.0,
    )
    core.start(0.0)
    question = given_up.peers._introduction_requests.send(last, 0.0).message  # type: ignore[attr-defined]
    (sent,) = core.receive(Link.RAFT_ANSWER, b"request", question, 0.0)
    assert isinstance(sent.message, MetaIntroduced)  # type: ignore[attr-defined]
    given_up.peers.on_meta_introduced(last, sent.message, 0.0)  # type: ignore[attr-defined]

    assert core.is_leading
    assert not given_up.peers.is_up(last)
    assert "without the journal that it had" in given_up.peers.missing()[last]


def test_a_meta_node_whose_id_a_session_has_is_not_proposed_again_and_again() -> None:
    """The session joined just before the meta node was added."""
    cluster = running()
    leader = cluster.leader()
    cluster.cut = set(cluster.followers())
    assert cluster.request(leader, Join(1, replace(SESSION, node_id="m4"), b"", 0)) == []
    assert change(cluster, leader, AddMeta, 7, "m4", "tcp://m4:9611") == []
    cluster.cut = set()
    cluster.run(1.0)
    shown = cluster.cores[leader].membership.living("m4")
    assert shown is not None
    assert shown.role is SESSION.role
    cluster.start("m4", {})
    cluster.run(2.0)
    raft = cluster.cores[leader].raft_driver.raft
    assert raft.configuration.voters == (*NAMES, "m4")
    last_index = raft.log.last_index

    cluster.run(1.0)

    assert raft.log.last_index == last_index


def test_a_meta_node_of_another_cluster_is_no_peer_and_is_logged() -> None:
    """The header of its answer names the cluster; the rest is not decoded."""
    cluster = running()
    name, *others = NAMES
    core = cluster.cores[name]
    incompatible = PeerIncompatible(Link.RAFT_ASK, others[0], "it is of cluster 'other'")
    cluster.logged.clear()

    for _ in range(3):
        cluster.give(name, Link.LOCAL, "", incompatible)
    cluster.give(name, Link.LOCAL, "", PeerIncompatible(Link.RAFT_ASK, "m99", "unknown"))

    told = [log for log in cluster.logged if log.event == "raft.peer.refused"]
    assert [dict(log.fields) for log in told] == [
        {"peer": others[0], "detail": "it is of cluster 'other'"}
    ]
    assert core.raft_driver.peers.missing() == {others[0]: "it is of cluster 'other'"}
