"""Meta nodes are added and removed one at a time, and get the log before the vote."""

import pytest
from meta_fakes import CLIENT, NAMES, PEERS, SESSION, Cluster, change, meta_member, refusal, running
from msgspec.structs import replace

from zreg.effects import Link, PeerLost, PeerUp, Stop
from zreg.errors import (
    DeniedError,
    LimitError,
    NotLeaderError,
    NotReadyError,
    VersionMismatchError,
)
from zreg.membership.cluster_member import NodeFailed
from zreg.meta.state.member_commands import RECOVERY_EPOCHS
from zreg.meta.state.meta_state import MetaState
from zreg.model import Member, Role, Status
from zreg.raft.errors import OverloadedError
from zreg.wire.log_commands import AdmitMeta, DropMeta, Found, Recover
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import FetchMembership, Join, MembershipReply
from zreg.wire.records.meta_messages import (
    AddMeta,
    FetchMetaNodes,
    MetaIntroduced,
    MetaNodesReply,
    MetaNodeState,
    RemoveMeta,
)
from zreg.wire.records.settings_messages import FetchSettings, SetSetting, SettingsReply

M4 = "tcp://m4:9611"


def voters(cluster: Cluster) -> tuple[str, ...]:
    return cluster.cores[cluster.leader()].raft_driver.raft.configuration.voters


def shown(cluster: Cluster) -> list[str]:
    membership = cluster.cores[cluster.leader()].membership
    return [member.node_id for member in membership.of(Role.META)]


def nodes(cluster: Cluster) -> dict[str, MetaNodeState]:
    (reply,) = cluster.request(cluster.leader(), FetchMetaNodes(1))
    assert isinstance(reply, MetaNodesReply)
    return {node.node_id: node.state for node in reply.nodes}


def test_the_journals_of_all_founders_are_named() -> None:
    cluster = running()

    for core in cluster.cores.values():
        assert core.raft_driver.raft.configuration.journals == {
            name: f"journal of {name}" for name in NAMES
        }
    assert cluster.events().count("raft.member.known") == 3


def test_a_node_that_is_added_gets_the_log_then_its_vote_and_is_shown() -> None:
    cluster = running()
    cluster.request(cluster.leader(), SetSetting(1, "a", "1"))

    change(cluster, cluster.leader(), AddMeta, 7, "m4", M4)
    cluster.run(0.5)
    assert cluster.answers() == [Accepted((7,))]
    assert nodes(cluster)["m4"] is MetaNodeState.LEARNER
    core = cluster.start("m4", {})
    assert "waits to be added" in core._quorum_alarm.sentence()
    cluster.run(3.0)

    assert voters(cluster) == (*NAMES, "m4")
    assert shown(cluster) == [*NAMES, "m4"]
    assert nodes(cluster)["m4"] is MetaNodeState.VOTER
    setting = core.state.settings.find("a")
    assert setting is not None
    assert setting.value == "1"
    assert core._quorum_alarm.sentence() == ""
    assert "raft.member.votes" in cluster.events()


def test_a_node_that_was_added_may_lead_later() -> None:
    cluster = running()
    change(cluster, cluster.leader(), AddMeta, 7, "m4", M4)
    cluster.start("m4", {})
    cluster.run(3.0)
    for _ in NAMES:
        name = cluster.leader()
        if name == "m4":
            break
        change(cluster, name, RemoveMeta, 8, name)
        cluster.run(2.0)
        change(cluster, cluster.leader(), RemoveMeta, 9, name)
        cluster.run(1.0)
        cluster.stop(name)
        cluster.run(2.0)

    cluster.request(cluster.leader(), SetSetting(1, "a", "1"))
    cluster.run(0.5)
    assert "m4" in voters(cluster)
    (answer,) = cluster.answers()
    assert isinstance(answer, SettingsReply)


def test_a_repeated_addition_is_answered_and_not_made_again() -> None:
    cluster = running()

    change(cluster, cluster.leader(), AddMeta, 7, "m4", M4)
    cluster.run(0.5)
    assert change(cluster, cluster.leader(), AddMeta, 8, "m4", M4) == [Accepted((8,))]
    assert cluster.cores[cluster.leader()].raft_driver.raft.configuration.learners == ("m4",)


