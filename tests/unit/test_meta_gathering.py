"""Empty meta nodes agree on their founders: each rule, with whole cores."""

import pytest
from meta_fakes import CONFIG, PEERS, Cluster, change, identity_of
from msgspec.structs import replace

from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.sightings import Sighted
from zreg.effects import Disconnect, Link, Log, PeerIncompatible, PeerLost, PeerUp, Send
from zreg.meta.founding.candidates import ADDRESSES_MAX, Candidates
from zreg.meta.founding.gathering import LISTEN_SECONDS
from zreg.meta.founding.met_clusters import MetClusters
from zreg.meta.peers.identity import first_save, founders_of, persisted_of
from zreg.model import Role
from zreg.wire.records.common_messages import Accepted, Ping, Refused
from zreg.wire.records.meta_messages import (
    AddMeta,
    AskFounding,
    Founder,
    FoundingReply,
    FoundingStage,
)

EMPTY, LISTED, FOUNDED = FoundingStage
LIST = tuple(Founder(*each) for each in sorted(PEERS.items()))
DECIDED = LISTEN_SECONDS + 1.0


def announcement(name: str, address: str = "", cluster: str = CONFIG.cluster) -> Announcement:
    address = address or f"tcp://{name}:9611"
    return Announcement(
        role=Role.META, node_id=name, cluster=cluster, addresses=(address,), raft_address=address
    )


def sight(cluster: Cluster, reader: str, name: str, address: str = "") -> None:
    seen = Sighted(name, Interface("lan"), announcement(name, address))
    cluster.give(reader, Link.LOCAL, "", seen)


def gathering(*names: str, expect: int = 3) -> Cluster:
    """Return empty nodes that expect each other; none has seen another one."""
    cluster = Cluster(())
    for name in names:
        cluster.start(name, {}, bootstrap_expect=expect)
    return cluster


def meet(cluster: Cluster) -> Cluster:
    """Let all nodes see the announcements of all others."""
    for reader in cluster.cores:
        for name in cluster.cores:
            if name != reader:
                sight(cluster, reader, name)
    return cluster


def stages(cluster: Cluster) -> list[FoundingStage]:
    return [core.gathering.stage for core in cluster.cores.values()]


def sentence(cluster: Cluster, name: str) -> str:
    (problem,) = cluster.cores[name].health(cluster.now).problems
    assert problem.code == "not-founded"
    return problem.detail


def reply(name: str, **changes: object) -> FoundingReply:
    fields: dict[str, object] = {
        "request_id": 1,
        "sender": name,
        "address": f"tcp://{name}:9611",
        "journal_id": f"journal of {name}",
        "stage": EMPTY,
        "expect": 3,
        "founders": LIST,
        "founders_digest": "",
        "cluster_id": b"",
    }
    return FoundingReply(**{**fields, **changes})  # type: ignore[arg-type]


class Lone:
    """One node that gathers; the test plays the nodes that it asks."""

    def __init__(self, name: str = "m1") -> None:
        self.cluster = gathering(name)
        self.name = name
        self.core = self.cluster.cores[name]
        # It has not listened long enough, and what is said now still counts when it has.
        self.cluster.now = LISTEN_SECONDS - 0.5

    def reach(self, name: str, address: str) -> int:
        """Show a node, connect to it, and return the id of the request to it."""
        sight(self.cluster, self.name, name, address)
        up = PeerUp(Link.RAFT_ASK, f"@{address}")
        self.cluster.give(self.name, Link.LOCAL, "", up)
        asked = [
            each.message
            for each in self.core.tick(self.cluster.now)
            if isinstance(each, Send) and each.peer == up.peer
        ]
        (question,) = asked
        assert isinstance(question, AskFounding)
        return question.request_id

    def say(self, said: FoundingReply, *, address: str = "") -> None:
        """Answer for a node that this one has not met yet, at its address or another one."""
        at = address or said.address
        answer = replace(said, request_id=self.reach(said.sender, at))
        self.cluster.give(self.name, Link.RAFT_ASK, f"@{at}", answer)

    def decide(self) -> FoundingStage:
        """Let the node listen long enough; return its stage."""
        self.cluster.now = LISTEN_SECONDS
        self.cluster.take(self.name, self.core.tick(self.cluster.now))
        return self.core.gathering.stage


# --- founding --------------------------------------------------------------------------------


