"""Digests of sets: they show every added, removed or changed pair."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import make_publisher

from zreg.model import Incarnation, Publisher
from zreg.primitives.digest import DigestSum, pair_digest, view_digest

identifiers = st.binary(min_size=16, max_size=16).filter(lambda i: int.from_bytes(i[:8]) % 2**32)
pairs = st.dictionaries(identifiers, st.integers(0, 2**32), max_size=8)


def digest_of(content: dict[bytes, int]) -> DigestSum:
    digest = DigestSum()
    for identifier, number in content.items():
        digest.add(identifier, number)
    return digest


@given(pairs, st.data())
def test_a_digest_does_not_depend_on_order(content: dict[bytes, int], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(content.items()))))

    assert digest_of(shuffled).value == digest_of(content).value


@given(pairs, identifiers, st.integers(0, 2**32))
def test_discarding_an_added_pair_restores_the_digest(
    content: dict[bytes, int], identifier: bytes, number: int
) -> None:
    digest = digest_of(content)
    before = (digest.count, digest.value)

    digest.add(identifier, number)
    assert (digest.count, digest.value) != before
    digest.discard(identifier, number)

    assert (digest.count, digest.value) == before


@given(pairs, identifiers, st.integers(0, 2**30), st.integers(1, 2**30))
def test_another_number_gives_another_digest(
    content: dict[bytes, int], identifier: bytes, number: int, more: int
) -> None:
    one, other = content | {identifier: number}, content | {identifier: number + more}

    assert digest_of(one).value != digest_of(other).value


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**63 - 1))
def test_a_digest_fits_the_wire(identifier: bytes, number: int) -> None:
    digest = DigestSum()
    digest.add(identifier, number)
    digest.add(identifier, number)

    assert 0 <= pair_digest(identifier, number) < 2**63
    assert 0 <= digest.value < 2**63


def test_a_digest_is_pinned() -> None:
    """Sessions and data nodes of different versions compare their digests."""
    assert pair_digest(bytes(range(16)), 7) == 0x0001020304050607 * 15 % 2**63
    assert (
        view_digest([make_publisher(bytes(range(16)), body=b"x", zone="z")]) == 8510466725605426537
    )
    assert repr(DigestSum()) == "<DigestSum count=0 value=0000000000000000>"


def test_a_view_digest_leaves_out_version_and_session() -> None:
    one = make_publisher(version=1, session=Incarnation(1, "s1"), body=b"x")
    other = make_publisher(version=9, session=Incarnation(2, "s2"), body=b"x")

    assert view_digest([one]) == view_digest([other])


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b"y"},
        {"zone": "z"},
        {"data_center": "z"},
        {"app": "z"},
        {"publisher_id": b"\x02" * 16},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_view_digest_shows_every_field_that_subscribers_see(changed: dict[str, object]) -> None:
    one = make_publisher(body=b"x")

    assert view_digest([one]) != view_digest([msgspec.structs.replace(one, **changed)])


def test_a_view_digest_tells_the_labels_apart() -> None:
    one = make_publisher(body=b"x")
    moved = [
        msgspec.structs.replace(one, **{name: "east"}) for name in ("zone", "data_center", "app")
    ]

    assert len({view_digest([publisher]) for publisher in [one, *moved]}) == 4


@given(st.lists(st.integers(1, 5), unique=True), st.data())
def test_a_view_digest_does_not_depend_on_order(ids: list[int], data: st.DataObject) -> None:
    view: list[Publisher] = [make_publisher(bytes([number]) * 16) for number in ids]

    assert view_digest(view) == view_digest(data.draw(st.permutations(view)))
