"""The hops of all nodes are joined to changes, each with what belongs to it and nothing else."""

import pytest
from trace_fakes import P1, P2, V1, V2, V3, at, commit, data_node, session, write

from zreg.cli.tracing.hop_chains import HopChain, NodeHops, chains_of
from zreg.model import Version
from zreg.wire.records.common_messages import HopKind as K


def kinds(chain: HopChain) -> list[tuple[str, str]]:
    """Return the steps of a chain in the order of time: node and kind."""
    ordered = sorted(chain.steps, key=lambda step: (step.at, step.hop.kind))
    return [(step.node.node_id, K(step.hop.kind).name) for step in ordered]


def of_version(version: Version, *nodes: NodeHops, is_data_missing: bool = False) -> HopChain:
    chains = chains_of(nodes, is_data_missing=is_data_missing)
    (found,) = [chain for chain in chains if chain.version == version]
    return found


def test_a_publish_is_followed_from_its_session_to_the_subscribers_of_another_one() -> None:
    nodes = (
        session("s1", *write(0, (P1, 4), answer=5)),
        data_node(
            "d1",
            *commit(1, (P1, 4), V2),
            at(3, K.REPLICATED, V2, peer="d2@1"),
            at(4, K.ACCEPTED, V2, count=3),
        ),
        session(
            "s2",
            at(2, K.HEARD, V2, peer="d1@2"),
            at(2.5, K.PUSHED, V2, count=2),
            at(9, K.CONFIRMED, V2, count=2, total=2),
        ),
    )

    assert kinds(of_version(V2, *nodes)) == [
        ("s1", "PUBLISHED"),
        ("s1", "FORWARDED"),
        ("d1", "MERGED"),
        ("d1", "HINTED"),
        ("s2", "HEARD"),
        ("s2", "PUSHED"),
        ("d1", "REPLICATED"),
        ("d1", "ACCEPTED"),
        ("s1", "ANSWERED"),
        ("s2", "CONFIRMED"),
    ]


def test_publishes_of_several_clients_in_one_turn_are_one_change() -> None:
    nodes = (
        session("s1", *write(0, (P1, 1), answer=5)),
        session("s2", *write(0.5, (P2, 7), answer=6)),
        data_node("d1", at(1, K.MERGED, of=(P1, 1)), *commit(1, (P2, 7), V1)),
    )

    (chain,) = chains_of(nodes)

    assert [node for node, kind in kinds(chain) if kind == "PUBLISHED"] == ["s1", "s2"]
    assert chain.published == {P1: 1, P2: 7}


def test_a_publish_that_was_replaced_before_it_was_sent_is_part_of_the_change_with_the_next() -> (
    None
):
    nodes = (
        session("s1", at(0, K.PUBLISHED, of=(P1, 4)), *write(1, (P1, 5), answer=5)),
        data_node("d1", *commit(2, (P1, 5), V1)),
    )

    assert [kind for _, kind in kinds(of_version(V1, *nodes))].count("PUBLISHED") == 2


def test_what_is_sent_again_after_its_answer_is_no_part_of_the_change() -> None:
    again = at(900, K.FORWARDED, of=(P1, 4), peer="d2@1"), at(901, K.ANSWERED, of=(P1, 4))
    nodes = (
        session("s1", *write(0, (P1, 4), answer=5), *again),
        data_node("d1", *commit(1, (P1, 4), V1)),
    )

    assert max(step.at for step in of_version(V1, *nodes).steps) < 991


def test_each_write_of_a_turn_is_accepted_and_the_first_acceptance_counts() -> None:
    accepted = at(4, K.ACCEPTED, V1, count=3), at(4, K.ACCEPTED, V1, count=3)
    chain = of_version(V1, data_node("d1", *commit(1, (P1, 4), V1), *accepted))

    assert [kind for _, kind in kinds(chain)] == ["MERGED", "HINTED", "ACCEPTED"]


def test_a_publish_that_no_data_node_has_taken_is_under_way() -> None:
    refused = at(3, K.REFUSED, of=(P1, 4), peer="d1@2", count=5)
    (chain,) = chains_of([session("s1", *write(0, (P1, 4), answer=9)[:2], refused)])

    assert chain.version is None
    assert kinds(chain) == [("s1", "PUBLISHED"), ("s1", "FORWARDED"), ("s1", "REFUSED")]


