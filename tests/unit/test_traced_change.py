"""A change on one time line, with steps in an order in which they can have happened."""

import pytest
from trace_fakes import P1, V1, V2, at, commit, data_node, session, write

from zreg.cli.tracing.hop_chains import NodeHops, chains_of
from zreg.cli.tracing.step_text import step_text
from zreg.cli.tracing.traced_change import TracedChange, traced
from zreg.model import ZERO
from zreg.wire.records.common_messages import Hop
from zreg.wire.records.common_messages import HopKind as K


def change(*nodes: NodeHops) -> TracedChange:
    (chain,) = chains_of(nodes)
    return traced(chain)


def shown(found: TracedChange) -> list[tuple[str, str, float]]:
    return [(step.node_id, K(step.hop.kind).name, round(step.at * 1000, 3)) for step in found.steps]


def test_a_clock_that_is_off_is_corrected_by_the_way_of_the_publish_itself() -> None:
    """The primary seems to merge 4 ms before the publish arrived; its question took 20 ms."""
    found = change(
        session("s1", *write(0, (P1, 4), answer=3)),
        data_node(
            "d1", *commit(1, (P1, 4), V1), at(2, K.ACCEPTED, V1, count=1), late=-5, round_trip=0.02
        ),
    )

    assert shown(found) == [
        ("s1", "PUBLISHED", 0.0),
        ("s1", "FORWARDED", 0.0),
        ("d1", "MERGED", 1.0),
        ("d1", "HINTED", 1.0),
        ("d1", "ACCEPTED", 2.0),
        ("s1", "ANSWERED", 3.0),
    ]
    errors = {step.node_id: round(step.error * 1000, 3) for step in found.steps}
    assert errors == {"s1": 0.0, "d1": 1.0}


def test_a_session_hears_of_a_change_after_the_hint_was_sent() -> None:
    found = change(
        session("s1", *write(0, (P1, 4), answer=3)),
        data_node("d1", *commit(1, (P1, 4), V1), at(2, K.ACCEPTED, V1, count=1)),
        session("s2", at(2, K.HEARD, V1, peer="d1@2"), late=-4, round_trip=0.02),
    )

    heard = next(step for step in found.steps if step.hop.kind == K.HEARD)
    hinted = next(step for step in found.steps if step.hop.kind == K.HINTED)
    assert heard.at >= hinted.at
    assert heard.error > hinted.error


def test_the_time_since_the_step_before_at_a_node_is_that_of_its_own_clock() -> None:
    found = change(
        session("s1", *write(0, (P1, 4), answer=30)),
        data_node("d1", *commit(1, (P1, 4), V1), at(21, K.ACCEPTED, V1, count=1), late=3),
    )

    since = [(step.node_id, step.since and round(step.since * 1000, 3)) for step in found.steps]
    assert since == [
        ("s1", None), ("s1", 0.0), ("d1", None), ("d1", 0.0), ("d1", 20.0), ("s1", 30.0),
    ]  # fmt: skip


def test_the_slowest_step_is_that_before_which_most_time_passed() -> None:
    found = change(
        session(
            "s1",
            *write(0, (P1, 4), answer=8),
            at(2, K.HEARD, V1),
            at(3, K.PUSHED, V1, count=1),
            at(900, K.CONFIRMED, V1, count=1, total=1),
        ),
        data_node("d1", *commit(1, (P1, 4), V1), at(7, K.ACCEPTED, V1, count=1)),
    )

    assert found.slowest is not None
    assert found.steps[found.slowest].hop.kind == K.ACCEPTED
    assert found.seconds == pytest.approx(0.008), "an acknowledgement waits at its client"
    assert found.steps[-1].hop.kind == K.CONFIRMED


def test_a_change_with_one_step_has_no_slowest_one() -> None:
    found = change(session("s1", at(0, K.PUBLISHED, of=(P1, 1))))

    assert found.slowest is None
    assert found.seconds == 0.0


def test_a_publish_that_two_data_nodes_were_sent_is_measured_at_the_one_that_took_it() -> None:
    hops = (
        at(0, K.PUBLISHED, of=(P1, 4)),
        at(0, K.FORWARDED, of=(P1, 4), peer="d1@2"),
        at(2, K.REFUSED, of=(P1, 4), peer="d1@2", count=1),
        at(60, K.FORWARDED, of=(P1, 4), peer="d2@3"),
        at(63, K.ANSWERED, of=(P1, 4), peer="d2@3", count=1),
    )
    found = change(
        session("s1", *hops),
        data_node("d2", *commit(50, (P1, 4), V1), at(51, K.ACCEPTED, V1, count=1), round_trip=0.1),
    )

    assert [at for node, kind, at in shown(found) if kind == "MERGED"] == [61.0]


@pytest.mark.parametrize("kind", K)
def test_each_kind_of_hop_has_a_sentence(kind: K) -> None:
    text = step_text(Hop(kind, 0, V1, P1, 3, "d1@2", 2, 2), V1)

    assert text
    assert "@" not in text, "nodes are named as everywhere else"


def test_a_step_of_a_later_version_says_so() -> None:
    assert step_text(Hop(K.PUSHED, 0, V2, count=1), V1) == (
        "pushed to 1 subscriber, as part of version 3.2"
    )
    assert step_text(Hop(K.FORWARDED, 0, ZERO, P1, 3, "d1@2"), None) == "sent to d1"


def test_acknowledgements_say_how_many_are_missing() -> None:
    assert step_text(Hop(K.CONFIRMED, 0, V1, count=3, total=3), V1) == (
        "acknowledged by the last of 3 subscribers"
    )
    assert step_text(Hop(K.CONFIRMED, 0, V1, count=1, total=1), V1) == (
        "acknowledged by its subscriber"
    )
    assert step_text(Hop(K.CONFIRMED, 0, V1, count=2, total=3), V1) == (
        "2 of 3 subscribers have acknowledged it"
    )
