"""A cluster is founded once: an empty journal is that of a new node, or one that has forgotten."""

import pytest
from meta_fakes import NAMES, PEERS, Cluster, change, running
from msgspec.structs import replace

from zreg.meta.peers.identity import first_save, persisted_of
from zreg.raft.configuration import Configuration, encode_configuration
from zreg.raft.ready import Persisted
from zreg.raft.status import Role
from zreg.wire.messages import Message
from zreg.wire.meta_messages import AddMeta
from zreg.wire.raft_messages import AppendEntries, Entry, EntryKind

# What the first leader of all writes first, and what a founder has that heard of no more.
NOOP = Entry(2, 2, EntryKind.NOOP, b"")
BEGUN = Persisted(term=2, vote="m1", entries=(*first_save(PEERS).entries, NOOP))


def anybody_leads(cluster: Cluster) -> bool:
    return any(core.raft_driver.raft.role is Role.LEADER for core in cluster.cores.values())


def sentence(cluster: Cluster, name: str) -> str:
    return cluster.cores[name]._quorum_alarm.sentence()


def test_two_that_come_back_empty_found_no_second_cluster() -> None:
    """They are a majority of those who were named first, and one that is away holds the first."""
    cluster = running()
    holder, *lost = cluster.cores
    kept = cluster.kept(holder)
    for name in NAMES:
        cluster.stop(name)
    for name in lost:
        cluster.start(name, journal_id=f"a new disk of {name}")
    cluster.run(10.0)

    assert not anybody_leads(cluster)
    for name in lost:
        assert f"has no connection to {holder} (not reached)" in sentence(cluster, name)
        assert f"run `zreg meta rm {name}`, then `zreg meta add {name}=" in sentence(cluster, name)
    assert cluster.events().count("raft.quorum.missing") == 2

    cluster.start(holder, persisted=kept)
    cluster.run(5.0)
    assert not anybody_leads(cluster)
    assert set(cluster.failed()) == set(lost)
    assert all("comes without the journal" in reason for reason in cluster.failed().values())


def test_the_first_start_waits_for_all_founders() -> None:
    cluster = Cluster(())
    for name in ("m1", "m2"):
        cluster.start(name)
    cluster.run(10.0)
    assert not anybody_leads(cluster)
    assert "has no connection to m3 (not reached): start them" in sentence(cluster, "m1")
    assert "m3" in repr(cluster.cores["m1"].raft_driver.peers.introductions.bootstrap)

    cluster.start("m3")
    cluster.run(4.0)

    assert cluster.leader() in NAMES
    assert [sentence(cluster, name) for name in NAMES] == ["", "", ""]


def test_a_founder_that_was_added_by_mistake_counts_as_one() -> None:
    """Its unit file had --join from the start: the others begin, and it gets their log."""
    cluster = Cluster(())
    for name in ("m1", "m2"):
        cluster.start(name)
    cluster.start("m3", {})
    cluster.run(5.0)

    assert cluster.leader() in ("m1", "m2")
    journals = cluster.cores["m3"].raft_driver.raft.configuration.journals
    assert journals == {name: f"journal of {name}" for name in NAMES}


def test_the_journals_of_all_are_named_before_anything_is_agreed_on() -> None:
    cluster = running()

    for core in cluster.cores.values():
        log = core.raft_driver.raft.log
        kinds = [entry.kind for entry in log.entries_between(0, 4)]
        founded = [EntryKind.CONFIGURATION, EntryKind.NOOP, EntryKind.CONFIGURATION]
        assert kinds == [*founded, EntryKind.COMMAND]
        assert set(log.history.at(3).journals) == set(NAMES)


def test_who_led_first_and_told_nobody_leads_again() -> None:
    """It restarted; the others are as empty as before, and leave it to the one that is not."""
    cluster = Cluster(())
    for name in ("m2", "m3"):
        cluster.start(name)
    cluster.run(5.0)
    assert not anybody_leads(cluster)

    cluster.start("m1", persisted=BEGUN)
    cluster.run(5.0)

    assert cluster.leader() == "m1"
    assert {core.membership.cluster_id for core in cluster.cores.values()} == {b"m1" * 8}


def test_the_fresh_elect_none_of_themselves_beside_one_that_has_heard_of_a_leader() -> None:
    """What it holds may be agreed on: most had it, and one of them came back empty."""
    cluster = Cluster(())
    for name in ("m2", "m3"):
        cluster.start(name)
    cluster.start("m1", persisted=BEGUN)

    cluster.run(8.0, "m2", "m3")

    assert all(cluster.cores[name].raft_driver.peers.up_count == 2 for name in ("m2", "m3"))
    assert not anybody_leads(cluster)


def test_a_leader_founds_nothing_before_it_has_met_all_founders() -> None:
    """One that is away may have lost its disk: no later leader could tell, were it not named."""
    cluster = Cluster(())
    for name in ("m1", "m2"):
        cluster.start(name, persisted=BEGUN)
    cluster.run(4.0)

    assert anybody_leads(cluster)
    assert not any(core.is_leading or core.epoch for core in cluster.cores.values())
    sentences = [sentence(cluster, name) for name in cluster.cores]
    assert any("founds the cluster when it has met m3: start them" in each for each in sentences)

    cluster.start("m3")
    cluster.run(4.0)
    assert cluster.leader() in ("m1", "m2")
    assert {core.membership.cluster_id for core in cluster.cores.values()} != {b""}


