"""The hops that a node notes: bounded for each id and in all, and told when a command asks."""

import pytest

from zreg.model import ZERO, DataInfoId, Version
from zreg.primitives.reports.hop_rings import (
    ACKS_PER_REPLICA_MAX,
    HOPS_PER_ID_MAX,
    IDS_MAX,
    BoundedRings,
    HopRings,
    Noted,
    PushRound,
)
from zreg.wire.records.common_messages import HOPS_MAX, FetchHops, Hop, HopKind

PAY = DataInfoId("pay#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP")
OTHER = DataInfoId("other#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP")
P1 = b"1" * 16
V1, V2 = Version(3, 1), Version(3, 2)
D2, D3 = "d2@4", "d3@5"


def told(rings: HopRings, now: float, name: DataInfoId = PAY) -> list[Hop]:
    reply = rings.answer(FetchHops(7, name), "d1", now)
    assert (reply.request_id, reply.node_id) == (7, "d1")
    return list(reply.hops)


def published(at: float, version: int = 1) -> Noted:
    return HopKind.PUBLISHED, at, P1, version, ZERO, "", 0


def hinted(at: float, version: Version, number: int, publisher_version: int = 1) -> Noted:
    return HopKind.HINTED, at, P1, publisher_version, version, "", number


def test_a_hop_says_how_long_ago_it_was_and_of_which_publisher() -> None:
    rings = HopRings()
    rings.by_id[PAY].append(published(10.0, 4))
    rings.by_id[PAY].append((HopKind.FORWARDED, 10.5, P1, 4, ZERO, D2, 0))

    assert told(rings, 11.25) == [
        Hop(HopKind.PUBLISHED, 1_250_000, ZERO, P1, 4),
        Hop(HopKind.FORWARDED, 750_000, ZERO, P1, 4, D2),
    ]
    assert told(rings, 9.0)[0].microseconds_ago == 0, "no time is negative"


def test_an_id_without_hops_has_an_empty_answer_and_takes_no_memory() -> None:
    rings = HopRings()

    assert told(rings, 1.0) == []
    assert len(rings.by_id) == 0


def test_an_id_has_its_last_hops_only_and_takes_none_from_others() -> None:
    rings = HopRings()
    rings.by_id[OTHER].append(published(0.5))
    for number in range(1000):
        rings.by_id[PAY].append(published(1.0 + number, number + 1))

    assert [hop.publisher_version for hop in told(rings, 2000.0)] == list(
        range(1001 - HOPS_PER_ID_MAX, 1001)
    )
    assert len(told(rings, 2000.0, OTHER)) == 1


def test_the_ids_that_changed_least_lately_are_forgotten() -> None:
    rings = HopRings()
    names = [f"id-{number}" for number in range(3 * IDS_MAX)]
    for at, name in enumerate(names):
        rings.by_id["busy"].append(published(at))
        rings.by_id[name].append(published(at))
        assert len(rings.by_id) <= IDS_MAX

    assert "busy" in rings.by_id
    assert len(rings.by_id) > IDS_MAX * 3 // 4
    kept = [name for name in names if name in rings.by_id]
    assert kept == names[-len(kept) :]


def test_a_ring_without_an_entry_is_the_first_to_go() -> None:
    rings: BoundedRings[Noted] = BoundedRings(2, 2)
    assert not rings["empty"]
    rings["full"].append(published(1.0))

    rings["new"].append(published(2.0))

    assert set(rings) == {"full", "new"}