def test_three_empty_nodes_that_see_each_other_found_one_cluster() -> None:
    cluster = meet(gathering("m1", "m2", "m3"))

    cluster.run(DECIDED + 3.0)

    assert stages(cluster) == [FOUNDED] * 3
    assert len({core.membership.cluster_id for core in cluster.cores.values()}) == 1
    configuration = cluster.cores["m1"].raft_driver.raft.configuration
    assert configuration.addresses == PEERS
    assert cluster.events().count("bootstrap.agreed") == 3
    assert [core.health(cluster.now).problems for core in cluster.cores.values()] == [()] * 3


def test_a_founder_that_agreed_is_what_a_founder_with_the_list_of_peers_is() -> None:
    """There is one way to begin a cluster: what follows cannot tell the two apart."""
    cluster = meet(gathering("m1", "m2", "m3"))
    cluster.run(DECIDED)

    core = cluster.cores["m2"]
    identity = core.raft_driver.peers.introductions.identity
    assert identity.founders == founders_of(PEERS)
    entries = core.raft_driver.raft.log.entries_between(0, 1)
    assert entries == persisted_of(first_save(PEERS)).entries


def test_nodes_that_are_announced_in_one_direction_only_find_each_other() -> None:
    """The node that is asked asks in turn."""
    cluster = gathering("m1", "m2", "m3")
    for reader, name in (("m1", "m2"), ("m2", "m3"), ("m3", "m1")):
        sight(cluster, reader, name)

    cluster.run(DECIDED + 3.0)

    assert stages(cluster) == [FOUNDED] * 3


def test_the_cluster_has_a_node_that_watches_the_lan() -> None:
    cluster = gathering("m1")
    cluster.start("m2", PEERS)

    assert cluster.browsing == ["m1", "m2"]


def test_no_list_is_written_before_a_node_has_listened() -> None:
    cluster = meet(gathering("m1", "m2", "m3"))

    cluster.run(LISTEN_SECONDS - 0.1)

    assert stages(cluster) == [EMPTY] * 3
    assert not cluster.saves


def test_one_digest_is_written_before_it_is_stated() -> None:
    lone = Lone()
    lone.say(reply("m2"))
    lone.say(reply("m3"))
    lone.cluster.now = LISTEN_SECONDS

    effects = list(lone.core.tick(LISTEN_SECONDS))

    assert first_save(PEERS) in effects
    assert lone.core.gathering.statement(FoundingReply).stage is LISTED
    assert lone.core.gathering.statement(FoundingReply).founders == LIST


# --- who writes ------------------------------------------------------------------------------


def test_the_node_with_the_smallest_id_writes_first() -> None:
    first, second = Lone("m1"), Lone("m2")
    for lone, others in ((first, ("m2", "m3")), (second, ("m1", "m3"))):
        for name in others:
            lone.say(reply(name))

    assert (first.decide(), second.decide()) == (LISTED, EMPTY)


def test_a_node_writes_the_list_that_another_one_has_written() -> None:
    lone = Lone("m2")
    lone.say(reply("m3", stage=LISTED))

    assert lone.decide() is LISTED


@pytest.mark.parametrize(
    "changes",
    [
        {"founders": ()},
        {"founders": LIST[:2]},
        {"founders": (*LIST[:2], Founder("m4", "tcp://m4:9611"))},
        {"expect": 5},
        {"expect": 0},
        {"stage": LISTED, "founders": (*LIST[1:], Founder("m4", "tcp://m4:9611"))},
        {"stage": LISTED, "founders": (Founder("m1", "tcp://m9:1"), *LIST[1:])},
        {"stage": LISTED, "founders": (*LIST, Founder("m4", "tcp://m4:9611"))},
        {"stage": LISTED, "founders": (LIST[0], LIST[1], LIST[1])},
        {"stage": FOUNDED},
        {"sender": "m1", "address": "tcp://m3:9611"},
        {"sender": "m2", "address": "tcp://m3:9611"},
        {"founders": (*LIST[:2], Founder("m\t4", "tcp://m4:9611"))},
        {"stage": LISTED, "founders": (*LIST[:2], Founder("m4", "nowhere"))},
    ],
)
def test_a_node_writes_nothing_if_one_of_them_says_otherwise(changes: dict[str, object]) -> None:
    lone = Lone()
    lone.say(reply("m2"))
    lone.say(reply("m3", **changes))

    assert lone.decide() is EMPTY