def dropping_entries_to(cluster: Cluster, deaf: set[str]) -> None:
    """Let no entry reach these."""
    carry = cluster.ask

    def ask(name: str, peer: str, message: Message) -> None:
        if not (isinstance(message, AppendEntries) and peer in deaf):
            carry(name, peer, message)

    cluster.ask = ask  # type: ignore[method-assign]


def test_a_founder_that_heard_of_no_leader_votes_when_another_one_knows_its_journal() -> None:
    """Two founded the cluster, and one of them is gone: the third is as empty as at the start."""
    cluster = Cluster()
    late, deaf = "m3", {"m3"}
    dropping_entries_to(cluster, deaf)
    cluster.run(3.0)
    former = cluster.leader()
    raft = cluster.cores[late].raft_driver.raft
    assert (former != late, raft.log.last_index) == (True, 1)
    cluster.stop(former)
    deaf.clear()
    cluster.run(8.0)

    assert cluster.leader() not in (late, former)
    assert raft.configuration.journals[late] == f"journal of {late}"


def test_an_empty_journal_may_be_replaced_before_the_first_election_only() -> None:
    """In an election it may have voted, and could again; before that nobody has promised much."""
    cluster = Cluster(())
    cluster.start("m1")
    for journal_id in ("first", "second"):
        cluster.start("m2", journal_id=journal_id)
        cluster.run(2.0)
        assert cluster.cores["m1"].raft_driver.peers.is_up("m2")
        cluster.stop("m2")
    voted = replace(persisted_of(first_save(PEERS)), term=2, vote="m1")
    cluster.stop("m1")
    cluster.start("m1", persisted=voted)
    for journal_id in ("second", "third"):
        cluster.start("m2", journal_id=journal_id)
        cluster.run(2.0)
        if journal_id == "second":
            cluster.stop("m2")
    cluster.start("m3")
    cluster.run(4.0)

    assert not anybody_leads(cluster)
    assert cluster.failed() == {}
    why = cluster.cores["m1"].raft_driver.peers.missing()["m2"]
    assert "m2 came with another journal before" in why


def test_who_reads_how_it_was_alone_once_does_not_lead_alone_again() -> None:
    """It was the first of all, lost its disk and was added again: its log begins with itself."""
    alone = {"m1": PEERS["m1"]}
    cluster = Cluster(())
    cluster.start("m1", {}, journal_id="a new disk", persisted=persisted_of(first_save(alone)))
    named = running(("m1",)).kept("m1")
    other = Cluster(())
    other.start("m1", {}, journal_id="a new disk", persisted=named)
    for each in (cluster, other):
        each.run(5.0)
        assert each.cores["m1"].raft_driver.raft.configuration.voters == ("m1",)
        assert not anybody_leads(each)

    other.stop("m1")
    other.start("m1", {}, journal_id="journal of m1", persisted=named)
    assert other.leader() == "m1"


def test_who_hands_over_before_it_founded_leaves_that_to_the_next_leader() -> None:
    cluster = Cluster(())
    for name in ("m1", "m2"):
        cluster.start(name, persisted=BEGUN)
    cluster.run(4.0)
    former, other = sorted(
        cluster.cores, key=lambda name: cluster.cores[name].raft_driver.raft.role is not Role.LEADER
    )
    core = cluster.cores[former]
    bootstrap = core.raft_driver.peers.introductions.bootstrap
    met = cluster.cores[other].raft_driver.peers.introductions.accepted[former]
    bootstrap.on_introduction(replace(met, sender="m3", journal_id="journal of m3"))
    core.raft_driver.raft.transfer_leader(other)

    core._leader.voter_upkeep.name_founders()

    assert bootstrap.unnamed_voters() == list(NAMES)
    cluster.start("m3")
    cluster.run(2.0)
    assert cluster.leader() in NAMES


@pytest.mark.parametrize(("journal_id", "may_elect"), [("journal of m4", True), ("new", False)])
def test_a_node_that_was_added_may_be_needed_to_commit_its_removal(
    journal_id: str, *, may_elect: bool
) -> None:
    """Unless it is one that reads of it, and has another journal than it had then."""
    first = persisted_of(first_save(PEERS)).entries
    before = Configuration(NAMES, (), PEERS).with_learner("m4", "tcp://m4:9611").with_voter("m4")
    changes = (before.with_journal("m4", "journal of m4"), before.without("m4"))
    later = tuple(
        Entry(index, 2, EntryKind.CONFIGURATION, encode_configuration(change))
        for index, change in enumerate(changes, 2)
    )
    kept = Persisted(term=2, entries=(*first, *later))
    cluster = Cluster(())

    core = cluster.start("m4", {}, journal_id=journal_id, persisted=kept)

    assert core.raft_driver.peers.introductions.bootstrap.may_elect(3) is may_elect


def test_one_that_was_alone_once_hears_of_the_others_before_it_is_alone_again() -> None:
    """It lost its disk and is started as the first time, while two that were added go on."""
    cluster = running(("m1",))
    for name in ("m2", "m3"):
        change(cluster, "m1", AddMeta, 7, name, PEERS[name])
        cluster.start(name, {})
        cluster.run(3.0)
    cluster.stop("m1")
    cluster.run(3.0)
    assert cluster.leader() != "m1"

    core = cluster.start("m1", {"m1": PEERS["m1"]}, journal_id="a new disk")
    cluster.run(0.5)

    assert not core.is_leading
    assert set(cluster.failed()) == {"m1"}
    assert "m1 comes without the journal that it had" in cluster.failed()["m1"]
