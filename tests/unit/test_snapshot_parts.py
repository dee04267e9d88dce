"""Gathering a snapshot that comes in parts."""

from client_fakes import P1, P2, PAY, V1, V2, publisher

from zreg.client.core.snapshot_parts import SnapshotParts
from zreg.model import Publisher, Scope, Version
from zreg.wire.records.client_messages import Push


def part(*publishers: Publisher, left: int, version: Version = V2) -> Push:
    return Push(PAY, Scope.GLOBAL, None, version, publishers, parts_left=left)


def gather(*pushes: Push) -> list[Publisher] | None:
    parts = SnapshotParts()
    for push in pushes:
        parts.add(push)
    return parts.take()


def test_the_publishers_of_all_parts_are_joined_in_order() -> None:
    assert gather(part(publisher(), left=2), part(left=1), part(publisher(P2), left=0)) == [
        publisher(P1),
        publisher(P2),
    ]


def test_a_snapshot_of_one_part_is_whole() -> None:
    assert gather(part(publisher(), left=0)) == [publisher()]


def test_a_missing_part_tears_the_snapshot() -> None:
    assert gather(part(publisher(), left=3), part(left=1), part(left=0)) is None


def test_another_version_starts_a_new_snapshot() -> None:
    assert gather(part(publisher(P2), left=1, version=V1), part(publisher(), left=0)) == [
        publisher()
    ]


def test_a_part_with_no_fewer_parts_left_starts_a_new_snapshot() -> None:
    pushes = part(publisher(P2), left=1), part(publisher(), left=1), part(left=0)

    assert gather(*pushes) == [publisher()]


def test_a_torn_snapshot_does_not_harm_the_next_one() -> None:
    parts = SnapshotParts()
    for left in (3, 1, 0):
        parts.add(part(publisher(P2), left=left))
    assert parts.take() is None

    parts.add(part(publisher(), left=0))
    assert parts.take() == [publisher()]


def test_a_snapshot_of_too_many_parts_is_not_kept() -> None:
    parts = SnapshotParts()
    for left in (4096, 4095):
        parts.add(part(publisher(P2), left=left))

    assert parts._publishers == []
