"""A test of the tests: with one rule taken out of the code, a directed scenario must notice.

The rules are those at the end of section 7 of the design, and those that building taught (section
11). The scenarios are tests of their own, so they pass as long as the rule is there.
"""

from collections.abc import Callable
from functools import partial

import mutations_client as client
import mutations_copies as copies
import mutations_data as data
import mutations_http as http
import mutations_session as session
import pytest
import test_sim_client_promises as client_promises
import test_sim_copies as copies_promises
import test_sim_data_promises as data_promises
import test_sim_http_instances as http_instances
import test_sim_moves as moves
import test_sim_session_promises as session_promises
from mutations import Mutation, mutated
from promises import BrokenPromiseError

from zreg.testing.sim.disk import SimDisk

Scenario = Callable[[], None]

SECTION_7: dict[Mutation, Scenario] = {
    data.a_snapshot_merged_by_replacing: (
        data_promises.test_a_restarted_data_node_that_lacks_a_publisher_removes_nothing
    ),
    data.no_revision_for_quiet_changes: (
        data_promises.test_each_stored_change_has_a_revision_of_its_own
    ),
    data.a_guard_against_sessions_in_their_grace: (
        data_promises.test_the_publishers_of_a_dead_session_stay_for_its_grace
    ),
    data.a_counter_per_datum: (
        data_promises.test_an_id_that_was_empty_for_long_gets_versions_that_no_content_had
    ),
    data.no_fencing_of_a_deposed_primary: (
        data_promises.test_no_write_is_accepted_by_a_data_node_that_is_no_longer_the_primary
    ),
    session.leases_judged_by_a_judge_that_slept: (
        session_promises.test_a_session_that_was_stopped_judges_no_client_when_it_wakes
    ),
    data.working_taken_from_disk: (
        client_promises.test_a_data_node_that_starts_while_meta_is_away_answers_nothing
    ),
    data.no_restamp: (
        data_promises.test_a_publisher_that_died_with_its_session_and_the_data_node_leaves_the_views
    ),
    data.tombstones_prolonged: (
        data_promises.test_a_removal_that_comes_twice_is_remembered_no_longer
    ),
}
SECTION_11: dict[Mutation, Scenario] = {
    data.a_quiet_change_is_hinted: data_promises.test_a_replay_pushes_nothing,
    data.a_forgotten_session_proves_absence: (
        data_promises.test_that_meta_has_forgotten_a_session_removes_nothing
    ),
    data.rings_slept_through_are_trusted: (
        data_promises.test_a_data_node_that_slept_through_a_ring_removes_nothing
    ),
    data.suspicions_of_departed_sessions_count: (
        data_promises.test_what_a_departed_session_suspects_removes_nothing
    ),
    data.departed_sessions_register: (
        data_promises.test_a_departed_session_that_wakes_takes_no_publisher_from_a_living_one
    ),
    data.suspicions_are_judged_at_once: (
        data_promises.test_a_suspicion_waits_for_a_session_that_the_data_node_does_not_hear
    ),
    data.sessions_that_were_heard_are_there: (
        data_promises.test_a_suspicion_waits_for_a_session_that_was_cut_off_a_moment_ago
    ),
    data.only_members_have_clients_that_wait: (
        data_promises.test_a_suspicion_waits_for_a_session_that_meta_has_not_admitted_yet
    ),
    session.who_waits_for_a_membership_is_not_told: (
        data_promises.test_a_suspicion_waits_for_a_session_that_meta_takes_for_dead
    ),
    data.clients_wait_no_longer_than_a_connection: (
        data_promises.test_a_client_waits_on_when_the_connection_of_its_session_breaks_once
    ),
    session.who_waits_is_named_once: (
        data_promises.test_a_client_waits_on_at_a_session_that_a_data_node_has_forgotten
    ),
    session.an_isolated_session_goes_on: (
        session_promises.test_a_session_that_reaches_neither_meta_nor_a_data_node_sends_its_clients_away
    ),
    session.clients_that_are_lost_together_have_died: (
        session_promises.test_a_session_that_loses_all_its_clients_at_once_removes_none_of_them
    ),
    session.calls_are_answered_before_replays: (
        data_promises.test_a_suspicion_waits_for_a_session_that_is_stopped
    ),
    data.a_departed_session_had_no_clients: (
        data_promises.test_a_suspicion_waits_for_a_departed_session_that_has_not_compared
    ),
    data.a_new_life_keeps_what_the_former_held: (
        data_promises.test_a_data_node_that_was_taken_for_dead_begins_its_new_life_empty
    ),
    data.a_publisher_id_is_shared: (
        data_promises.test_a_publisher_id_of_another_client_is_refused_and_never_repaired
    ),
    data.peers_say_who_a_node_is: data_promises.test_a_data_node_learns_from_no_peer_who_it_is,
    data.an_unidentified_session_is_not_answered: (
        session_promises.test_a_data_node_that_found_a_session_slow_reconciles_with_it_after_the_next_ring
    ),
    session.requests_are_sent_again_by_timer: (
        session_promises.test_a_data_node_that_answers_late_accepts_everything_and_gets_each_request_once
    ),
    session.an_unacknowledged_push_is_replaced_by_the_list: (
        session_promises.test_a_subscriber_that_acknowledges_late_gets_one_window_of_changes_at_a_time
    ),
    session.a_window_never_fills: (
        session_promises.test_a_subscriber_that_acknowledges_late_gets_one_window_of_changes_at_a_time
    ),
    session.any_acknowledgement_counts: (
        session_promises.test_an_acknowledgement_that_names_another_push_ends_none
    ),
    session.slow_is_dead: (
        session_promises.test_a_publisher_that_does_not_read_for_a_while_stays_in_all_views
    ),
    session.a_close_found_after_a_stall_counts: (
        session_promises.test_a_close_that_a_session_finds_after_it_was_stopped_removes_nothing
    ),
    session.a_session_learns_only_from_meta: (
        session_promises.test_a_session_that_is_cut_off_from_meta_alone_changes_no_view
    ),
    session.suspicions_are_sent_under_any_incarnation: (
        session_promises.test_a_suspicion_under_a_former_incarnation_is_sent_to_no_data_node
    ),
    session.own_publishers_are_dropped_with_a_snapshot: (
        session_promises.test_a_session_drops_no_publisher_of_its_own_because_a_primary_lacks_it
    ),
    session.withdrawals_are_not_counted: (
        session_promises.test_withdrawals_that_wait_for_a_data_node_count_for_their_client
    ),
    session.answers_are_not_cut: (
        session_promises.test_a_burst_of_registrations_is_answered_within_the_limits_of_a_record
    ),
    client.dialling_takes_as_long_as_dying: (
        client_promises.test_a_client_reaches_its_third_address_before_its_publishers_are_removed
    ),
    client.a_repeated_request_has_a_new_id: (
        client_promises.test_an_answer_that_comes_after_the_request_was_repeated_is_an_answer
    ),
    client.replay_done_overtakes: (
        client_promises.test_the_end_of_a_replay_overtakes_no_publication_that_waits
    ),
    client.long_replays_are_not_told: (
        client_promises.test_a_client_that_waits_for_a_slow_data_node_in_its_replay_stays_in_all_views
    ),
    client.clients_leave_without_a_word: (
        client_promises.test_a_client_that_leaves_a_session_which_it_does_not_hear_stays_in_all_views
    ),
    client.any_session_is_as_good: (
        client_promises.test_a_client_goes_on_to_a_session_that_meta_has_admitted
    ),
    client.any_session_is_good_for_long: (
        client_promises.test_a_client_stays_with_no_session_that_cannot_register_and_knows_no_other
    ),
    client.grace_runs_always: (
        client_promises.test_no_view_changes_when_the_last_session_is_stopped_for_longer_than_the_grace
    ),
    client.grace_goes_on_under_a_new_leader: (
        client_promises.test_a_new_leader_gives_each_departed_session_its_whole_grace
    ),
}
COPIES: dict[Mutation, Scenario] = {
    copies.initial_counted_as_replica: copies_promises.test_a_node_that_joins_counts_as_no_copy,
    copies.a_node_reports_ready_at_once: partial(
        copies_promises.test_a_node_that_joins_works_only_when_it_holds_all_that_it_will_own, 1
    ),
    copies.a_node_leaves_at_once: partial(
        copies_promises.test_a_node_that_leaves_hands_over_first, 1, copies=1
    ),
    copies.no_copies_are_made: partial(
        copies_promises.test_what_two_nodes_held_outlives_its_primary_without_any_session, 1
    ),
    copies.an_unsure_copy_keeps_its_version: (
        copies_promises.test_a_copy_that_missed_a_change_takes_over_with_a_version_of_its_own
    ),
    copies.a_primary_takes_nothing_from_copies: (
        copies_promises.test_a_primary_that_lost_something_gets_it_from_its_copy
    ),
    copies.registrations_are_sent_again_to_copies: partial(
        copies_promises.test_a_new_primary_goes_on_from_its_copy_and_asks_no_session, 1
    ),
}
MOVES: dict[Mutation, Scenario] = {
    client.a_client_leaves_before_it_is_registered: (
        moves.test_a_client_that_cannot_be_registered_at_its_new_session_goes_back
    ),
    client.the_former_session_is_not_pinged: (
        moves.test_a_client_that_cannot_be_registered_at_its_new_session_goes_back
    ),
    client.there_is_no_way_back: (
        moves.test_a_client_whose_new_session_dies_in_the_middle_of_its_move_goes_back
    ),
    client.a_client_that_has_moved_says_bye: (
        moves.test_clients_even_out_over_the_sessions_and_no_client_sees_it
    ),
    session.what_has_moved_is_held_on: (
        moves.test_clients_even_out_over_the_sessions_and_no_client_sees_it
    ),
    session.the_counts_of_an_earlier_leader_are_used: (
        moves.test_a_session_without_meta_asks_no_client_and_goes_on_asking_when_meta_is_back
    ),
}
HTTP: dict[Mutation, Scenario] = {
    http.a_session_is_not_told_that_it_lost_an_instance: (
        http_instances.test_renewals_that_alternate_change_no_view_and_need_no_repair
    ),
    http.a_lease_removes_what_others_registered: (
        http_instances.test_a_lease_that_ends_removes_nothing_of_another_session_at_the_same_version
    ),
    http.a_session_renews_without_asking: (
        http_instances.test_a_session_that_cannot_ask_the_primary_does_not_say_that_it_renewed
    ),
    http.a_view_keeps_what_was_withdrawn_elsewhere: (
        http_instances.test_what_was_withdrawn_does_not_come_back_from_a_session_that_did_not_hear_of_it
    ),
    http.versions_begin_anew: (
        http_instances.test_a_version_that_was_lost_with_its_session_and_data_node_is_not_given_again
    ),
}
NOTICED_BY = SECTION_7 | SECTION_11 | COPIES | MOVES | HTTP

