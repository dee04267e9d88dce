"""Why the leader of meta is not reached: reasons by address, for health and for questions."""

from zreg.health import Problem
from zreg.membership.leader_link.leader_outage import OUTAGE_SECONDS, LeaderOutage

ONE, TWO = "tcp://meta-1:9610", "tcp://meta-2:9610"
STILL_WORKS = "the rest goes on"


def test_an_answer_of_a_meta_node_hides_the_addresses_that_are_not_reached() -> None:
    outage = LeaderOutage(0.0)
    outage.note_failure(ONE, "refused", 0.0)
    outage.note_answer(TWO, "meta has no leader", 0.0)
    assert outage.reasons == "meta-2:9610: meta has no leader"

    outage.note_failure(TWO, "", 0.0)

    assert outage.reasons == "meta-1:9610: refused; meta-2:9610: lost"
    assert repr(outage) == "<LeaderOutage 'meta-1:9610: refused; meta-2:9610: lost' since=0.0>"


def test_it_keeps_the_newest_sixteen_addresses() -> None:
    outage = LeaderOutage(0.0)
    for number in range(100):
        outage.note_failure(f"tcp://meta-{number}:9610", "refused", 0.0)

    assert outage.reasons.count("refused") == 16
    assert "meta-99:9610" in outage.reasons
    assert "meta-83:9610" not in outage.reasons


def test_an_outage_lasts_from_the_first_failure_until_the_leader_answers() -> None:
    outage = LeaderOutage(0.0)
    assert outage.problem(100.0, STILL_WORKS, is_urgent=True) is None

    outage.note_failure("tcp://m1:1", "refused", 10.0)
    outage.note_failure("tcp://m2:1", "timed out", 11.0)

    too_early = 10.0 + OUTAGE_SECONDS - 0.1
    assert outage.problem(too_early, STILL_WORKS, is_urgent=False) is None
    problem = outage.problem(10.0 + OUTAGE_SECONDS, STILL_WORKS, is_urgent=False)
    assert problem == Problem(
        "meta-unreachable",
        "the leader of meta has not been reached for 3 s (last: tcp://m2:1: timed out): start "
        "meta, correct --meta, or check the network between; meanwhile the rest goes on",
    )
    outage.end()
    assert outage.problem(100.0, STILL_WORKS, is_urgent=True) is None
    outage.note_failure("tcp://m1:1", "refused", 200.0)
    assert outage.problem(201.0, STILL_WORKS, is_urgent=False) is None
    assert outage.problem(201.0, STILL_WORKS, is_urgent=True) is not None


def test_a_missing_majority_is_reported_in_the_words_of_a_meta_node() -> None:
    """The words count in the round of attempts in which they were heard, and in the next one."""
    outage = LeaderOutage(0.0)
    outage.begin_round()
    outage.note_not_leader("2 of 3 must run: start them", "")
    outage.note_answer("tcp://m1:1", "2 of 3 must run: start them", 0.0)
    outage.note_failure("tcp://m2:1", "refused", 0.0)

    problem = outage.problem(5.0, STILL_WORKS, is_urgent=False)
    assert problem == Problem(
        "meta-quorum-missing",
        "2 of 3 must run: start them. This has lasted 5 s; meanwhile the rest goes on",
    )
    assert outage.is_electing
    outage.begin_round()
    assert not outage.is_electing
    assert outage.problem(6.0, STILL_WORKS, is_urgent=False) is not None
    outage.begin_round()
    problem = outage.problem(7.0, STILL_WORKS, is_urgent=False)
    assert problem is not None
    assert problem.code == "meta-unreachable"


def test_a_sentence_names_the_node_and_what_waits() -> None:
    outage = LeaderOutage(0.0)
    assert outage.sentence("s1", is_membership_cached=False) == ""
    assert "has not admitted s1" in outage.sentence("s1", is_membership_cached=True)

    outage.note_failure(ONE, "refused", 0.0)

    assert outage.sentence("s1", is_membership_cached=False) == (
        "meta is away: s1 does not reach its leader (meta-1:9610: refused)"
    )


def test_a_known_leader_that_is_not_reached_is_no_missing_majority() -> None:
    outage = LeaderOutage(0.0)
    outage.note_not_leader("this meta node does not lead: ask the one that does", "tcp://m2:1")
    outage.note_failure("tcp://m2:1", "refused", 0.0)

    problem = outage.problem(5.0, STILL_WORKS, is_urgent=False)

    assert outage.is_electing
    assert problem is not None
    assert problem.code == "meta-unreachable"