def test_what_was_accepted_and_is_in_no_version_counts_only_if_a_data_node_is_silent() -> None:
    one = session("s1", *write(0, (P1, 4), answer=5))

    assert chains_of([one]) == []
    (chain,) = chains_of([one], is_data_missing=True)
    assert kinds(chain)[-1] == ("s1", "ANSWERED")


def test_a_publish_under_way_does_not_show_what_was_answered_before() -> None:
    hops = *write(0, (P1, 4), answer=5), at(10, K.PUBLISHED, of=(P1, 5))

    (chain,) = chains_of([session("s1", *hops)])

    assert [step.hop.publisher_version for step in chain.steps] == [5]


def followed(*hops: object) -> list[str]:
    """Return what a session is shown to have done with V2."""
    primary = data_node("d1", *commit(0, (P1, 1), V2))
    chain = of_version(V2, primary, session("s2", *hops))  # type: ignore[arg-type]
    return [kind for node, kind in kinds(chain) if node == "s2"]


def test_a_change_that_has_to_be_fetched_is_pushed_after_that() -> None:
    assert followed(
        at(1, K.BEHIND, V2), at(2, K.FETCHED, V2, count=1), at(2, K.PUSHED, V2, count=1)
    ) == ["BEHIND", "FETCHED", "PUSHED"]


def test_a_lost_hint_is_shown_at_the_comparison_that_noticed_it() -> None:
    assert followed(
        at(-5, K.HEARD, V1),
        at(1000, K.MISSED, V3),
        at(1001, K.FETCHED, V3, count=1),
        at(1001, K.PUSHED, V3, count=1),
    ) == ["MISSED", "FETCHED", "PUSHED"]


def test_a_push_that_brings_several_changes_is_shown_with_each_of_them() -> None:
    assert followed(
        at(1, K.HEARD, V2),
        at(2, K.HEARD, V3),
        at(50, K.PUSHED, V3, count=1),
        at(51, K.PUSHED_LAST, V3, count=1),
        at(60, K.CONFIRMED, V3, count=1, total=1),
    ) == ["HEARD", "PUSHED", "PUSHED_LAST", "CONFIRMED"]


@pytest.mark.parametrize(
    "hops",
    [
        [at(900, K.FETCHED, V2), at(900, K.PUSHED, V2, count=1)],
        [at(900, K.FETCHED, V2), at(950, K.HEARD, V3), at(950, K.PUSHED, V3, count=1)],
        [at(950, K.HEARD, V3), at(950, K.PUSHED, V3, count=1)],
        [
            at(-9, K.HEARD, V1),
            at(900, K.FETCHED, V2),
            at(950, K.HEARD, V3),
            at(950, K.PUSHED, V3, count=1),
        ],
    ],
    ids=["first copy", "change after it", "hops are forgotten", "followed again"],
)
def test_a_session_that_did_not_follow_the_id_at_that_time_is_left_out(hops: list[object]) -> None:
    assert followed(*hops) == []


def test_later_changes_are_not_taken_for_an_earlier_one() -> None:
    assert followed(
        at(1, K.HEARD, V2),
        at(1, K.PUSHED, V2, count=1),
        at(2, K.HEARD, V3),
        at(2, K.FETCHED, V3, count=1),
        at(2, K.PUSHED, V3, count=4),
        at(3, K.CONFIRMED, V3, count=4, total=4),
    ) == ["HEARD", "PUSHED"]


def test_a_quiet_change_is_marked_and_has_no_followers() -> None:
    quiet = at(0, K.MERGED, of=(P1, 1)), at(0, K.COMMITTED, V1)
    chain = of_version(V1, data_node("d1", *quiet), session("s2", at(1, K.HEARD, V1)))

    assert not chain.is_visible
    assert [kind for _, kind in kinds(chain)] == ["MERGED", "COMMITTED"]


def test_changes_are_in_the_order_in_which_they_began() -> None:
    first = data_node("d1", *commit(0, (P1, 1), V1), *commit(7, (P1, 2), V2))
    second = data_node("d2", *commit(5, (P2, 1), Version(4, 1)))

    assert [chain.version for chain in chains_of([first, second])] == [V1, Version(4, 1), V2]
