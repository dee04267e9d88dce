"""The pages of sessions under faults: each question ends, lists are whole, and nothing is kept."""

import mutations_pages as pages
import pytest
from mutations import Mutation, mutated

from zreg.testing.sim.buggify import Buggify
from zreg.testing.workloads.chaos_workload import ChaosLife
from zreg.testing.workloads.clients.large_clients import Size
from zreg.testing.workloads.cluster_workload import Workload
from zreg.testing.workloads.large_workload import LargeLife

SMALL = Size(clients=6, ids=40, publishers=400, subscriptions=60)


@pytest.mark.parametrize("seed", [301, 303])
def test_pages_are_answered_or_refused_in_time_while_nodes_fail(seed: int) -> None:
    life = Workload(seed, has_pages=True)
    life.run()
    assert life.fault_counts["page answered"]


def test_pages_are_answered_or_refused_in_time_under_any_faults() -> None:
    ChaosLife(327, has_isolation=False, has_pages=True).run()


def test_a_session_that_wakes_at_the_end_is_told_of_watches_in_order() -> None:
    with Buggify(71007):
        ChaosLife(71007, has_isolation=False, has_pages=True).run()


def test_a_session_that_wakes_has_moved_before_it_takes_a_watch() -> None:
    with Buggify(71266):
        ChaosLife(71266, has_isolation=False, has_pages=True).run()


def test_a_session_with_a_backlog_gives_questions_up_in_time() -> None:
    with Buggify(71030):
        ChaosLife(71030, has_isolation=False, has_pages=True).run()


def test_pages_cost_what_they_ask_and_no_record_of_a_publication() -> None:
    life = LargeLife(4, SMALL, has_pages=True)
    life.run()
    assert life.pages is not None
    assert life.pages.question_count > 50


def test_ids_that_pages_need_no_more_are_work_of_these_pages() -> None:
    LargeLife(5031, has_pages=True).run()


@pytest.mark.parametrize(
    ("mutation", "seed"),
    [
        (pages.a_question_for_a_datum_waits_for_ever, 301),
        (pages.a_question_to_meta_waits_for_ever, 303),
        (pages.a_page_begins_at_its_cursor, 307),
        (pages.a_watch_that_is_closed_stays, 301),
        (pages.a_watch_is_told_only_of_the_first_move, 301),
    ],
    ids=lambda each: each.__name__ if callable(each) else str(each),
)
def test_pages_that_break_a_rule_are_noticed(mutation: Mutation, seed: int) -> None:
    """By the seed that is known for it; after a change of what cores send, by one of the next."""
    with mutated(mutation):
        noticed = (each for each in range(seed, seed + 8) if notices(each))
        assert next(noticed, None) is not None


def notices(seed: int) -> bool:
    try:
        Workload(seed, has_pages=True).run()
    except AssertionError as error:
        return str(error).startswith(f"seed {seed}: ")
    return False