def test_a_late_copy_of_a_removal_changes_nothing() -> None:
    """The node was removed and added again when the request to remove it arrives once more."""
    cluster = running()
    leader, gone = cluster.leader(), cluster.followers()[0]
    index = cluster.cores[leader].raft_driver.raft.configuration_index
    late = RemoveMeta(7, gone, index)
    cluster.request(leader, late)
    cluster.run(0.5)
    cluster.stop(gone)
    change(cluster, leader, AddMeta, 8, gone, PEERS[gone])
    cluster.start(gone, {}, journal_id="a new disk")
    cluster.run(3.0)

    refused = refusal(cluster.request(leader, late))
    assert refused.code == VersionMismatchError.code
    cluster.run(0.5)
    assert voters(cluster) == NAMES
    stale = refusal(cluster.request(leader, AddMeta(9, "m4", M4, index)))
    assert stale.code == VersionMismatchError.code


@pytest.mark.parametrize(
    ("node_id", "address", "code", "words"),
    [
        ("m2", "tcp://m9:1", DeniedError.code, "is a node of meta already, at m2:9611"),
        ("m4", "tcp://m2:9611", DeniedError.code, "m2 is at m2:9611 already"),
        ("s1", "tcp://s1:1", DeniedError.code, "in use by a session node"),
    ],
)
def test_a_node_that_cannot_be_added_is_refused(
    node_id: str, address: str, code: int, words: str
) -> None:
    cluster = running()
    change(cluster, cluster.leader(), AddMeta, 7, "m4", M4)
    cluster.request(cluster.leader(), Join(1, SESSION, b"", 0))
    cluster.run(0.5)

    refused = refusal(change(cluster, cluster.leader(), AddMeta, 8, node_id, address))

    assert refused.code == code
    assert words in refused.detail


def test_a_node_that_was_not_found_is_added_again_at_its_right_address() -> None:
    """An operator mistypes an address, or the machine has got another one meanwhile."""
    cluster = running()
    for number in (4, 5):
        change(cluster, cluster.leader(), AddMeta, number, f"m{number}", f"tcp://wrong:{number}")
        cluster.run(0.5)

    accepted = change(cluster, cluster.leader(), AddMeta, 8, "m4", M4)
    cluster.run(0.5)
    assert accepted == [Accepted((8,))]
    cluster.start("m4", {}, journal_id="disk of m4")
    cluster.run(3.0)

    assert voters(cluster) == (*NAMES, "m4")
    refused = refusal(change(cluster, cluster.leader(), AddMeta, 9, "m4", "tcp://m9:9611"))
    assert "m4 is a node of meta already, at m4:9611" in refused.detail


def test_a_bounded_number_of_learners_may_catch_up() -> None:
    cluster = running()
    for number in (4, 5):
        change(cluster, cluster.leader(), AddMeta, number, f"m{number}", f"tcp://m{number}:9611")
        cluster.run(0.5)

    refused = refusal(change(cluster, cluster.leader(), AddMeta, 6, "m6", "tcp://m6:9611"))

    assert refused.code == LimitError.code


def test_a_second_change_is_refused_until_the_first_is_committed() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.cut = set(cluster.followers())
    assert change(cluster, leader, AddMeta, 7, "m4", M4) == []

    refused = refusal(change(cluster, leader, AddMeta, 8, "m5", "tcp://m5:9611"))

    assert refused.code == NotReadyError.code
    assert "not committed yet" in refused.detail


def test_a_change_that_was_lost_with_the_leadership_is_refused() -> None:
    cluster = running()
    old = cluster.leader()
    cluster.cut = {old}
    assert change(cluster, old, AddMeta, 7, "m4", M4) == []
    cluster.run(4.0, *cluster.followers())
    cluster.cut = set()
    cluster.run(2.0)

    assert refusal(cluster.answers()).code == NotReadyError.code
    assert voters(cluster) == NAMES
    assert nodes(cluster).keys() == set(NAMES)


def test_a_removed_node_is_not_shown_and_ends() -> None:
    cluster = running()
    gone = cluster.followers()[0]

    change(cluster, cluster.leader(), RemoveMeta, 7, gone)
    cluster.run(0.5)
    assert cluster.answers() == [Accepted((7,))]
    assert shown(cluster) == [name for name in NAMES if name != gone]
    cluster.run(6.0)

    (failed,) = {event.reason for name, event in cluster.emitted if isinstance(event, NodeFailed)}
    assert f"{gone} was removed from the nodes of meta" in failed
    assert {name for name, _ in cluster.emitted} == {gone}
    assert change(cluster, cluster.leader(), RemoveMeta, 8, gone) == [Accepted((8,))]


