"""The small parts of Raft: majorities, configurations, learners, the log, reads."""

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raft_helpers import (
    FIVE,
    THREE,
    append_reply,
    append_request,
    commands,
    drive,
    elect,
    elect_alone,
    log_of,
    make_core,
    members,
    settle_leader,
    step,
    tick,
)

from zreg.raft.config import RaftConfig
from zreg.raft.configuration import (
    Configuration,
    ConfigurationHistory,
    check_change,
    decode_configuration,
    encode_configuration,
)
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import ConfigurationError, NotLeaderError
from zreg.raft.log import RaftLog
from zreg.raft.progress import CatchUp, CatchUpState, Progress, Slot
from zreg.raft.quorum import Outcome, majority, majority_value, tally
from zreg.raft.read_index import ReadQueue
from zreg.raft.ready import Persisted, bootstrap, is_gapless
from zreg.raft.status import Role
from zreg.wire.raft_messages import AppendEntries, RaftMessage


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9))
def test_a_majority_value_is_reached_by_a_majority_and_is_the_highest(values: list[int]) -> None:
    value = majority_value(values)

    assert sum(each >= value for each in values) >= majority(len(values))
    assert sum(each > value for each in values) < majority(len(values))


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ({}, Outcome.PENDING),
        ({"n1": True}, Outcome.PENDING),
        ({"n1": True, "n2": True}, Outcome.WON),
        ({"n1": True, "n2": False, "n3": False}, Outcome.LOST),
        ({"n1": True, "n8": True, "n9": True}, Outcome.PENDING),
        ({"n2": False, "n3": False}, Outcome.LOST),
    ],
)
def test_votes_of_voters_decide(votes: dict[str, bool], outcome: Outcome) -> None:
    assert tally(votes, THREE) is outcome


def test_without_voters_an_election_is_lost() -> None:
    assert tally({"n1": True}, ()) is Outcome.LOST


OLD = members(THREE, ("n4",))


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (members((), ("n1",)), "last voter"),
        (members([f"n{number}" for number in range(8)]), "at most 7"),
        (Configuration(("n1", "n2", "n3", "n3"), (), {"n1": "", "n2": "", "n3": ""}), "once"),
        (Configuration(THREE, (), {"n1": ""}), "one address"),
        (OLD.with_journal("n9", "x"), "only members have journals"),
        (OLD.with_journal("n1", "x\ty"), "a journal holds a tab"),
        (members(("n1",)), "one at a time"),
        (members(("n1", "n2"), ("n4", "n5")), "one at a time"),
        (members((*THREE, "n5"), ("n4",)), "catch up"),
        (OLD.with_address("n1", "a\tb"), "line break"),
        (OLD.with_address("n1", "a\nb"), "line break"),
    ],
)
def test_changes_that_are_refused(new: Configuration, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check_change(OLD, new)


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        OLD.with_voter("n4"),
        OLD.without("n4"),
        OLD.without("n1"),
        OLD.with_learner("n5", "at n5"),
        OLD.with_learner("n3", "at n3"),
        OLD.with_address("n2", "elsewhere"),
        OLD.with_journal("n4", "a disk"),
    ],
)
def test_changes_of_one_member_are_allowed(new: Configuration) -> None:
    check_change(OLD, new)
    assert decode_configuration(encode_configuration(new)) == new


def test_a_configuration_is_changed_by_value() -> None:
    assert OLD.with_voter("n4") == members((*THREE, "n4"))
    assert OLD.without("n1") == members(("n2", "n3"), ("n4",))
    assert OLD.with_learner("n3", "at n3") == members(("n1", "n2"), ("n3", "n4"))
    assert OLD.with_address("n2", "x").addresses["n2"] == "x"
    assert members(THREE, ("n4",)) == OLD


@pytest.mark.parametrize(
    "data", [b"garbage", b"voter\tn1", b"king\tn1\there\t", b"voter\tn1\there", b"\xff\t\t\t"]
)
def test_bytes_without_a_configuration_are_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match="no configuration"):
        decode_configuration(data)


def test_a_configuration_may_be_empty() -> None:
    assert decode_configuration(encode_configuration(Configuration())) == Configuration()


def test_a_history_is_truncated_and_compacted() -> None:
    one, two, three = members(THREE), members(FIVE), members(("n1",))
    history = ConfigurationHistory(0, Configuration())
    history.append(1, one)
    history.append(5, two)
    history.append(9, three)
    assert [history.at(index) for index in (0, 1, 4, 5, 8, 9)] == [
        Configuration(), one, one, two, two, three
    ]  # fmt: skip

    history.truncate(9)
    assert (history.latest, history.latest_index) == (two, 5)
    history.compact(6)
    assert (history.latest, history.latest_index, history.at(3)) == (two, 6, two)
    history.append(7, three)
    history.compact(6)
    assert (history.latest, history.at(6)) == (three, two)