def test_a_statement_counts_only_at_the_address_that_it_states() -> None:
    """Else a forged announcement would put a wrong address into the list."""
    lone = Lone()
    lone.say(reply("m2"))
    lone.say(reply("m3"), address="tcp://127.0.0.1:9611")

    assert lone.decide() is EMPTY
    assert ("m1", "@tcp://m3:9611") in lone.cluster.wanted
    assert "m3 says that it is at tcp://m3:9611" in lone.core.gathering.sentence()


def test_a_statement_counts_only_while_the_connection_stands() -> None:
    lone = Lone()
    lone.say(reply("m2"))
    lone.say(reply("m3"))
    lone.cluster.give("m1", Link.LOCAL, "", PeerLost(Link.RAFT_ASK, "@tcp://m3:9611", "closed"))

    assert lone.decide() is EMPTY


def test_an_answer_to_an_earlier_request_does_not_count() -> None:
    lone = Lone()
    lone.say(reply("m2"))
    late = reply("m3", request_id=lone.reach("m3", "tcp://m3:9611") - 1)
    lone.cluster.give("m1", Link.RAFT_ASK, "@tcp://m3:9611", late)

    assert lone.decide() is EMPTY


def test_a_node_that_answers_no_more_does_not_count() -> None:
    cluster = meet(gathering("m1", "m2", "m3"))
    cluster.run(0.8)
    cluster.cut.add("m3")

    cluster.run(5.0)

    assert stages(cluster) == [EMPTY] * 3
    assert "2 of 3 found" in sentence(cluster, "m1")


# --- what people are told --------------------------------------------------------------------


def test_health_says_how_many_are_found_and_what_is_missing() -> None:
    cluster = meet(gathering("m1", "m2"))
    sight(cluster, "m1", "m3")
    cluster.run(DECIDED)

    assert sentence(cluster, "m1") == (
        "2 of 3 found: waiting for one more; seen m1 at m1:9611, m2 at m2:9611; announced, but not "
        "counted: m3 at m3:9611 (not reached)"
    )
    waiting = [log.fields["detail"] for log in cluster.logged if log.event == "bootstrap.waiting"]
    assert waiting == [
        "1 of 3 found: waiting for 2 more; seen m1 at m1:9611",
        "1 of 3 found: waiting for 2 more; seen m2 at m2:9611",
        "2 of 3 found: waiting for one more; seen m1 at m1:9611, m2 at m2:9611",
        "2 of 3 found: waiting for one more; seen m1 at m1:9611, m2 at m2:9611",
    ]


def test_four_nodes_that_expect_three_found_nothing_and_say_why() -> None:
    cluster = meet(gathering("m1", "m2", "m3", "m4"))
    cluster.run(DECIDED)

    assert stages(cluster) == [EMPTY] * 4
    assert sentence(cluster, "m3").startswith("4 of 3 found: too many")

    cluster.stop("m4")
    cluster.run(DECIDED + 3.0)
    assert stages(cluster) == [FOUNDED] * 3


def test_two_nodes_of_one_id_found_nothing() -> None:
    lone = Lone()
    lone.say(reply("m2"))
    lone.say(reply("m2", address="tcp://m9:9611", journal_id="another"))

    assert lone.decide() is EMPTY
    assert "several nodes are called m2" in lone.core.gathering.sentence()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"expect": 5}, "m3 at m3:9611 expects 5"),
        ({"expect": 0}, "m3 at m3:9611 waits to be added"),
        ({"expect": 0, "stage": LISTED, "founders": LIST[1:]}, "founds a cluster of m2, m3"),
        ({"stage": LISTED, "founders": LIST[1:]}, "m2, m3 found a cluster without m1"),
        (
            {"stage": LISTED, "founders": (Founder("m1", "tcp://m1:1"), *LIST[1:])},
            "m1, m2, m3 found a cluster with m1 at m1:1, where it is no more: give it that address",
        ),
        ({"founders": LIST[1:]}, "waiting for m3 to see all of them"),
    ],
)
def test_the_sentence_names_what_keeps_them_apart(changes: dict[str, object], text: str) -> None:
    lone = Lone()
    lone.say(reply("m2"))
    lone.say(reply("m3", **changes))

    assert text in lone.core.gathering.sentence()


