"""Three meta cores and a small network: the leader answers, with what a majority has."""

from meta_fakes import CLIENT, CONFIG, NAMES, SESSION, Cluster, meta_member, running
from msgspec.structs import replace

from zreg.effects import Effect, Link, PeerLost, Send
from zreg.errors import (
    DeniedError,
    LimitError,
    NotLeaderError,
    NotReadyError,
    UnknownMessageError,
    VersionMismatchError,
)
from zreg.membership.following.changes import changed
from zreg.meta.state.applied import Applied
from zreg.model import Member, Role, Status
from zreg.raft.follower.replies import vote_reply
from zreg.wire.log_commands import AdmitMeta
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Hello
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import (
    FetchMembership,
    Join,
    MembershipChanges,
    MembershipReply,
    Renew,
    Renewed,
)
from zreg.wire.records.raft_messages import RaftMessage, Request, RequestVote
from zreg.wire.records.settings_messages import FetchSettings, SetSetting, Setting, SettingsReply


def test_one_node_leads_founds_the_cluster_and_shows_all_meta_nodes() -> None:
    cluster = running()

    memberships = {core.membership for core in cluster.cores.values()}
    (membership,) = memberships
    assert membership.cluster_id == cluster.leader().encode() * 8
    assert [m.node_id for m in membership.of(Role.META)] == list(NAMES)
    assert membership.epoch == 3
    assert set(cluster.saves) == set(NAMES)


def test_a_follower_refuses_requests_with_the_address_of_the_leader() -> None:
    cluster = running()
    leader, (follower, _) = cluster.leader(), cluster.followers()

    for request in (Join(1, SESSION, b"", 0), SetSetting(1, "a", "1"), FetchSettings(1, "*")):
        (refused,) = cluster.request(follower, request)
        assert isinstance(refused, Refused)
        assert refused.request_id == 1
        assert refused.code == NotLeaderError.code
        assert refused.address == f"tcp://{leader}:9610"


def test_a_follower_serves_the_membership_that_it_has_applied() -> None:
    cluster = running()
    core = cluster.cores[cluster.followers()[0]]

    assert cluster.request(cluster.followers()[0], FetchMembership(4)) == [
        MembershipReply(4, core.membership)
    ]


def test_every_meta_node_sends_what_changed_since_an_epoch() -> None:
    cluster = running()
    leader, (follower, other) = cluster.leader(), cluster.followers()
    before = cluster.cores[leader].membership
    cluster.request(leader, Join(1, SESSION, b"", 0))
    cluster.run(1.0)
    fetch = FetchMembership(4, before.cluster_id, before.epoch)

    (changes,) = cluster.request(leader, fetch)

    assert isinstance(changes, MembershipChanges)
    assert [m.node_id for m in changes.upserts] == [SESSION.node_id]
    assert changed(before, changes) == cluster.cores[leader].membership
    assert cluster.request(follower, fetch) == [changes]
    assert cluster.request(other, replace(fetch, cluster_id=b"other")) == [
        MembershipReply(4, cluster.cores[other].membership)
    ]


def test_a_join_is_answered_when_a_majority_has_it_and_a_renewal_by_the_leader_alone() -> None:
    cluster = running()
    leader = cluster.leader()
    (reply,) = cluster.request(leader, Join(1, SESSION, b"", 0))
    assert isinstance(reply, MembershipReply)
    written = len(cluster.saves)

    renew = Renew(2, reply.incarnation, reply.membership.cluster_id, reply.membership.epoch)

    assert cluster.request(leader, renew) == [Renewed(2, reply.membership.epoch)]
    assert len(cluster.saves) == written


def test_a_change_waits_for_a_majority() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.cut = set(cluster.followers())

    assert cluster.request(leader, SetSetting(1, "a", "1")) == []
    cluster.cut = set()
    cluster.run(0.5)

    assert cluster.answers() == [SettingsReply(1, (Setting("a", "1", 4),))]