def test_a_removed_node_cannot_have_itself_shown_again() -> None:
    cluster = running()
    leader = cluster.cores[cluster.leader()]
    unknown = Join(1, meta_member("m9"), b"", 0)

    assert leader.receive(Link.RAFT_ANSWER, b"request", unknown, cluster.now) == []
    assert leader.receive(Link.RAFT_ANSWER, b"r", Join(1, SESSION, b"", 0), cluster.now) == []


def test_the_leader_hands_over_before_it_is_removed() -> None:
    cluster = running()
    old = cluster.leader()

    refused = refusal(change(cluster, old, RemoveMeta, 7, old))
    assert refused.code == NotReadyError.code
    assert "hands over first" in refused.detail
    cluster.run(1.0)
    new = cluster.leader()
    assert new != old
    change(cluster, new, RemoveMeta, 8, old)
    cluster.run(0.5)
    assert cluster.answers() == [Accepted((8,))]
    assert old not in voters(cluster)


def test_a_node_that_the_others_need_is_not_removed() -> None:
    """Of three nodes one is dead: without another one there is no majority."""
    cluster = running()
    leader = cluster.leader()
    dead, alive = cluster.followers()
    cluster.stop(dead)
    cluster.run(3.0)

    refused = refusal(change(cluster, leader, RemoveMeta, 7, alive))
    assert refused.code == DeniedError.code
    assert f"{dead} do not answer" in refused.detail
    change(cluster, leader, RemoveMeta, 8, dead)
    cluster.run(0.5)
    assert cluster.answers() == [Accepted((8,))]


def test_the_last_node_stays() -> None:
    cluster = running(("m1",))

    refused = refusal(change(cluster, "m1", RemoveMeta, 7, "m1"))

    assert refused.code == DeniedError.code
    assert "last voter" in refused.detail


def test_a_node_without_an_address_adds_no_other() -> None:
    cluster = Cluster(())
    cluster.start("m1", {"m1": ""})
    cluster.run(1.0)

    refused = refusal(change(cluster, "m1", AddMeta, 7, "m2", PEERS["m2"]))

    assert refused.code == DeniedError.code
    assert "restart it with --dir and --peer m1=HOST:PORT first" in refused.detail


def test_upkeep_waits_during_a_handover() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.cut = set(cluster.followers())
    core = cluster.cores[leader]
    core.raft_driver.peers.introductions.identity = replace(
        core.raft_driver.peers.introductions.identity, address="tcp://elsewhere:1"
    )
    core._leader.handover.transfer()

    cluster.run(0.2, leader)

    assert core.raft_driver.raft.configuration.addresses[leader] == PEERS[leader]


def test_a_lone_node_grows_to_three() -> None:
    cluster = running(("m1",))
    cluster.request("m1", SetSetting(1, "a", "1"))
    for name in ("m2", "m3"):
        change(cluster, "m1", AddMeta, 7, name, PEERS[name])
        cluster.start(name, {})
        cluster.run(3.0)

    assert voters(cluster) == NAMES
    cluster.stop("m1")
    cluster.run(4.0)
    cluster.request(cluster.leader(), FetchSettings(1, "a"))
    cluster.run(0.3)
    (reply,) = cluster.answers()
    assert isinstance(reply, SettingsReply)
    assert [setting.value for setting in reply.settings] == ["1"]


def test_a_learner_that_never_comes_is_shown_as_stuck() -> None:
    cluster = running()
    change(cluster, cluster.leader(), AddMeta, 7, "m4", M4)
    cluster.run(6.0)

    assert nodes(cluster)["m4"] is MetaNodeState.STUCK
    (reply,) = cluster.request(cluster.leader(), FetchMetaNodes(1))
    assert isinstance(reply, MetaNodesReply)
    (node,) = [node for node in reply.nodes if node.node_id == "m4"]
    assert node.trouble == "not reached"
    assert node.silent_milliseconds > 5000


def test_only_the_leader_changes_nodes() -> None:
    cluster = running()
    follower = cluster.followers()[0]

    for message in (AddMeta(1, "m4", M4, 1), RemoveMeta(1, "m1", 1), FetchMetaNodes(1)):
        assert refusal(cluster.request(follower, message)).code == NotLeaderError.code