def test_a_learner_is_ready_after_a_short_round() -> None:
    catch_up = CatchUp(target_index=10, election_ticks=5)
    catch_up.on_matched(9, 100)
    assert catch_up.state is CatchUpState.RUNNING
    for _ in range(6):
        catch_up.tick()
    catch_up.on_matched(10, 100)
    assert catch_up.state is CatchUpState.RUNNING
    catch_up.on_matched(99, 120)
    assert catch_up.state is CatchUpState.RUNNING

    catch_up.on_matched(100, 130)

    assert catch_up.state is CatchUpState.READY


def test_a_learner_that_stays_behind_for_ten_rounds_is_given_up() -> None:
    catch_up = CatchUp(target_index=10, election_ticks=5)
    for number in range(10):
        assert catch_up.state is CatchUpState.RUNNING
        for _ in range(6):
            catch_up.tick()
        catch_up.on_matched(10 * (number + 1), 10 * (number + 2))

    assert catch_up.state is CatchUpState.FAILED


def test_a_learner_that_was_given_up_may_try_again() -> None:
    """A learner may be added long before it is started."""
    catch_up = CatchUp(target_index=10, election_ticks=5)
    for _ in range(60):
        catch_up.tick()
    assert catch_up.state is CatchUpState.FAILED

    catch_up.on_matched(0, 30)
    assert catch_up.state is CatchUpState.RUNNING
    catch_up.tick()
    catch_up.on_matched(30, 31)
    assert catch_up.state is CatchUpState.READY


def test_a_slot_takes_the_reply_to_its_request_only() -> None:
    slot = Slot()
    request = append_request(term=1)
    assert slot.settle(8) is None
    slot.occupy(request, free_at=5)

    assert slot.free_at == 5
    assert slot.settle(7) is None
    assert slot.settle(8) is request
    assert slot.settle(8) is None
    assert slot.free_at == 0


def test_progress_never_goes_back() -> None:
    progress = Progress(next_index=10, now=0)
    assert progress.on_rejected(9, 3)
    assert progress.next_index == 4
    progress.on_matched(6)
    progress.on_matched(2)

    assert (progress.match_index, progress.next_index) == (6, 7)
    assert not progress.on_rejected(6, 1)
    assert progress.next_index == 7


@given(st.lists(st.sampled_from(["add", "open", "confirm", "take"]), max_size=40))
def test_reads_come_out_in_order_and_none_is_lost(actions: list[str]) -> None:
    queue, token, taken = ReadQueue(), 0, []
    for action in actions:
        if action == "add":
            token += 1
            queue.add(token)
        elif action == "open":
            queue.open_round(token)
        elif action == "confirm":
            queue.confirm(queue.round)
        else:
            taken += [read.token for read in queue.take(token)]

    assert taken + queue.drop() == list(range(1, token + 1))


def test_a_read_waits_until_its_index_is_applied() -> None:
    queue = ReadQueue()
    queue.add(1)
    queue.open_round(5)
    assert queue.is_pending
    queue.confirm(0)
    assert queue.take(9) == ()
    queue.confirm(1)

    assert queue.take(4) == ()
    assert [read.token for read in queue.take(5)] == [1]


@given(st.lists(st.integers(1, 4), max_size=12).map(sorted), st.integers(0, 14), st.integers(0, 5))
def test_the_hint_is_the_last_index_that_may_agree(terms: list[int], index: int, term: int) -> None:
    log = RaftLog(Persisted(term=9, entries=commands(1, *terms)))

    found = log.index_not_above(index, term)

    known = dict(enumerate(terms, start=1)) | {0: 0}
    assert found == max(
        (each for each in known if each <= index and known[each] <= term), default=0
    )


@given(
    st.lists(st.integers(1, 3), max_size=8).map(sorted),
    st.lists(st.integers(1, 3), max_size=8).map(sorted),
    st.data(),
)
def test_merging_makes_the_logs_agree_and_truncates_only_at_conflicts(
    mine: list[int], theirs: list[int], data: st.DataObject
) -> None:
    log = RaftLog(Persisted(term=9, entries=commands(1, *mine)))
    agreed = 0
    for one, other in zip(mine, theirs, strict=False):
        if one != other:
            break
        agreed += 1
    start = data.draw(st.integers(0, agreed))
    stop = data.draw(st.integers(start, len(theirs)))

    log.merge(commands(1, *theirs)[start:stop])

    kept = [entry.term for entry in log.entries_between(0, log.last_index)]
    expected = mine if stop <= agreed else theirs[:stop] if theirs[:stop] != mine[:stop] else mine
    assert kept == expected


def test_entries_from_fit_the_limit_except_for_the_first() -> None:
    log = RaftLog(Persisted(term=1, entries=commands(1, 1, 1, 1)))
    size = commands(1, 1)[0].size_bytes

    assert [entry.index for entry in log.entries_from(1, 1)] == [1]
    assert [entry.index for entry in log.entries_from(1, 2 * size)] == [1, 2]
    assert [entry.index for entry in log.entries_from(2, 1000)] == [2, 3]
    assert log.entries_from(4, 1000) == ()