def test_a_read_waits_until_a_majority_confirms_the_leader() -> None:
    """A deposed leader that does not know it yet must not answer from its old state."""
    cluster = running()
    leader = cluster.leader()
    cluster.request(leader, SetSetting(1, "a", "old"))
    cluster.run(0.2)
    others = cluster.followers()
    cluster.cut = {leader}
    cluster.run(0.4, leader)

    assert cluster.request(leader, FetchSettings(2, "a")) == []
    cluster.run(3.0, leader)
    (refused,) = cluster.answers()
    assert isinstance(refused, Refused)
    assert refused.code == NotLeaderError.code
    assert not cluster.cores[leader].is_leading
    assert cluster.cores[others[0]].state.settings.find("a") == Setting("a", "old", 4)


def test_a_change_whose_entry_was_replaced_is_refused() -> None:
    cluster = running()
    old = cluster.leader()
    cluster.cut = {old}
    assert cluster.request(old, SetSetting(7, "a", "lost")) == []
    cluster.run(4.0, *cluster.followers())
    cluster.cut = set()
    cluster.run(2.0)

    (refused,) = cluster.answers()
    assert isinstance(refused, Refused)
    assert (refused.request_id, refused.code) == (7, NotReadyError.code)
    assert cluster.leader() != old
    assert all(core.state.settings.find("a") is None for core in cluster.cores.values())


def test_a_change_repeated_at_the_next_leader_gets_the_first_answer() -> None:
    """The old leader had committed it, and its answer was lost."""
    cluster = running()
    old = cluster.leader()
    change = SetSetting(7, "a", "1", 0, b"i" * 16)
    (first,) = cluster.request(old, change)
    cluster.cut = {old}
    cluster.run(4.0, *cluster.followers())
    leader = next(n for n, core in cluster.cores.items() if n != old and core.is_leading)

    (again,) = cluster.request(leader, replace(change, request_id=8))

    assert first == SettingsReply(7, (Setting("a", "1", 4),))
    assert again == SettingsReply(8, (Setting("a", "1", 4),))
    (mismatch,) = cluster.request(leader, SetSetting(9, "a", "1", 0, b"j" * 16))
    assert isinstance(mismatch, Refused)
    assert mismatch.code == VersionMismatchError.code


def test_a_repeated_removal_gets_the_first_answer() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.request(leader, SetSetting(1, "a", "1"))
    removal = SetSetting(2, "a", None, 4, b"i" * 16)

    assert cluster.request(leader, removal) == [SettingsReply(2, ())]
    cluster.request(leader, SetSetting(3, "a", "2"))
    assert cluster.request(leader, replace(removal, request_id=4)) == [SettingsReply(4, ())]

    assert cluster.cores[leader].state.settings.find("a") == Setting("a", "2", 6)


def test_a_change_repeated_before_it_is_committed_happens_once() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.cut = set(cluster.followers())
    cluster.sent.clear()
    for request_id in (1, 2):
        cluster.give(leader, Link.NODES, CLIENT, SetSetting(request_id, "a", "1", 0, b"i" * 16))
    cluster.cut = set()
    cluster.run(0.5)

    done = (Setting("a", "1", 4),)
    assert cluster.answers() == [SettingsReply(1, done), SettingsReply(2, done)]
    assert cluster.cores[leader].epoch == 4


def test_changes_whose_entries_were_cut_off_are_refused_at_once() -> None:
    """The new log may be shorter for long, so other entries may take their place late."""
    cluster = running()
    old = cluster.leader()
    cluster.cut = {old}
    for number in range(20):
        assert cluster.request(old, SetSetting(number, "a", "lost")) == []
    cluster.run(4.0, *cluster.followers())
    cluster.cut = set()
    cluster.sent.clear()
    cluster.run(2.0)

    assert all(isinstance(answer, Refused) for answer in cluster.answers())
    told = {answer.request_id: answer.code for answer in cluster.answers()}  # type: ignore[attr-defined]
    assert told == dict.fromkeys(range(20), NotReadyError.code)