def test_a_node_that_just_lost_the_lead_changes_no_nodes() -> None:
    cluster = running()
    follower = cluster.cores[cluster.followers()[0]]

    index = follower.raft_driver.raft.configuration_index
    (sent,) = follower._leader.voters.on_add_meta(CLIENT, AddMeta(1, "m4", M4, index))

    assert isinstance(sent.message, Refused)  # type: ignore[attr-defined]
    assert sent.message.code == NotLeaderError.code  # type: ignore[attr-defined]


# --- introductions ---------------------------------------------------------------------------


def test_a_node_that_lost_its_journal_is_no_peer_and_ends() -> None:
    """It could vote twice in one term, and lacks entries that it acknowledged."""
    cluster = running()
    lost = cluster.followers()[0]
    cluster.stop(lost)

    core = cluster.start(lost, journal_id="a new disk")
    cluster.run(3.0)

    assert core.raft_driver.raft.log.last_index == 1
    assert core.raft_driver.peers.up_count == 0
    reasons = {event.reason for name, event in cluster.emitted if isinstance(event, NodeFailed)}
    (reason,) = reasons
    assert f"{lost} comes without the journal that it had" in reason
    assert "zreg meta rm" in reason
    refusals = [log for log in cluster.logged if log.event == "raft.peer.refused"]
    assert {log.fields["peer"] for log in refusals} == {lost}
    assert len(refusals) <= 2


def test_a_node_that_lost_its_journal_does_not_make_a_majority() -> None:
    """All three restart, one without its journal, which the other two know by its id."""
    cluster = running()
    leader = cluster.leader()
    lost, kept = cluster.followers()
    cluster.stop(lost)
    cluster.cut = {kept}
    cluster.stop(leader)
    cluster.start(lost, journal_id="a new disk")
    cluster.run(5.0)
    assert not any(core.is_leading for core in cluster.cores.values())

    cluster.cut = set()
    cluster.run(5.0)

    assert not any(core.is_leading for core in cluster.cores.values())


def test_a_node_comes_back_under_its_id_after_it_was_removed() -> None:
    cluster = running()
    lost = cluster.followers()[0]
    cluster.stop(lost)
    change(cluster, cluster.leader(), RemoveMeta, 7, lost)
    cluster.run(0.5)
    change(cluster, cluster.leader(), AddMeta, 8, lost, PEERS[lost])
    cluster.start(lost, {}, journal_id="a new disk")
    cluster.run(3.0)

    assert voters(cluster) == NAMES
    assert not [event for _, event in cluster.emitted if isinstance(event, NodeFailed)]
    configuration = cluster.cores[cluster.leader()].raft_driver.raft.configuration
    assert configuration.journals[lost] == "a new disk"


def test_a_peer_that_was_away_accepts_a_node_that_was_added_again() -> None:
    """Its configuration names the old journal still, but the other's is later."""
    names = ("m1", "m2", "m3", "m4", "m5")
    cluster = running(names)
    lost, away, *_ = cluster.followers()
    cluster.cut = {away}
    cluster.stop(lost)
    change(cluster, cluster.leader(), RemoveMeta, 7, lost)
    cluster.run(0.5, *(name for name in cluster.cores if name != away))
    change(cluster, cluster.leader(), AddMeta, 8, lost, f"tcp://{lost}:9611")
    cluster.start(lost, {}, journal_id="a new disk")
    cluster.run(3.0, *(name for name in cluster.cores if name != away))
    assert cluster.cores[lost].raft_driver.raft.configuration.voters == names
    late = cluster.cores[away].raft_driver.raft
    assert late.configuration.journals[lost] == f"journal of {lost}"

    cluster.wake(away)
    cluster.connect()
    cluster.run(3.0)

    assert late.configuration.journals[lost] == "a new disk"
    assert not [event for _, event in cluster.emitted if isinstance(event, NodeFailed)]


def test_a_node_that_moved_is_reached_at_its_new_address() -> None:
    cluster = running()
    moved = cluster.followers()[0]
    core = cluster.cores[moved]
    cluster.stop(moved)
    cluster.cores[moved] = core
    core.raft_driver.peers.introductions.identity = replace(
        core.raft_driver.peers.introductions.identity, address="tcp://elsewhere:1"
    )
    for peer in NAMES:
        if peer != moved:
            cluster.give(moved, Link.LOCAL, "", PeerLost(Link.RAFT_ASK, peer))
            cluster.wanted[moved, peer] = PEERS[peer]
    cluster.run(4.0)

    for each in cluster.cores.values():
        assert each.raft_driver.raft.configuration.addresses[moved] == "tcp://elsewhere:1"
    assert "raft.member.moved" in cluster.events()
    assert cluster.cores[cluster.leader()].raft_driver.peers.is_up(moved)