def test_a_node_that_refuses_the_question_or_is_of_another_cluster_is_named() -> None:
    lone = Lone()
    lone.reach("m2", "tcp://m2:9611")
    lone.cluster.give("m1", Link.RAFT_ASK, "@tcp://m2:9611", Refused(1, 4, "what is this?"))
    lone.reach("m3", "tcp://m3:9611")
    strange = PeerIncompatible(Link.RAFT_ASK, "@tcp://m3:9611", "it is of cluster x")
    lone.cluster.give("m1", Link.LOCAL, "", strange)

    text = lone.core.gathering.sentence()
    assert "m2 at m2:9611 (what is this?)" in text
    assert "m3 at m3:9611 (it is of cluster x)" in text


# --- clusters that exist ---------------------------------------------------------------------


def founded() -> Cluster:
    cluster = meet(gathering("m1", "m2", "m3"))
    cluster.run(DECIDED + 3.0)
    return cluster


def test_a_late_node_waits_to_be_added_to_the_cluster_that_it_meets() -> None:
    cluster = founded()
    cluster.start("m4", {}, bootstrap_expect=3)
    sight(cluster, "m4", "m2")
    cluster.run(DECIDED)

    text = sentence(cluster, "m4")
    assert "m4 has met cluster" in text
    assert "of m2 at m2:9611" in text
    assert "run `zreg meta add m4=m4:9611`" in text
    assert stages(cluster)[3] is EMPTY


def test_a_late_node_is_added_as_its_sentence_says() -> None:
    cluster = founded()
    late = cluster.start("m4", {}, bootstrap_expect=3)
    sight(cluster, "m4", "m2")
    cluster.run(DECIDED)

    added = change(cluster, cluster.leader(), AddMeta, 7, "m4", "tcp://m4:9611")
    cluster.run(5.0)

    assert [type(answer) for answer in added] == [Accepted]
    voters = late.raft_driver.raft.configuration.voters
    assert voters == ("m1", "m2", "m3", "m4")
    assert late.gathering.stage is FOUNDED
    assert late.health(cluster.now).problems == ()


def test_a_node_that_met_a_cluster_founds_none_when_that_is_away() -> None:
    lone = Lone()
    lone.say(reply("m5", stage=FOUNDED, cluster_id=b"x" * 16, founders=()))
    lost = PeerLost(Link.RAFT_ASK, "@tcp://m5:9611", "closed")
    lone.cluster.give("m1", Link.LOCAL, "", lost)
    lone.say(reply("m2"))
    lone.say(reply("m3"))

    assert lone.decide() is EMPTY
    assert lone.core.gathering.statement(FoundingReply).founders == ()


def test_a_node_that_has_heard_of_a_term_writes_no_list() -> None:
    """The leader of a cluster that adds this node has asked it already."""
    cluster = founded()
    cluster.start("m4", {}, bootstrap_expect=3, persisted=None)
    raft = cluster.cores["m4"].raft_driver.raft
    raft._state.become_follower(7, None)

    assert not cluster.cores["m4"].gathering.is_gathering


def test_an_empty_node_is_no_fresh_founder_for_its_peers() -> None:
    """It could write another list after the election in which it counted as connected."""
    cluster = gathering("m3")
    for name in ("m1", "m2"):
        cluster.start(name, PEERS)

    cluster.run(5.0)

    assert not any(core.is_leading for core in cluster.cores.values())
    assert "m3 has not agreed on the founders yet" in cluster.cores["m1"]._quorum_alarm.sentence()


def test_a_founder_that_was_asked_with_peers_is_joined_by_one_that_gathers() -> None:
    cluster = gathering("m3")
    for name in ("m1", "m2"):
        cluster.start(name, PEERS)
    sight(cluster, "m3", "m1")

    cluster.run(DECIDED + 4.0)

    assert stages(cluster) == [FOUNDED] * 3


def test_a_founder_that_met_another_cluster_withholds_its_vote() -> None:
    lone = Lone()
    lone.say(reply("m2"))
    lone.say(reply("m3"))
    assert lone.decide() is LISTED
    assert lone.core.gathering.may_elect()

    mine = reply("m2", stage=FOUNDED, founders_digest=founders_of(PEERS), cluster_id=b"m" * 16)
    lone.say(mine, address="tcp://m7:9611")
    assert lone.core.gathering.may_elect()

    other = reply("m9", stage=FOUNDED, founders_digest="another", cluster_id=b"x" * 16)
    lone.say(other)
    assert not lone.core.gathering.may_elect()
    (problem,) = [each for each in lone.core.health(9.0).problems if each.code == "another-cluster"]
    assert "it helps to found no second one" in problem.detail