def test_a_version_names_its_publisher_and_what_replicas_acknowledged() -> None:
    rings = HopRings(lambda name: (D2, D3) if name == PAY else ())
    rings.by_id[PAY].append((HopKind.MERGED, 1.0, b"2" * 16, 9, ZERO, "", 0))
    rings.by_id[PAY].append(hinted(1.0, V1, 7))
    rings.by_id[PAY].append(hinted(3.0, V2, 9, 2))
    for replica, number, at in ((D2, 6, 0.5), (D2, 7, 1.5), (D3, 8, 1.75), (D2, 12, 3.5)):
        rings.acks[replica].append((number, at))
    rings.acks["d9@1"].append((100, 1.1))
    rings.by_id[PAY].append((HopKind.ACCEPTED, 3.5, b"", 2, ZERO, "", 10))

    assert told(rings, 4.0) == [
        Hop(HopKind.MERGED, 3_000_000, ZERO, b"2" * 16, 9),
        Hop(HopKind.MERGED, 3_000_000, ZERO, P1, 1),
        Hop(HopKind.HINTED, 3_000_000, V1),
        Hop(HopKind.REPLICATED, 2_500_000, V1, peer=D2),
        Hop(HopKind.REPLICATED, 2_250_000, V1, peer=D3),
        Hop(HopKind.MERGED, 1_000_000, ZERO, P1, 2),
        Hop(HopKind.HINTED, 1_000_000, V2),
        Hop(HopKind.REPLICATED, 500_000, V2, peer=D2),
        Hop(HopKind.ACCEPTED, 500_000, V2, count=2),
    ]


@pytest.mark.parametrize("acked_at", [0.5, 12.0], ids=["before", "long after"])
def test_an_acknowledgement_of_another_time_is_none_of_the_change(acked_at: float) -> None:
    rings = HopRings(lambda _: (D2,))
    rings.by_id[PAY].append(hinted(1.0, V1, 7))
    rings.acks[D2].append((9, acked_at))

    assert HopKind.REPLICATED not in [hop.kind for hop in told(rings, 20.0)]


def test_no_replica_is_named_once_the_acknowledgements_of_that_time_are_forgotten() -> None:
    rings = HopRings(lambda _: (D2,))
    rings.by_id[PAY].append(hinted(1.0, V1, 7))
    for number in range(ACKS_PER_REPLICA_MAX + 1):
        rings.acks[D2].append((number, 1.0 + number / 1000))

    assert HopKind.REPLICATED not in [hop.kind for hop in told(rings, 20.0)]


def test_an_acceptance_whose_change_is_forgotten_has_no_version() -> None:
    rings = HopRings()
    rings.by_id[PAY].append((HopKind.ACCEPTED, 1.0, b"", 3, ZERO, "", 10))

    assert told(rings, 1.0) == [Hop(HopKind.ACCEPTED, 0, ZERO, count=3)]


def pushed(pushes: PushRound) -> list[Hop]:
    rings = HopRings()
    rings.by_id[PAY].append((HopKind.PUSHED, 1.0, b"", 0, V1, "", pushes))
    return told(rings, 3.0)


def test_pushes_of_one_version_are_told_together() -> None:
    assert pushed(PushRound(V1, 1.0, 1.0, 3)) == [Hop(HopKind.PUSHED, 2_000_000, V1, count=3)]
    assert pushed(PushRound(V1, 1.0, 1.5, 3, 2.0, 2)) == [
        Hop(HopKind.PUSHED, 2_000_000, V1, count=3),
        Hop(HopKind.PUSHED_LAST, 1_500_000, V1, count=3),
        Hop(HopKind.CONFIRMED, 1_000_000, V1, count=2, total=3),
    ]


def test_a_version_that_no_subscriber_has_room_for_yet_is_not_told_as_pushed() -> None:
    assert pushed(PushRound(V1)) == []


def test_an_answer_has_the_newest_hops_if_there_are_too_many() -> None:
    rings = HopRings(lambda _: [f"d{number}@1" for number in range(32)])
    for number in range(HOPS_PER_ID_MAX):
        rings.by_id[PAY].append(hinted(1.0, Version(3, number), number))
    for number in range(32):
        rings.acks[f"d{number}@1"].append((1000, 2.0))

    hops = told(rings, 3.0)

    assert len(hops) == HOPS_MAX
    assert hops[-1].version == Version(3, HOPS_PER_ID_MAX - 1)