def test_founders_with_different_lists_are_no_peers() -> None:
    cluster = Cluster(("m1", "m2"))
    other = {"m1": PEERS["m1"], "m2": PEERS["m2"], "m4": M4}
    cluster.stop("m2")
    cluster.start("m2", other)
    cluster.run(4.0)

    assert not any(core.is_leading for core in cluster.cores.values())
    said = [str(log.fields["detail"]) for log in cluster.logged if log.event == "raft.peer.refused"]
    assert said
    assert all("different lists of peers" in detail for detail in said)
    sentences = [core._quorum_alarm.sentence() for core in cluster.cores.values()]
    assert all("different lists of peers" in sentence for sentence in sentences)


def test_nodes_of_two_clusters_are_no_peers() -> None:
    one, other = running(("m1",)), running(("m2",))
    request = other.cores["m2"].raft_driver.peers
    request.introductions.identity = type(request.introductions.identity)(
        node_id="m2", address=PEERS["m2"], journal_id="x", founders=""
    )
    sent = request._introduction_requests.send("m1", 0.0)

    (answer,) = one.cores["m1"].receive(Link.RAFT_ANSWER, b"r", sent.message, 0.0)  # type: ignore[attr-defined]

    assert "belong to two clusters" in answer.message.detail  # type: ignore[attr-defined]


def test_a_wrong_node_behind_an_address_is_no_peer() -> None:
    """Two ports were exchanged: the node that answers is another meta node."""
    cluster = Cluster()
    for name in NAMES:
        cluster.stop(name)
    cluster.start("m1", {**PEERS, "m2": PEERS["m3"], "m3": PEERS["m2"]})
    core = cluster.start("m3")
    first = cluster.cores["m1"].raft_driver.peers._introduction_requests.send("m2", 0.0)
    (answer,) = core.receive(Link.RAFT_ANSWER, b"r", first.message, 0.0)  # type: ignore[attr-defined]
    assert "this is m3, not m2" in answer.message.detail  # type: ignore[attr-defined]

    sent = first.message  # type: ignore[attr-defined]
    forged = MetaIntroduced(sent.request_id, "m3", "m1", PEERS["m3"], "x", "", b"", 1)
    cluster.give("m1", Link.RAFT_ASK, "m2", forged)
    assert not cluster.cores["m1"].raft_driver.peers.is_up("m2")
    assert "is m3: correct one of the addresses" in str(cluster.logged[-1].fields["detail"])


def test_a_node_that_waits_to_be_added_does_not_vote() -> None:
    """It cannot tell a cluster that is founded by mistake from its own."""
    cluster = Cluster(())
    cluster.start("m1")
    cluster.start("m3", {})
    cluster.run(5.0)

    assert not cluster.cores["m1"].is_leading
    assert cluster.cores["m1"].raft_driver.peers.is_up("m3")


def test_a_request_before_an_introduction_is_refused_and_repeated_later() -> None:
    """A restarted node has forgotten the introduction, and the connection did not break."""
    cluster = running()
    leader, other = cluster.leader(), cluster.followers()[0]
    cluster.cores[other].raft_driver.peers.introductions._askers.clear()

    cluster.run(1.0)

    assert cluster.cores[leader].raft_driver.peers.is_up(other)
    assert cluster.cores[other].raft_driver.peers.introductions.may_ask(leader)


def test_the_number_of_remembered_senders_is_bounded() -> None:
    cluster = running()
    peers = cluster.cores["m1"].raft_driver.peers
    like = cluster.cores["m2"].raft_driver.peers
    for number in range(40):
        like.introductions.identity = type(like.introductions.identity)(
            node_id=f"n{number}", address="", journal_id="x", founders=""
        )
        request = like._introduction_requests.send("m1", 0.0).message  # type: ignore[attr-defined]
        peers.on_introduce_meta(b"r", request)

    assert len(peers.introductions._askers) == 14


