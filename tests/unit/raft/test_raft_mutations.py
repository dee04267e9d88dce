"""A test of the tests: with one guard removed in memory, a directed scenario must fail."""

from collections.abc import Callable

import pytest
import test_raft_bugs as bugs
import test_raft_paper as paper
import test_raft_scenarios_elections as elections
import test_raft_scenarios_log as logs
import test_raft_scenarios_members as members

from zreg.testing.raft.mutations import MUTATIONS, mutated

NOTICED_BY: dict[str, Callable[[], object]] = {
    "vote durability": elections.test_06_a_vote_survives_a_restart,
    "vote kept in the term": elections.test_09_stepping_down_in_a_term_keeps_the_vote,
    "sync before answer": members.test_40_a_restart_brings_back_log_members_and_snapshot,
    "own disk counted when saved": (
        logs.test_24_a_single_voter_counts_only_its_saved_entries_and_no_learner
    ),
    "own-term commit": logs.test_22_figure_8_an_entry_of_an_old_term_may_still_be_overwritten,
    "conflict-only truncation": logs.test_18_a_late_append_truncates_no_acknowledged_entry,
    "commit what was matched": bugs.test_bug_08_the_commit_index_stays_within_the_matched_entries,
    "reply to this request": members.test_34_a_paused_leader_takes_no_old_reply_for_a_new_read,
    "duplicate votes": elections.test_07_a_repeated_vote_counts_once,
    "membership-change fix": members.single_server_bug,
    "one change at a time": bugs.test_bug_12_a_second_change_waits_for_the_first,
    "configuration rolled back": bugs.test_bug_13_a_truncated_configuration_is_rolled_back,
    "read round": members.test_33_a_leader_that_was_replaced_answers_no_read,
    "removed leader finishes": (
        members.test_38_a_pair_can_be_reduced_and_the_removed_leader_may_have_to_finish_it
    ),
    "up-to-date vote": lambda: paper.test_a_vote_needs_a_log_at_least_as_up_to_date(
        (2, 2), is_granted=False
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_removed_guard_is_noticed(name: str) -> None:
    with mutated(name), pytest.raises((AssertionError, pytest.fail.Exception)):
        NOTICED_BY[name]()


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name != "membership-change fix"])
def test_the_scenario_passes_with_the_guard(name: str) -> None:
    NOTICED_BY[name]()