def test_with_a_new_leader_every_node_has_a_whole_lease() -> None:
    cluster = running()
    old = cluster.leader()
    cluster.request(old, Join(1, SESSION, b"", 0))
    cluster.run(CONFIG.lease_seconds - 0.5)
    cluster.cut = {old}
    rest = cluster.followers()
    cluster.run(2.0, *rest)
    leader = next(name for name in rest if cluster.cores[name].is_leading)
    began = cluster.now

    # The last session is never evicted, so a second one is needed that falls silent.
    other = Member("s2", Role.SESSION, 0, Status.INITIAL, "tcp://s2:1", process_id=b"s2")
    cluster.request(leader, Join(2, other, b"", 0))
    while not any(log.event == "member.departed" for log in cluster.logged):
        cluster.run(0.1, *rest)
        assert cluster.now < began + 10

    assert cluster.now - began > CONFIG.lease_seconds - 2.0
    departed = [
        log.fields["incarnation"] for log in cluster.logged if log.event == "member.departed"
    ]
    assert departed == ["s1@4"]


def test_settings_are_read_in_pages() -> None:
    cluster = running()
    leader = cluster.leader()
    for number in range(51):
        cluster.request(leader, SetSetting(1, f"n{number:02}", str(number)))

    (page,) = cluster.request(leader, FetchSettings(2, "n*"))
    assert isinstance(page, SettingsReply)
    assert (len(page.settings), page.is_complete) == (50, False)
    (rest,) = cluster.request(leader, FetchSettings(3, "n*", page.settings[-1].name))
    assert isinstance(rest, SettingsReply)
    assert ([s.name for s in rest.settings], rest.is_complete) == (["n50"], True)


def test_a_leader_without_a_majority_takes_a_bounded_number_of_changes() -> None:
    cluster = running()
    leader = cluster.leader()
    cluster.cut = set(cluster.followers())
    cluster.sent.clear()

    while not cluster.answers():
        cluster.give(leader, Link.NODES, CLIENT, SetSetting(1, "a", "x" * 4096))

    (refused,) = cluster.answers()
    assert isinstance(refused, Refused)
    assert refused.code == LimitError.code


def test_a_missing_quorum_is_logged_with_what_to_do() -> None:
    cluster = running()
    alone = cluster.followers()[0]
    for peer in NAMES:
        if peer != alone:
            cluster.give(alone, Link.LOCAL, "", PeerLost(Link.RAFT_ASK, peer))
    cluster.cut = set(NAMES) - {alone}
    cluster.run(5.0, alone)

    (reply,) = cluster.request(alone, FetchMembership(1))
    assert isinstance(reply, MembershipReply)
    others = ", ".join(f"{name} (not reached)" for name in NAMES if name != alone)
    assert "2 of its 3 nodes must run" in reply.trouble
    assert f"has no connection to {others}: start them, or check" in reply.trouble
    (said,) = [log for log in cluster.logged if log.event == "raft.quorum.missing"]
    assert said.fields["detail"] == reply.trouble


def test_the_return_of_the_quorum_is_logged() -> None:
    cluster = running()
    alone = cluster.followers()[0]
    cluster.cut = {alone}
    cluster.run(5.0, alone)
    assert [log.event for log in cluster.logged][-1] == "raft.quorum.missing"

    cluster.cut = set()
    cluster.run(5.0)

    assert [log.event for log in cluster.logged if "quorum" in log.event][-1] == (
        "raft.quorum.restored"
    )


def test_a_follower_refuses_messages_that_meta_does_not_take() -> None:
    cluster = running()

    (refused,) = cluster.request(cluster.followers()[0], Hello(1, b"c" * 16))

    assert isinstance(refused, Refused)
    assert refused.code == UnknownMessageError.code
    assert "ask a session (--url, by default port 9600)" in refused.detail


def test_a_follower_ignores_a_meta_node_that_asks_to_be_shown() -> None:
    cluster = running()
    follower = cluster.cores[cluster.followers()[0]]
    asked = Join(1, meta_member("m9"), b"", 0)

    assert follower.receive(Link.RAFT_ANSWER, b"request", asked, cluster.now) == []