def test_a_lost_meta_node_is_logged_with_how_many_more_may_fail() -> None:
    cluster = running()
    leader, gone = cluster.leader(), cluster.followers()[0]

    cluster.stop(gone)
    cluster.give(leader, Link.LOCAL, "", PeerLost(Link.RAFT_ASK, gone, "refused"))
    told = [log.fields for log in cluster.logged if log.event == "raft.peer.lost"]
    assert told == [{"peer": gone, "more_may_fail": 0}] * 2
    cluster.start(gone)
    cluster.run(1.0)

    assert cluster.events().count("raft.peer.restored") == 2


def test_peers_are_due_when_one_is_dialled_or_introduced_to_again() -> None:
    cluster = running()
    peers = cluster.cores["m1"].raft_driver.peers
    assert peers.next_tick_at() is None

    peers.on_peer_lost("m2", 10.0)
    assert peers.next_tick_at() == 10.25
    peers.introduce_again("m3", 9.0)
    assert peers.next_tick_at() == 10.0
    peers.tick(10.25)
    assert peers.next_tick_at() == 11.25


def test_late_messages_and_messages_of_unknown_peers_change_nothing() -> None:
    cluster = running()
    core = cluster.cores["m1"]
    peers = core.raft_driver.peers
    reply_to = cluster.cores["m2"].raft_driver.peers

    assert peers.on_peer_up("m9", 0.0) == []
    assert peers.on_peer_lost("m9", 0.0) == []
    assert peers.introduce_again("m9", 0.0) == []
    assert peers.on_refused("m9", Refused(0, 2, ""), 0.0) == []
    request = peers._introduction_requests.send("m2", 0.0).message  # type: ignore[attr-defined]
    (answer,) = reply_to.on_introduce_meta(b"r", request)
    assert peers.on_meta_introduced("m2", answer.message, 0.0) == []  # type: ignore[attr-defined]
    assert peers.on_meta_introduced("m2", answer.message, 0.0) == []  # type: ignore[attr-defined]
    assert core.receive(Link.LOCAL, "", PeerUp(Link.RAFT_ASK, "m9"), 0.0) == []
    assert core.receive(Link.LOCAL, "", Stop(), 0.0) == []
    assert "2/2" in repr(peers)
    assert "m1" in repr(core._leader.voters)
    assert repr(core._quorum_alarm) == "<QuorumAlarm ''>"


# --- the rest --------------------------------------------------------------------------------


def test_reads_that_wait_for_a_majority_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zreg.meta.group.raft_requests._READS_MAX", 2)
    cluster = running()
    leader = cluster.leader()
    cluster.cut = set(cluster.followers())
    for number in (1, 2):
        assert cluster.request(leader, FetchSettings(number, "a")) == []

    refused = refusal(cluster.request(leader, FetchSettings(3, "a")))

    assert refused.code == LimitError.code
    with pytest.raises(OverloadedError):
        cluster.cores[leader].raft_driver.requests.read(lambda _is_confirmed, _now: [])


def test_a_node_that_waits_to_be_added_says_how() -> None:
    cluster = Cluster(())
    cluster.start("m4", {})
    cluster.run(1.0)

    refused = refusal(cluster.request("m4", FetchMembership(1)))

    assert "run `zreg meta add m4=m4:9611`" in refused.detail


def test_a_meta_node_is_removed_from_the_membership_by_id() -> None:
    state = MetaState()
    core = running(("m1",)).cores["m1"]
    state.apply(Found(core.membership))
    state.apply(AdmitMeta(meta_member("m2")))
    session = Member("s1", Role.SESSION, 0, Status.INITIAL, "tcp://s1:1", process_id=b"s1")
    epoch = state.epoch

    assert state.apply(DropMeta("m2")).is_changed
    assert not state.apply(DropMeta("m2")).is_changed
    assert not state.apply(DropMeta(session.node_id)).is_changed
    assert state.epoch == epoch + 1


def test_recovery_raises_the_epoch_above_all_others() -> None:
    state = MetaState()
    state.apply(Found(running(("m1",)).cores["m1"].membership))
    epoch = state.epoch

    assert state.apply(Recover()).is_changed
    assert state.epoch == epoch + RECOVERY_EPOCHS
    assert not MetaState().apply(Recover()).is_changed


def test_every_meta_node_serves_the_membership() -> None:
    cluster = running()

    for name in cluster.cores:
        (reply,) = cluster.request(name, FetchMembership(1))
        assert isinstance(reply, MembershipReply)