# Rules that no mutation takes out here, and why.
ELSEWHERE = {
    "a turn is fair; input is read before a lease is judged": (
        "only the reactor knows turns: tests/cluster/test_reactor.py, "
        "test_a_due_tick_comes_after_the_input_and_settle_ends_the_turn, "
        "test_a_turn_is_bounded_in_records_and_not_in_messages"
    ),
    "work per turn is proportional to what changed": (
        "scans are inside of a call, where the simulator cannot count; messages, effects and calls "
        "are counted by tests/sim/test_sim_work.py, with mutations of its own"
    ),
    "liveness once per link": "only sockets have heartbeats: tests/cluster/test_socket_options.py",
    "a poison value harms its reader only": (
        "the clients here are cores, which decode no values: "
        "test_a_publisher_whose_body_cannot_be_unpacked_is_left_out_and_counted in "
        "tests/unit/test_view.py"
    ),
    "versions of the protocol": (
        "there is one version so far; a peer of another one is refused: tests/unit/test_envelope.py"
    ),
    "protection, suspects": "not built yet",
}


@pytest.mark.parametrize("mutation", NOTICED_BY, ids=lambda each: each.__name__)
def test_a_rule_that_is_taken_out_is_noticed(mutation: Mutation) -> None:
    with mutated(mutation), pytest.raises(BrokenPromiseError):
        NOTICED_BY[mutation]()


def test_every_mutation_states_its_rule_and_is_tried() -> None:
    modules = (client, copies, data, http, session)
    names = {
        name
        for module in modules
        for name, found in vars(module).items()
        if getattr(found, "__module__", "") == module.__name__ and not name.startswith("_")
    }
    assert names == {mutation.__name__ for mutation in NOTICED_BY}
    for mutation in NOTICED_BY:
        assert (mutation.__doc__ or "").endswith("."), mutation
    assert all(ELSEWHERE.values())


def test_a_mutation_whose_code_has_moved_fails() -> None:
    with pytest.raises(KeyError), mutated(lambda: [(SimDisk, "no_such_method", None)]):
        pass
