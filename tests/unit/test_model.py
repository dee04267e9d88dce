"""Names, versions and the order in which copies of a publisher replace each other."""

import itertools
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import id_parts, incarnations, make_publisher, messages_of, publishers

from zreg.config import Limits
from zreg.errors import UsageError
from zreg.model import (
    DATA_INFO_ID_PATTERN,
    DEFAULT_GROUP,
    DEFAULT_INSTANCE_ID,
    EMPTY_MEMBERSHIP,
    NO_INCARNATION,
    ZERO,
    Incarnation,
    Member,
    Membership,
    Publisher,
    RingParameters,
    Role,
    Status,
    Version,
    data_info_id,
    publisher_wins,
    same_to_subscribers,
    split_data_info_id,
)


def test_a_name_has_default_parts() -> None:
    name = data_info_id("com.acme.Pay")

    assert name == "com.acme.Pay#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP"
    assert split_data_info_id(name) == ("com.acme.Pay", DEFAULT_INSTANCE_ID, DEFAULT_GROUP)


@given(id_parts, id_parts, id_parts)
def test_a_name_splits_into_what_it_was_joined_from(one: str, two: str, three: str) -> None:
    name = data_info_id(one, instance_id=two, group=three)

    assert split_data_info_id(name) == (one, two, three)
    assert re.search(DATA_INFO_ID_PATTERN, name)
    assert name.encode()


@given(st.text(max_size=6))
def test_a_part_of_a_name_is_encodable_or_refused(part: str) -> None:
    try:
        name = data_info_id(part)
    except UsageError:
        return

    assert name.encode().decode() == name
    assert split_data_info_id(name)[0] == part


@pytest.mark.parametrize(
    "part",
    [
        "",
        "a b",
        "a#b",
        "a*",
        "a?",
        "[a",
        "a]",
        "a\n",
        "a\x00",
        "a\x7f",
        "a\u2003",
        "\ud800",
        "x" * 257,
    ],
    ids=ascii,
)
def test_the_error_names_the_part_that_is_not_allowed(part: str) -> None:
    with pytest.raises(UsageError, match=r"^data id .* cannot be used: write 1 to 256"):
        data_info_id(part)
    with pytest.raises(UsageError, match=r"^instance id"):
        data_info_id("a", instance_id=part)
    with pytest.raises(UsageError, match=r"^group"):
        data_info_id("a", group=part)


def test_the_longest_name_is_within_the_limit() -> None:
    part = "x" * Limits.id_part_characters_max

    name = data_info_id(part, instance_id=part, group=part)

    assert len(name) == Limits.data_info_id_characters_max


def test_versions_compare_as_pairs() -> None:
    assert ZERO < Version(0, 1) < Version(0, 9) < Version(1, 0) < Version(1, 1)
    assert str(Version(7, 42)) == "7.42"


def test_incarnations_compare_by_epoch_then_id() -> None:
    assert NO_INCARNATION < Incarnation(1, "s9") < Incarnation(2, "s1") < Incarnation(2, "s2")
    assert str(Incarnation(4, "s1")) == "s1@4"


@given(publishers, publishers)
def test_of_two_different_copies_exactly_one_wins(one: Publisher, other: Publisher) -> None:
    """Copies of one publisher differ only in version and session: only its client changes it."""
    other = msgspec.structs.replace(other, publisher_id=one.publisher_id)
    is_same = (one.version, one.session) == (other.version, other.session)

    assert publisher_wins(one, other) + publisher_wins(other, one) == (0 if is_same else 1)


@given(publishers, publishers, publishers)
def test_winning_is_transitive(one: Publisher, two: Publisher, three: Publisher) -> None:
    for a, b, c in itertools.permutations((one, two, three)):
        if publisher_wins(a, b) and publisher_wins(b, c):
            assert publisher_wins(a, c)


def merge(copies: list[Publisher]) -> dict[bytes, Publisher]:
    """Merge copies as data nodes, sessions and clients do."""
    content: dict[bytes, Publisher] = {}
    for copy in copies:
        old = content.get(copy.publisher_id)
        if old is None or publisher_wins(copy, old):
            content[copy.publisher_id] = copy
    return content


@given(st.lists(publishers, max_size=8), st.data())
def test_merging_in_any_order_and_repetition_gives_the_same_content(
    copies: list[Publisher], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(copies + copies))

    assert merge(copies) == merge(shuffled)
    assert merge([*merge(copies).values(), *merge(shuffled).values()]) == merge(copies)


def test_the_higher_version_wins_then_the_later_session() -> None:
    old = make_publisher(version=1, session=Incarnation(9, "s9"))

    assert publisher_wins(make_publisher(version=2), old)
    assert publisher_wins(make_publisher(version=1, session=Incarnation(10, "s1")), old)
    assert not publisher_wins(make_publisher(version=1, session=Incarnation(9, "s8")), old)
    assert not publisher_wins(old, old)


@given(incarnations, st.integers(1, 9))
def test_a_replay_looks_the_same_to_subscribers(session: Incarnation, version: int) -> None:
    one = make_publisher(body=b"here")

    assert same_to_subscribers(one, msgspec.structs.replace(one, session=session, version=version))


@pytest.mark.parametrize("field", ["zone", "data_center", "app"])
def test_subscribers_see_a_different_label_or_body(field: str) -> None:
    one = make_publisher(body=b"here")

    assert not same_to_subscribers(one, msgspec.structs.replace(one, **{field: "x"}))
    assert not same_to_subscribers(one, msgspec.structs.replace(one, body=b"there"))


def member(node_id: str, epoch: int, role: Role, status: Status) -> Member:
    return Member(node_id, role, epoch, status, "tcp://127.0.0.1:1")


OLD = member("s1", 2, Role.SESSION, Status.DEPARTED)
NEW = member("s1", 5, Role.SESSION, Status.WORKING)
JOINING = member("d1", 6, Role.DATA, Status.INITIAL)
LEAVING = member("d2", 3, Role.DATA, Status.LEAVING)
MEMBERSHIP = Membership(b"c" * 16, 6, 6, RingParameters(), (OLD, NEW, JOINING, LEAVING))


def test_a_membership_lists_a_role_by_status_in_order() -> None:
    assert MEMBERSHIP.of(Role.SESSION) == [NEW]
    assert MEMBERSHIP.of(Role.SESSION, *Status) == [OLD, NEW]
    assert MEMBERSHIP.of(Role.DATA) == []
    assert MEMBERSHIP.of(Role.DATA, Status.LEAVING, Status.INITIAL) == [JOINING, LEAVING]


def test_living_finds_the_member_that_has_not_departed() -> None:
    assert MEMBERSHIP.living("s1") == NEW
    assert MEMBERSHIP.living("s9") is None
    assert EMPTY_MEMBERSHIP.living("s1") is None


def test_only_the_living_incarnation_of_an_id_is_living() -> None:
    assert MEMBERSHIP.has_living(NEW.incarnation)
    assert not MEMBERSHIP.has_living(OLD.incarnation)
    assert not MEMBERSHIP.has_living(Incarnation(6, "s1"))


@given(messages_of(Membership))
def test_a_membership_round_trips(membership: Membership) -> None:
    packed = msgspec.msgpack.encode(membership)

    assert msgspec.msgpack.decode(packed, type=Membership) == membership