def test_two_clusters_that_meet_are_named_and_stay_apart() -> None:
    cluster = founded()
    for name in ("m5", "m6", "m7"):
        cluster.start(name, {}, bootstrap_expect=3)
    for reader in ("m5", "m6", "m7"):
        for name in {"m5", "m6", "m7"} - {reader}:
            sight(cluster, reader, name)
    cluster.run(DECIDED + 3.0)
    assert stages(cluster) == [FOUNDED] * 6
    sight(cluster, "m1", "m6")

    cluster.run(25.0)

    codes = {
        name: [problem.code for problem in core.health(cluster.now).problems]
        for name, core in cluster.cores.items()
    }
    assert codes["m1"] == codes["m6"] == ["another-cluster"]
    assert "of m6 at m6:9611" in cluster.cores["m1"].gathering.other_clusters()
    met = [log for log in cluster.logged if log.event == "meta.cluster.met"]
    assert sorted(str(log.fields["node_id"]) for log in met) == ["m1", "m6"]


# --- restarts --------------------------------------------------------------------------------


def test_a_node_that_ends_after_it_has_written_goes_on_after_its_restart() -> None:
    cluster = meet(gathering("m1", "m2", "m3"))
    while stages(cluster).count(LISTED) < 1:
        cluster.run(0.05)
    cluster.stop("m1")
    cluster.run(5.0)
    assert FOUNDED not in stages(cluster)

    persisted = persisted_of(first_save(PEERS))
    cluster.start("m1", PEERS, persisted=persisted, bootstrap_expect=3)
    meet(cluster)
    cluster.run(5.0)

    assert stages(cluster) == [FOUNDED] * 3


def test_a_node_whose_disk_is_lost_before_the_founding_takes_part_again() -> None:
    cluster = meet(gathering("m1", "m2", "m3"))
    while stages(cluster).count(LISTED) < 1:
        cluster.run(0.05)
    cluster.stop("m3")
    cluster.run(2.0)
    assert FOUNDED not in stages(cluster)

    cluster.start("m3", {}, journal_id="a new disk", bootstrap_expect=3)
    meet(cluster)
    cluster.run(DECIDED + 3.0)

    assert stages(cluster) == [FOUNDED] * 3
    journals = cluster.cores["m1"].raft_driver.raft.configuration.journals
    assert journals["m3"] == "a new disk"


# --- bounds ----------------------------------------------------------------------------------


def test_forged_announcements_cost_few_addresses_and_displace_no_node_that_answers() -> None:
    candidates = Candidates(identity_of("m1"))
    candidates.on_sighted(announcement("m2"), 0.0)
    candidates.on_peer_up("@tcp://m2:9611", 0.0)

    effects = []
    for number in range(3 * ADDRESSES_MAX):
        effects += candidates.on_sighted(announcement("x", f"tcp://x{number}:1"), 0.0)

    dropped = [effect.peer for effect in effects if isinstance(effect, Disconnect)]
    assert len(dropped) == 2 * ADDRESSES_MAX + 1
    assert "@tcp://m2:9611" not in dropped


def test_all_addresses_that_answer_leave_no_room() -> None:
    candidates = Candidates(identity_of("m1"))
    for number in range(ADDRESSES_MAX):
        candidates.on_sighted(announcement("x", f"tcp://x{number}:1"), 0.0)
        candidates.on_peer_up(f"@tcp://x{number}:1", 0.0)

    assert candidates.on_sighted(announcement("m2"), 0.0) == []


def test_an_address_that_is_announced_no_more_is_forgotten() -> None:
    candidates = Candidates(identity_of("m1"))
    candidates.on_sighted(announcement("m2"), 0.0)
    for attempt in range(200):
        candidates.on_peer_lost("@tcp://m2:9611", float(attempt))

    assert candidates.next_tick_at() is None
    assert candidates.silent() == []


def test_the_own_address_and_unusable_announcements_are_not_asked() -> None:
    cluster = gathering("m1")
    sight(cluster, "m1", "m1")
    other = announcement("m2", cluster="another")
    cluster.give("m1", Link.LOCAL, "", Sighted("m2", Interface("lan"), other))
    nowhere = AskFounding(*(1, "m2", "", "j", EMPTY, 3, (), "", b""))
    cluster.give("m1", Link.RAFT_ANSWER, b"request", nowhere)

    assert cluster.wanted == {}


