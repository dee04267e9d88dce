"""A cluster is founded once, although an empty journal may be new or lost."""

import pytest
from meta_fakes import NAMES, PEERS, Cluster, change, running
from msgspec.structs import replace

from zreg.meta.peers.identity import first_save, persisted_of
from zreg.raft.configuration import Configuration, encode_configuration
from zreg.raft.ready import Persisted
from zreg.raft.status import Role
from zreg.wire.messages import Message
from zreg.wire.records.meta_messages import AddMeta
from zreg.wire.records.raft_messages import AppendEntries, Entry, EntryKind

# The first entry of the first leader, as a founder has it that heard no more.
NOOP = Entry(2, 2, EntryKind.NOOP, b"")
BEGUN = Persisted(term=2, vote="m1", entries=(*first_save(PEERS).entries, NOOP))


def has_leader(cluster: Cluster) -> bool:
    return any(core.raft_driver.raft.role is Role.LEADER for core in cluster.cores.values())


def sentence(cluster: Cluster, name: str) -> str:
    return cluster.cores[name]._quorum_alarm.sentence()


def test_two_founders_that_lost_their_journals_found_no_second_cluster() -> None:
    """They are a majority of the founders, and the third holds the first cluster."""
    cluster = running()
    holder, *lost = cluster.cores
    kept = cluster.journal_of(holder)
    for name in NAMES:
        cluster.stop(name)
    for name in lost:
        cluster.start(name, journal_id=f"a new disk of {name}")
    cluster.run(10.0)

    assert not has_leader(cluster)
    for name in lost:
        assert f"has no connection to {holder} (not reached)" in sentence(cluster, name)
        assert f"run `zreg meta rm {name}`, then `zreg meta add {name}=" in sentence(cluster, name)
    assert cluster.events().count("raft.quorum.missing") == 2

    cluster.start(holder, persisted=kept)
    cluster.run(5.0)
    assert not has_leader(cluster)
    assert set(cluster.failed()) == set(lost)
    assert all("comes without the journal" in reason for reason in cluster.failed().values())


def test_the_first_start_waits_for_all_founders() -> None:
    cluster = Cluster(())
    for name in ("m1", "m2"):
        cluster.start(name)
    cluster.run(10.0)
    assert not has_leader(cluster)
    assert "has no connection to m3 (not reached): start them" in sentence(cluster, "m1")
    assert "m3" in repr(cluster.cores["m1"].raft_driver.peers.introductions.bootstrap)

    cluster.start("m3")
    cluster.run(4.0)

    assert cluster.leader() in NAMES
    assert [sentence(cluster, name) for name in NAMES] == ["", "", ""]


def test_a_founder_that_was_started_with_join_counts_as_a_founder() -> None:
    """The other founders begin, and it gets their log."""
    cluster = Cluster(())
    for name in ("m1", "m2"):
        cluster.start(name)
    cluster.start("m3", {})
    cluster.run(5.0)

    assert cluster.leader() in ("m1", "m2")
    journals = cluster.cores["m3"].raft_driver.raft.configuration.journals
    assert journals == {name: f"journal of {name}" for name in NAMES}


def test_all_journals_are_named_before_the_first_command() -> None:
    cluster = running()

    for core in cluster.cores.values():
        log = core.raft_driver.raft.log
        kinds = [entry.kind for entry in log.entries_between(0, 4)]
        founded = [EntryKind.CONFIGURATION, EntryKind.NOOP, EntryKind.CONFIGURATION]
        assert kinds == [*founded, EntryKind.COMMAND]
        assert set(log.history.at(3).journals) == set(NAMES)


def test_a_first_leader_that_restarted_before_it_replicated_leads_again() -> None:
    """The others are fresh still, and vote for the one that is not."""
    cluster = Cluster(())
    for name in ("m2", "m3"):
        cluster.start(name)
    cluster.run(5.0)
    assert not has_leader(cluster)

    cluster.start("m1", persisted=BEGUN)
    cluster.run(5.0)

    assert cluster.leader() == "m1"
    assert {core.membership.cluster_id for core in cluster.cores.values()} == {b"m1" * 8}


def test_fresh_founders_elect_only_a_founder_that_has_heard_of_a_leader() -> None:
    """Its entries may be committed: a majority may have had them, and lost a journal since."""
    cluster = Cluster(())
    for name in ("m2", "m3"):
        cluster.start(name)
    cluster.start("m1", persisted=BEGUN)

    cluster.run(8.0, "m2", "m3")

    assert all(cluster.cores[name].raft_driver.peers.up_count == 2 for name in ("m2", "m3"))
    assert not has_leader(cluster)


def test_a_leader_founds_nothing_before_it_has_met_all_founders() -> None:
    """A founder that is away may lose its journal: only a named one is missed later."""
    cluster = Cluster(())
    for name in ("m1", "m2"):
        cluster.start(name, persisted=BEGUN)
    cluster.run(4.0)

    assert has_leader(cluster)
    assert not any(core.is_leading or core.epoch for core in cluster.cores.values())
    sentences = [sentence(cluster, name) for name in cluster.cores]
    assert any("founds the cluster when it has met m3: start them" in each for each in sentences)

    cluster.start("m3")
    cluster.run(4.0)
    assert cluster.leader() in ("m1", "m2")
    assert {core.membership.cluster_id for core in cluster.cores.values()} != {b""}


def dropping_entries_to(cluster: Cluster, deaf: set[str]) -> None:
    """Drop the entries sent to these nodes."""
    carry = cluster.ask

    def ask(name: str, peer: str, message: Message) -> None:
        if not (isinstance(message, AppendEntries) and peer in deaf):
            carry(name, peer, message)

    cluster.ask = ask  # type: ignore[method-assign]


def test_a_fresh_founder_votes_when_a_peer_knows_its_journal() -> None:
    """Two founded the cluster, and one of them is gone; the third is as fresh as at the start."""
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
    """In an election the first journal may hold a vote, which the second one has forgotten."""
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

    assert not has_leader(cluster)
    assert cluster.failed() == {}
    why = cluster.cores["m1"].raft_driver.peers.missing()["m2"]
    assert "m2 came with another journal before" in why


def test_a_former_lone_node_that_was_added_again_does_not_lead_alone() -> None:
    """It was the first node, lost its journal and was added again: the log begins with itself."""
    alone = {"m1": PEERS["m1"]}
    cluster = Cluster(())
    cluster.start("m1", {}, journal_id="a new disk", persisted=persisted_of(first_save(alone)))
    named = running(("m1",)).journal_of("m1")
    other = Cluster(())
    other.start("m1", {}, journal_id="a new disk", persisted=named)
    for each in (cluster, other):
        each.run(5.0)
        assert each.cores["m1"].raft_driver.raft.configuration.voters == ("m1",)
        assert not has_leader(each)

    other.stop("m1")
    other.start("m1", {}, journal_id="journal of m1", persisted=named)
    assert other.leader() == "m1"


def test_a_leader_that_hands_over_before_founding_leaves_it_to_the_next_leader() -> None:
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
    """A node that reads of its removal with another journal than it had then does not vote."""
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


def test_a_former_lone_node_that_lost_its_journal_ends_instead_of_founding() -> None:
    """It is started as the first time, while two nodes that were added to it go on."""
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