def test_a_node_that_just_lost_the_lead_names_the_leader_and_proposes_nothing() -> None:
    cluster = running()
    proposals = cluster.cores[cluster.followers()[0]]._proposals
    command = AdmitMeta(meta_member("m9"))
    told: list[Applied | None] = []

    def on_applied(applied: Applied | None, _now: float) -> list[Effect]:
        told.append(applied)
        return []

    (sent,) = proposals.propose_for(CLIENT, 7, command, on_applied)

    assert isinstance(sent, Send)
    assert isinstance(sent.message, Refused)
    assert sent.message.code == NotLeaderError.code
    assert told == []
    assert proposals.propose(command, on_applied, cluster.now) == []
    assert told == [None]


def test_a_meta_node_without_a_membership_refuses_to_send_one() -> None:
    cluster = Cluster()

    (refused,) = cluster.request("m1", FetchMembership(3))

    assert isinstance(refused, Refused)
    assert refused.code == NotReadyError.code


def test_requests_of_unknown_nodes_and_misplaced_records_change_nothing() -> None:
    cluster = running()
    core = cluster.cores[cluster.leader()]
    term = core.raft_driver.raft.term
    vote = RequestVote(
        "m9", cluster.leader(), term + 5, 1, 99, 99, is_pre_vote=False, is_transfer=True
    )

    (refused,) = core.receive(Link.RAFT_ANSWER, b"r", vote, cluster.now)
    assert isinstance(refused, Send)
    assert isinstance(refused.message, Refused)
    assert refused.message.code == DeniedError.code
    (misplaced,) = core.receive(Link.NODES, CLIENT, vote, cluster.now)
    assert isinstance(misplaced, Send)
    assert isinstance(misplaced.message, Refused)
    assert misplaced.message.code == UnknownMessageError.code
    assert core.receive(Link.RAFT_ANSWER, b"r", Accepted((1,)), cluster.now) == []
    join = Join(1, SESSION, b"", 0)
    assert core.receive(Link.RAFT_ANSWER, b"r", join, cluster.now) == []
    assert core.raft_driver.raft.term == term
    assert core.statistics()["strange_messages"] == 4


def test_an_answer_in_the_name_of_another_peer_is_ignored() -> None:
    """The answers of a wrong node behind a known address must not count."""
    cluster = Cluster()
    asked: list[tuple[str, RaftMessage]] = []

    def ask(name: str, peer: str, message: Message) -> None:
        if isinstance(message, Request):
            asked.append((name, message))

    cluster.ask = ask  # type: ignore[method-assign]
    cluster.run(2.0, "m1")
    votes = [m for _, m in asked if isinstance(m, RequestVote) and m.receiver == "m2"]
    core = cluster.cores["m1"]
    role = core.raft_driver.raft.role
    reply = vote_reply("m2", votes[-1], term=votes[-1].term, is_granted=True)
    core.receive(Link.RAFT_ASK, "m3", reply, cluster.now)
    assert core.raft_driver.raft.role is role
    assert core.statistics()["strange_messages"] == 1
    core.receive(Link.RAFT_ASK, "m2", reply, cluster.now)
    assert core.raft_driver.raft.role is not role


def test_a_departure_that_could_not_be_proposed_is_proposed_later() -> None:
    """A leader without a majority takes no more proposals when a node falls silent."""
    cluster = running()
    leader = cluster.leader()
    for number in (1, 2):
        member = replace(SESSION, node_id=f"s{number}", process_id=f"s{number}".encode())
        cluster.request(leader, Join(number, member, b"", 0))
    cluster.run(CONFIG.lease_seconds - 0.2)
    cluster.cut = set(cluster.followers())
    for size in (4096, 64, 0):
        cluster.sent.clear()
        while not cluster.answers():
            cluster.give(leader, Link.NODES, CLIENT, SetSetting(1, "a", "x" * size))
    cluster.run(0.4, leader)
    assert cluster.cores[leader].is_leading
    cluster.cut = set()
    cluster.run(2.0)

    departed = [log for log in cluster.logged if log.event == "member.departed"]
    assert len(departed) == 1