def test_a_node_that_does_not_gather_answers_and_asks_nobody() -> None:
    cluster = Cluster(())
    cluster.start("m1", PEERS)
    before = dict(cluster.wanted)
    question = AskFounding(*(1, "m9", "tcp://m9:9611", "j", EMPTY, 3, (), "", b""))
    cluster.give("m1", Link.RAFT_ANSWER, b"request", question)
    sight(cluster, "m1", "m9")

    (answer,) = [send.message for _, send in cluster.sent if send.peer == b"request"]
    assert answer == reply("m1", stage=LISTED, expect=0, founders_digest=founders_of(PEERS))
    assert cluster.wanted == before
    assert cluster.cores["m1"].gathering.next_tick_at() is None


def test_a_founded_node_asks_seldom() -> None:
    cluster = founded()
    cluster.run(12.0)
    asked = []
    for _ in range(200):
        cluster.now += 0.05
        asked += [
            effect
            for effect in cluster.cores["m1"].gathering.tick(cluster.now)
            if isinstance(effect, Send)
        ]

    assert len(asked) == 2


def test_what_comes_of_a_forgotten_address_is_ignored() -> None:
    lone = Lone()
    peer = "@tcp://m9:9611"
    for event in (
        PeerUp(Link.RAFT_ASK, peer),
        PeerIncompatible(Link.RAFT_ASK, peer, "it is of cluster x"),
        PeerLost(Link.RAFT_ASK, peer, "closed"),
    ):
        lone.cluster.give("m1", Link.LOCAL, "", event)
    for record in (reply("m9"), Refused(1, 4, "what is this?"), Ping()):
        lone.cluster.give("m1", Link.RAFT_ASK, peer, record)

    assert lone.core.gathering.sentence() == "1 of 3 found: waiting for 2 more; seen m1 at m1:9611"
    assert lone.core.statistics()["strange_messages"] == 1


def test_few_clusters_are_kept_and_each_is_logged_once() -> None:
    met = MetClusters()
    many = [
        reply(f"m{number}", stage=FOUNDED, cluster_id=bytes([number]) * 16)
        for number in range(2 * ADDRESSES_MAX)
    ]

    logs = met.take(many, "m1")
    assert len(logs) == ADDRESSES_MAX
    assert met.take(many, "m1") == []
    met.forget()
    assert not met
    assert met.take(many[:1], "m1") == []
    assert met.sentence() == "cluster 00000000 of m0 at m0:9611"


def test_a_cluster_without_an_id_is_another_one_only_until_it_tells_its_id() -> None:
    met = MetClusters()
    young = reply("m5", stage=FOUNDED, cluster_id=b"")
    assert met.take([young], "m1") == []
    assert met.sentence() == "cluster without an id yet of m5 at m5:9611"

    (log,) = met.take([reply("m5", stage=FOUNDED, cluster_id=b"x" * 16)], "m1")
    assert isinstance(log, Log)
    assert log.event == "meta.cluster.met"
    assert met.sentence() == "cluster 78787878 of m5 at m5:9611"


def test_founders_of_which_one_is_lost_for_good_begin_again_on_empty_directories() -> None:
    """The way out that operators are told: a written list is never changed."""
    cluster = meet(gathering("m1", "m2", "m3"))
    while stages(cluster).count(LISTED) < 1:
        cluster.run(0.05)
    cluster.stop("m3")
    cluster.start("m4", {}, bootstrap_expect=3)
    meet(cluster)
    cluster.run(DECIDED + 3.0)
    assert stages(cluster) == [LISTED, LISTED, EMPTY]
    assert "m1, m2, m3 found a cluster without m4" in sentence(cluster, "m4")
    (problem,) = cluster.cores["m1"].health(cluster.now).problems
    assert "no connection to m3" in problem.detail
    assert "if one is lost for good or has moved, empty the directories of all" in problem.detail

    for name in ("m1", "m2"):
        cluster.stop(name)
        cluster.start(name, {}, journal_id=f"a new disk of {name}", bootstrap_expect=3)
    meet(cluster)
    cluster.run(DECIDED + 3.0)

    assert stages(cluster) == [FOUNDED] * 3
    assert cluster.cores["m4"].raft_driver.raft.configuration.voters == ("m1", "m2", "m4")