def test_compaction_keeps_a_tail_within_count_and_bytes() -> None:
    size = commands(1, 1)[0].size_bytes
    log = RaftLog(Persisted(term=1, entries=commands(1, *([1] * 9))))
    log.commit_to(8)
    log.take_committed(100)

    log.compact(b"state", keep_count=3, keep_bytes=1000)
    assert (log.anchor_index, log.last_index, log.size_bytes) == (5, 9, 4 * size)
    log.compact(b"state", keep_count=3, keep_bytes=2 * size)
    assert (log.anchor_index, log.last_index, log.size_bytes) == (7, 9, 2 * size)
    assert log.take_save(1, None).compact_to == 6


def test_gaps_and_falling_terms_are_found() -> None:
    assert is_gapless(1, 1, commands(2, 1, 2))
    assert not is_gapless(1, 1, commands(3, 1))
    assert not is_gapless(1, 2, commands(2, 1))


def test_every_message_and_snapshot_survives_the_wire() -> None:
    decoder = msgspec.msgpack.Decoder(RaftMessage)
    core = make_core(log=log_of(1, 1))
    sent = [*elect(core).appends, *tick(core, 12).messages]

    for message in sent:
        assert decoder.decode(msgspec.msgpack.encode(message)) == message


@pytest.mark.parametrize("value", [-1, 2**62 + 1])
def test_numbers_beyond_the_limits_are_refused_on_the_wire(value: int) -> None:
    request = msgspec.structs.replace(append_request(term=1), term=value)

    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=RaftMessage)


def test_the_status_of_a_leader_shows_its_peers() -> None:
    core = make_core(log=log_of(1, configuration=members(("n1", "n2"), ("n3",))))
    settle_leader(core, elect(core))
    tick(core, 2)

    status = core.status()

    assert (status.role, status.leader, status.term, status.node_id) == (Role.LEADER, "n1", 2, "n1")
    assert (status.commit_index, status.applied_index, status.last_index) == (2, 2, 2)
    assert status.peers["n2"].match_index == 2
    assert status.peers["n2"].silent_ticks == 2
    assert status.peers["n3"].catch_up is CatchUpState.READY
    assert "leader term=2" in repr(core)


def test_the_status_of_a_follower_shows_no_peers() -> None:
    status = make_core().status()

    assert status.peers == {}
    assert status.transfer_target is None
    assert make_core().catch_up_state("n2") is None


@pytest.mark.parametrize("limits", [{"compact_entry_count": 5}, {"compact_bytes": 150}])
def test_compaction_is_due_after_entries_or_bytes(limits: dict[str, int]) -> None:
    core = make_core(log=log_of(1, configuration=members(("n1",))), **limits)
    assert not core.is_compaction_due
    elect_alone(core)
    for _ in range(5):
        core.propose(b"0123456789")
        drive(core)
    assert core.is_compaction_due

    core.compact(b"state")

    assert not core.is_compaction_due
    assert drive(core).saves[0].snapshot is not None


def test_a_bootstrapped_node_leads_alone() -> None:
    save = bootstrap(members(("n1",)))
    persisted = Persisted(term=save.term, vote=save.vote, entries=save.entries)
    core = RaftCore(RaftConfig(node_id="n1"), persisted, Random(3))

    elect_alone(core)
    core.read_index(4)

    outcome = drive(core)
    assert [read.token for read in outcome.reads] == [4]
    assert core.configuration == members(("n1",))


def test_a_learner_waits_and_does_not_campaign() -> None:
    core = make_core("n4", log=log_of(1, configuration=members(THREE, ("n4",))))

    assert tick(core, 100).requests == []
    assert core.role is Role.FOLLOWER
    with pytest.raises(NotLeaderError, match="after an election"):
        core.transfer_leader("n1")


def test_a_demoted_leader_steps_down_when_that_is_committed() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    core.change_configuration(core.configuration.with_learner("n1", "at n1"))

    settle_leader(core, drive(core))

    assert core.role is Role.FOLLOWER
    assert core.configuration.learners == ("n1",)


def test_a_learner_keeps_its_progress_when_other_members_change() -> None:
    core = make_core(log=log_of(1, configuration=members(THREE, ("n4",))))
    settle_leader(core, elect(core))
    assert core.catch_up_state("n4") is CatchUpState.READY

    core.change_configuration(core.configuration.with_learner("n5", "at n5"))

    assert core.catch_up_state("n4") is CatchUpState.READY
    assert core.catch_up_state("n5") is CatchUpState.RUNNING


def test_a_transfer_without_an_answer_ends_after_an_election_timeout() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    core.transfer_leader("n2")
    (request,) = drive(core).appends
    assert request.receiver == "n2"

    tick(core, 10)

    assert core.status().transfer_target is None
    assert [each.receiver for each in drive(core).appends] == []


def test_a_heartbeat_carries_the_commit_index() -> None:
    core = make_core()
    settle_leader(core, elect(core))

    (beat, _) = tick(core).appends

    assert isinstance(beat, AppendEntries)
    assert beat.commit_index == 2


def test_a_batch_of_proposals_is_one_request_per_peer() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    entries = [core.propose(b"%d" % number) for number in range(50)]

    outcome = drive(core)

    assert len(outcome.appends) == 2
    assert outcome.saves[0].entries == tuple(entries)
    assert len(step(core, append_reply(outcome.appends[0])).committed) == 50
