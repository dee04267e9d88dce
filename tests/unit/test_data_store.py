"""The store against a simple model: merging, revisions, op logs, digests, tombstones, evictions."""

import itertools

import pytest
from data_fakes import (
    NAME,
    OTHER,
    P1,
    P2,
    P3,
    S1,
    S2,
    commit,
    datum_of,
    drop_all,
    names_of,
    take_roles,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from strategies import make_publisher, publisher_ids, publishers, seen

from zreg.config import Config
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.model import (
    NO_INCARNATION,
    ZERO,
    Cause,
    Change,
    DataInfoId,
    Incarnation,
    Publisher,
    Removal,
    Version,
    publisher_wins,
)
from zreg.primitives.digest import pair_digest
from zreg.primitives.mirror import PUBLISHERS, Mirror

TOMBSTONE_SECONDS = 120.0
CONFIG = Config(tombstone_seconds=TOMBSTONE_SECONDS, op_log_length_min=4, op_log_seconds=50.0)


def make_store(*content: Publisher, name: DataInfoId = NAME) -> DatumStore:
    """Return a store with one committed datum, or none."""
    store = DatumStore(CONFIG)
    for publisher in content:
        store.put(name, publisher)
    commit(store)
    return store


def test_a_session_whose_publishers_have_all_moved_leaves_nothing_in_the_index() -> None:
    """Each life of a session would leave the room of its tables."""
    store = make_store(make_publisher(P1, session=S1), make_publisher(P2, session=S1))
    for key in (P1, P2):
        store.put(NAME, make_publisher(key, version=2, session=S2))

    assert list(store.buckets.by_session._entries) == [S2]


def unpublished(key: bytes, version: int) -> Removal:
    return Removal(key, version, Cause.UNPUBLISHED)


def digest_of(store: DatumStore, session: Incarnation) -> tuple[int, int]:
    digest = store.buckets.by_session.of(session)
    return digest.count, digest.value


def logged(datum: Datum) -> list[Change]:
    changes = [] if datum.log is None else list(datum.log._changes)
    assert all(isinstance(change, Change) for change in changes)
    return changes


# --- merging and versions -------------------------------------------------------------------------


def test_all_that_was_merged_since_the_last_commit_is_one_change() -> None:
    store = DatumStore(CONFIG)
    one, two = make_publisher(P1), make_publisher(P2)
    assert store.put(NAME, one)
    assert store.put(NAME, two)
    datum = datum_of(store)
    assert datum.is_dirty
    assert datum.version == ZERO

    assert commit(store) == [Change(ZERO, Version(1, 1), (one, two), ())]
    assert datum.version == datum.revision == Version(1, 1)
    assert not datum.is_dirty
    assert store.dirty() == []


def test_one_counter_serves_all_datums_and_no_version_is_given_twice() -> None:
    store = DatumStore(CONFIG)
    store.put(OTHER, make_publisher(P1))
    store.put(NAME, make_publisher(P2))
    commit(store, epoch=3)

    assert datum_of(store, OTHER).version == Version(3, 1)
    assert datum_of(store).version == Version(3, 2)
    assert store.present_version(4) == Version(4, 2)
    assert store.next_version(4) == Version(4, 3)
    assert store.present_version(4) == Version(4, 3)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(make_publisher(P1, version=3), id="replay"),
        pytest.param(make_publisher(P1, version=2, session=S2), id="new-session"),
        pytest.param(make_publisher(P1, version=3, session=S2), id="both"),
    ],
)
def test_a_change_that_no_subscriber_can_see_is_a_quiet_revision(again: Publisher) -> None:
    """A reconnect storm is logged, and nothing of it is pushed."""
    store = make_store(make_publisher(P1, version=2))
    datum = datum_of(store)

    assert store.put(NAME, again)
    (change,) = commit(store)
    assert change.is_quiet

    assert datum.publishers == {P1: again}
    assert (datum.version, datum.revision) == (Version(1, 1), Version(1, 2))
    assert logged(datum)[-1] == Change(Version(1, 1), Version(1, 2), (again,), (), is_quiet=True)
    assert store.changes_since(datum, Version(1, 1)) == []


@pytest.mark.parametrize(
    "again",
    [make_publisher(P1, version=3, body=b"new"), make_publisher(P1, version=3, zone="z")],
    ids=["body", "zone"],
)
def test_a_visible_change_starts_at_the_last_version(again: Publisher) -> None:
    """Followers have not heard of the quiet revision between."""
    store = make_store(make_publisher(P1, version=1))
    store.put(NAME, make_publisher(P1, version=1, session=S2))
    commit(store)

    store.put(NAME, again)

    assert commit(store) == [Change(Version(1, 2), Version(1, 3), (again,), ())]
    change = Change(Version(1, 1), Version(1, 3), (again,), ())
    assert store.changes_since(datum_of(store), Version(1, 1)) == [change]
    assert [str(c.source_version) for c in logged(datum_of(store))] == ["0.0", "1.1", "1.2"]


def test_a_change_is_visible_if_any_part_of_it_is() -> None:
    store = make_store(make_publisher(P1, version=1, body=b"a"))
    store.put(NAME, make_publisher(P1, version=2, body=b"b"))
    store.put(NAME, make_publisher(P1, version=3, body=b"b"))

    (change,) = commit(store)

    assert not change.is_quiet
    assert change.publishers == (make_publisher(P1, version=3, body=b"b"),)


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(make_publisher(P1, version=2, session=S2), id="the-same"),
        pytest.param(make_publisher(P1, version=1, session=S2), id="older"),
        pytest.param(make_publisher(P1, version=2, session=S1), id="of-an-older-session"),
    ],
)
def test_a_late_or_repeated_publisher_changes_nothing(late: Publisher) -> None:
    store = make_store(make_publisher(P1, version=2, session=S2))

    assert not store.put(NAME, late)
    assert commit(store) == []
    assert datum_of(store).publishers == {P1: make_publisher(P1, version=2, session=S2)}


# --- removals and tombstones ----------------------------------------------------------------------


def test_a_removal_leaves_a_tombstone_that_wins_up_to_its_version() -> None:
    store = make_store(make_publisher(P1, version=2))

    assert store.remove(NAME, unpublished(P1, 2), 0.0)

    assert commit(store) == [Change(Version(1, 1), Version(1, 2), (), (unpublished(P1, 2),))]
    assert not store.put(NAME, make_publisher(P1, version=1))
    assert not store.put(NAME, make_publisher(P1, version=2, session=S2))
    assert datum_of(store).publishers == {}
    assert store.put(NAME, make_publisher(P1, version=3))
    assert datum_of(store).tombstones == {}


def test_the_removal_of_an_unknown_publisher_leaves_a_tombstone_and_is_visible() -> None:
    """A follower may hold a copy of it that came from another node."""
    store = DatumStore(CONFIG)

    assert store.remove(NAME, unpublished(P1, 2), 0.0)

    assert commit(store) == [Change(ZERO, Version(1, 1), (), (unpublished(P1, 2),))]
    assert not store.put(NAME, make_publisher(P1, version=2))


def test_a_removal_of_an_older_version_changes_nothing_and_leaves_nothing() -> None:
    store = make_store(make_publisher(P1, version=3))

    assert not store.remove(NAME, unpublished(P1, 2), 0.0)

    assert datum_of(store).tombstones == {}
    assert commit(store) == []


def test_a_removal_in_the_turn_of_its_publish_cancels_it() -> None:
    store = DatumStore(CONFIG)
    store.put(NAME, make_publisher(P1))
    store.remove(NAME, unpublished(P1, 1), 0.0)

    assert commit(store) == [Change(ZERO, Version(1, 1), (), (unpublished(P1, 1),))]


def test_a_publish_after_a_removal_in_one_turn_replaces_it() -> None:
    store = make_store(make_publisher(P1, version=1))
    store.remove(NAME, unpublished(P1, 1), 0.0)
    again = make_publisher(P1, version=2)
    store.put(NAME, again)

    assert commit(store) == [Change(Version(1, 1), Version(1, 2), (again,), ())]


def test_a_tombstone_is_not_prolonged_by_the_same_removal() -> None:
    store = make_store()
    store.remove(NAME, unpublished(P1, 2), 0.0)
    commit(store)

    assert not store.remove(NAME, unpublished(P1, 2), TOMBSTONE_SECONDS - 1)
    assert not store.remove(NAME, unpublished(P1, 1), TOMBSTONE_SECONDS - 1)
    store.sweep(TOMBSTONE_SECONDS - 0.1, 1000)
    assert store.find(NAME) is not None

    store.sweep(TOMBSTONE_SECONDS, 1000)
    assert store.find(NAME) is None


def test_a_later_removal_expires_at_its_own_time() -> None:
    store = make_store()
    store.remove(NAME, unpublished(P1, 2), 0.0)
    store.remove(NAME, unpublished(P1, 4), 60.0)
    commit(store)

    store.sweep(TOMBSTONE_SECONDS, 1000)
    assert datum_of(store).tombstones == {P1: (unpublished(P1, 4), 60.0 + TOMBSTONE_SECONDS)}

    store.sweep(60.0 + TOMBSTONE_SECONDS, 1000)
    assert store.find(NAME) is None


def test_the_tombstone_of_a_dropped_datum_does_not_shorten_the_next_one() -> None:
    store = make_store()
    store.remove(NAME, unpublished(P1, 2), 0.0)
    commit(store)
    drop_all(store)
    store.sweep(1.0, 1000)
    store.remove(NAME, unpublished(P1, 2), 60.0)
    commit(store)

    store.sweep(TOMBSTONE_SECONDS, 1000)

    assert datum_of(store).tombstones == {P1: (unpublished(P1, 2), 60.0 + TOMBSTONE_SECONDS)}


def test_the_expiry_of_a_tombstone_of_a_dropped_datum_has_no_effect() -> None:
    store = make_store()
    store.remove(NAME, unpublished(P1, 2), 0.0)
    commit(store)
    drop_all(store)

    store.sweep(TOMBSTONE_SECONDS, 1000)

    assert len(store) == 0


# --- evictions ------------------------------------------------------------------------------------


def test_an_eviction_removes_only_the_publishers_of_that_session() -> None:
    store = make_store(
        make_publisher(P1, session=S1),
        make_publisher(P2, session=S2),
        make_publisher(P3, session=S1),
    )
    store.put(OTHER, make_publisher(P2, session=S1, version=5))
    commit(store)

    assert store.evict(S1, 1000) == 3

    assert [datum.name for datum in store.dirty()] == [NAME, OTHER]
    removals = tuple(Removal(key, 1, Cause.EVICTED, S1) for key in (P1, P3))
    other = (Removal(P2, 5, Cause.EVICTED, S1),)
    assert commit(store) == [
        Change(Version(1, 1), Version(1, 3), (), removals),
        Change(Version(1, 2), Version(1, 4), (), other),
    ]
    assert datum_of(store).publishers == {P2: make_publisher(P2, session=S2)}
    assert store.buckets.by_session.sessions() == [S2]
    assert store.buckets.publisher_count == 1


def test_an_eviction_leaves_no_tombstone_so_that_another_session_may_register_the_publisher() -> (
    None
):
    store = make_store(make_publisher(P1, version=2))
    store.evict(S1, 1000)
    commit(store)

    assert datum_of(store).tombstones == {}
    assert store.put(NAME, make_publisher(P1, version=2, session=S2))


def test_the_eviction_of_a_session_without_publishers_changes_nothing() -> None:
    store = make_store(make_publisher(P1, session=S1))
    store.put(NAME, make_publisher(P1, version=2, session=S2))
    commit(store)

    assert store.evict(S1, 1000) == 0
    assert store.evict(NO_INCARNATION, 1000) == 0
    assert store.dirty() == []
    assert store.buckets.by_session.sessions() == [S2]
    assert digest_of(store, S1) == (0, 0)


# --- restamping, logs, housekeeping ---------------------------------------------------------------


def test_a_restamp_is_an_empty_change_to_the_highest_version() -> None:
    store = make_store(make_publisher(P1))
    datum = datum_of(store)
    store.put(NAME, make_publisher(P1, session=S2))
    commit(store)

    change = store.restamp(datum, 2, 1.0)

    assert change == Change(Version(1, 2), Version(2, 3), (), ())
    assert datum.version == datum.revision == Version(2, 3)
    seen_change = Change(Version(1, 1), Version(2, 3), (), ())
    assert store.changes_since(datum, Version(1, 1)) == [seen_change]
    assert logged(datum)[-1] == change


def test_a_restamp_leaves_the_next_replay_quiet() -> None:
    store = make_store(make_publisher(P1))
    store.restamp(datum_of(store), 1, 0.0)
    store.put(NAME, make_publisher(P1, session=S2))

    (change,) = commit(store)
    assert change.is_quiet


def test_restamping_a_datum_that_waits_for_a_commit_is_a_bug() -> None:
    store = make_store(make_publisher(P1))
    store.put(NAME, make_publisher(P2))

    with pytest.raises(AssertionError):
        store.restamp(datum_of(store), 1, 0.0)


def test_changes_since_a_version_before_the_log_are_not_given() -> None:
    store = make_store()
    for number in range(1, 7):
        store.put(NAME, make_publisher(P1, version=2 * number))
        commit(store)
    store.sweep(0.0, 1000)
    datum = datum_of(store)

    assert len(logged(datum)) == CONFIG.op_log_length_min
    assert store.changes_since(datum, Version(1, 1)) is None
    since = store.changes_since(datum, Version(1, 2))
    assert since is not None
    assert [str(change.version) for change in since] == ["1.3", "1.4", "1.5", "1.6"]


def test_the_log_of_a_large_datum_is_longer() -> None:
    ids = [number.to_bytes(16) for number in range(1, 41)]
    store = make_store(*(make_publisher(key) for key in ids))
    for number in range(2, 40):
        store.put(NAME, make_publisher(ids[0], version=2 * number))
        commit(store)

        assert len(logged(datum_of(store))) < len(ids) // 3

    assert len(logged(datum_of(store))) >= len(ids) // 4


def test_a_datum_without_changes_keeps_no_log() -> None:
    store = make_store(make_publisher(P1))
    store.put(NAME, make_publisher(P2))
    commit(store, now=1.0)
    datum = datum_of(store)

    assert not store.sweep(CONFIG.op_log_seconds + 0.5, 0), "there is something to drop"
    assert store.sweep(CONFIG.op_log_seconds + 0.5, 1)
    assert store.changes_since(datum, ZERO) is None
    assert store.changes_since(datum, Version(1, 1)) is not None

    assert store.sweep(CONFIG.op_log_seconds + 10, 1000)
    assert datum.log is None
    assert store.changes_since(datum, Version(1, 1)) is None
    assert store.changes_since(datum, Version(1, 2)) == []


def test_a_sweep_drops_empty_datums_but_those_that_wait_for_a_commit() -> None:
    store = make_store(make_publisher(P1))
    store.put(OTHER, make_publisher(P2))
    commit(store)
    store.evict(S1, 1000)
    store.sweep(0.0, 1000)
    assert len(store) == 2
    commit(store)

    store.sweep(0.0, 1000)

    assert len(store) == 0
    assert store.buckets.dropped_version == Version(1, 4)


def test_datums_of_lost_buckets_are_dropped_without_a_change() -> None:
    store = make_store(make_publisher(P1), make_publisher(P3))
    store.put(OTHER, make_publisher(P2))
    commit(store)

    take_roles(store, OTHER)

    assert names_of(store) == [OTHER]
    assert store.buckets.is_checking
    store.buckets.check_some(1000)
    assert names_of(store) == [OTHER]
    assert not store.buckets.is_checking
    assert store.buckets.publisher_count == len(store) == 1
    assert digest_of(store, S1) == (1, pair_digest(P2, 1))
    assert store.buckets.dropped_version == Version(1, 1)


def test_datums_are_dropped_in_slices_and_before_that_when_their_bucket_comes_back() -> None:
    """Under the ring between, another node may have taken writes of it."""
    store = make_store(make_publisher(P1))
    store.put(OTHER, make_publisher(P2))
    commit(store)
    take_roles(store, OTHER)
    store.buckets.check_some(0)
    assert store.buckets.publisher_count == 2
    take_roles(store, NAME, OTHER)

    assert store.put(NAME, make_publisher(P1))
    commit(store)
    assert store.buckets.dropped_version == Version(1, 1)
    assert digest_of(store, S1) == (2, (pair_digest(P1, 1) + pair_digest(P2, 1)) % 2**63)
    store.buckets.check_some(1)
    assert not store.buckets.is_checking
    assert names_of(store) == [NAME, OTHER]
    assert store.buckets.publisher_count == 2


@pytest.mark.parametrize("count", [1, 1000])
def test_publishers_of_copies_are_in_no_index_until_the_node_is_primary(count: int) -> None:
    store = make_store(make_publisher(P1), make_publisher(P2, session=S2))
    take_roles(store, replica=[NAME])
    while store.buckets.is_checking:
        store.buckets.check_some(count)
    assert store.buckets.by_session.sessions() == []
    assert names_of(store) == []
    assert store.buckets.publisher_count == 2

    take_roles(store, NAME)
    store.buckets.check_some(0)
    assert store.publisher(NAME, P1)
    store.buckets.check_some(count)
    assert not store.buckets.is_checking
    assert store.buckets.by_session.sessions() == [S1, S2]
    assert datum_of(store).version == Version(1, 1)


def test_a_role_that_comes_back_before_it_was_checked_changes_nothing() -> None:
    store = make_store(make_publisher(P1))
    for _ in range(2):
        take_roles(store, replica=[NAME])
        take_roles(store, NAME)
    store.buckets.check_some(1000)

    assert not store.buckets.is_checking
    assert digest_of(store, S1) == (1, pair_digest(P1, 1))


def make_copy() -> tuple[DatumStore, DatumStore]:
    """Return the store of a primary and one that keeps a copy."""
    primary, copy = make_store(), make_store()
    take_roles(copy, replica=[NAME])
    return primary, copy


def last_change(store: DatumStore) -> Change:
    return logged(datum_of(store))[-1]


def replicate(primary: DatumStore, copy: DatumStore, now: float = 0.0) -> None:
    commit(primary, now=now)
    copy.apply(NAME, last_change(primary), now)


def test_a_copy_follows_the_revisions_of_its_primary() -> None:
    primary, copy = make_copy()
    for version in (1, 2):
        primary.put(NAME, make_publisher(P1, version=version))
        replicate(primary, copy)
    primary.put(NAME, make_publisher(P2))
    replicate(primary, copy)
    primary.remove(NAME, Removal(P1, 2, Cause.UNPUBLISHED), 0.0)
    replicate(primary, copy)

    ours, theirs = datum_of(copy), datum_of(primary)
    assert (ours.publishers, ours.tombstones) == (theirs.publishers, theirs.tombstones)
    assert (ours.version, ours.revision) == (theirs.version, theirs.revision)
    assert copy.changes_since(ours, Version(1, 1)) == primary.changes_since(theirs, Version(1, 1))
    assert not ours.is_unsure
    assert not ours.is_dirty
    assert copy.buckets.digest(ours.bucket).value == primary.buckets.digest(ours.bucket).value


def test_a_change_that_comes_twice_or_late_changes_no_copy() -> None:
    primary, copy = make_copy()
    primary.put(NAME, make_publisher(P1))
    replicate(primary, copy)
    first = last_change(primary)
    primary.put(NAME, make_publisher(P1, version=2))
    replicate(primary, copy)
    copy.apply(NAME, first, 0.0)
    copy.apply(NAME, last_change(primary), 0.0)

    assert datum_of(copy).publishers == datum_of(primary).publishers
    assert not datum_of(copy).is_unsure


def test_a_copy_that_missed_a_change_takes_the_next_and_gets_a_version_as_primary() -> None:
    primary, copy = make_copy()
    primary.put(NAME, make_publisher(P1))
    replicate(primary, copy)
    primary.put(NAME, make_publisher(P2))
    commit(primary)
    primary.put(NAME, make_publisher(P3))
    replicate(primary, copy)

    assert datum_of(copy).publishers.keys() == {P1, P3}
    assert datum_of(copy).is_unsure
    assert datum_of(copy).version == Version(1, 1)
    take_roles(copy, NAME, epoch=7)
    assert datum_of(copy).version == datum_of(copy).revision == Version(7, 1)
    assert copy.changes_since(datum_of(copy), Version(1, 1)) is None
    assert not datum_of(copy).is_unsure


def test_a_copy_at_a_version_of_a_later_epoch_gets_another_one_as_primary() -> None:
    """No primary of before can have sent it. Its next change has to have a higher version."""
    _, copy = make_copy()
    copy.apply(NAME, Change(ZERO, Version(1 << 40, 1), (make_publisher(P1),), ()), 0.0)
    take_roles(copy, NAME, epoch=7)

    assert datum_of(copy).revision == Version(7, 1)
    copy.put(NAME, make_publisher(P2))
    assert copy.commit(datum_of(copy), 7, 0.0) is not None


def test_a_copy_takes_an_eviction_as_its_primary_did_and_keeps_no_tombstone() -> None:
    primary, copy = make_copy()
    primary.put(NAME, make_publisher(P1, session=S1))
    primary.put(NAME, make_publisher(P2, session=S2))
    replicate(primary, copy)
    primary.evict(S1, 10)
    replicate(primary, copy)

    assert datum_of(copy).publishers.keys() == {P2}
    assert datum_of(copy).tombstones == {}


def test_a_copy_of_an_empty_datum_is_dropped_when_its_tombstones_end() -> None:
    primary, copy = make_copy()
    primary.put(NAME, make_publisher(P1))
    replicate(primary, copy)
    primary.remove(NAME, Removal(P1, 1, Cause.UNPUBLISHED), 5.0)
    replicate(primary, copy, 5.0)
    copy.sweep(5.0 + CONFIG.tombstone_seconds - 1, 10)
    assert copy.find(NAME)
    copy.sweep(5.0 + CONFIG.tombstone_seconds, 10)

    assert copy.find(NAME) is None


def test_tombstones_of_copies_keep_the_time_that_they_have_left() -> None:
    _, copy = make_copy()
    datum = copy.buckets.add(NAME)
    copy.merge_copy(datum, (), [(Removal(P1, 1, Cause.BYE), 50.0)], 10.0)
    copy.merge_copy(datum, (), [(Removal(P2, 1, Cause.BYE), 5.0)], 10.0)
    copy.merge_copy(datum, (), [(Removal(P1, 1, Cause.BYE), 500.0)], 10.0)
    copy.sweep(15.0, 10)
    assert datum.tombstones.keys() == {P1}
    copy.sweep(60.0, 10)

    assert copy.find(NAME) is None


def test_an_eviction_is_done_in_slices() -> None:
    store = make_store(*(make_publisher(number.to_bytes(16)) for number in range(1, 6)))

    assert [store.evict(S1, 2) for _ in range(4)] == [2, 2, 1, 0]
    commit(store)
    assert datum_of(store).publishers == {}
    assert store.buckets.by_session.sessions() == []


def test_the_publishers_of_a_large_session_are_found_by_the_first_byte_of_their_ids() -> None:
    ids = [number.to_bytes(16, "little") for number in range(1, 3001)]
    store = make_store(*(make_publisher(publisher_id) for publisher_id in ids))
    entry = store.buckets.by_session.of(S1)

    found = [publisher_id for publisher_id, _ in entry.in_range(7, 9)]

    assert sorted(found) == sorted(each for each in ids if 7 <= each[0] <= 9)
    assert len(list(entry.in_range(0, 255))) == len(entry.first(4000)) == len(ids)
    assert entry.find(ids[0]) == make_publisher(ids[0])
    assert entry.find(b"z" * 16) is None
    assert store.evict(S1, 4000) == len(ids)


def test_the_repr_of_a_datum_shows_its_size() -> None:
    assert repr(datum_of(make_store(make_publisher(P1)))) == f"<Datum {NAME} 1.1 publishers=1>"


# --- properties -----------------------------------------------------------------------------------

removals = st.builds(unpublished, publisher_ids, st.integers(1, 4))


def content_of(store: DatumStore) -> tuple[dict[bytes, Publisher], dict[bytes, int]]:
    datum = store.find(NAME)
    if datum is None:
        return {}, {}
    tombstones = {key: removal.version for key, (removal, _) in sorted(datum.tombstones.items())}
    return dict(sorted(datum.publishers.items())), tombstones


@given(st.data(), st.lists(publishers | removals, max_size=8))
def test_merging_in_any_order_any_number_of_times_gives_the_same_content(
    data: st.DataObject, records: list[Publisher | Removal]
) -> None:
    stores = DatumStore(CONFIG), DatumStore(CONFIG)
    orders = records, data.draw(st.permutations([*records, *records]))
    for store, order in zip(stores, orders, strict=True):
        for record in order:
            if isinstance(record, Publisher):
                store.put(NAME, record)
            else:
                store.remove(NAME, record, 0.0)

    assert content_of(stores[0]) == content_of(stores[1])


class StoreMachine(RuleBasedStateMachine):
    """One datum of a store beside the simplest correct model.

    What the model holds: the publishers, the tombstones with their ends, whether a commit can be
    seen, and for every version that followers can be at, the content that they have then.
    """

    @initialize()
    def begin(self) -> None:
        self.store = DatumStore(CONFIG)
        self.now = 0.0
        self.epoch = 1
        self.content: dict[bytes, Publisher] = {}
        self.tombstones: dict[bytes, tuple[int, float]] = {}
        self.is_dirty = False
        self.is_seen = False
        self.highest = ZERO
        self.history: dict[Version, dict[bytes, Publisher]] = {}

    # --- writes ---

    @rule(batch=st.lists(publishers, min_size=1, max_size=8))
    def put(self, batch: list[Publisher]) -> None:
        for publisher in batch:
            self.put_one(publisher)

    def put_one(self, publisher: Publisher) -> None:
        key = publisher.publisher_id
        old = self.content.get(key)
        is_taken = self.tombstones.get(key, (0, 0.0))[0] < publisher.version and (
            old is None or publisher_wins(publisher, old)
        )

        assert self.store.put(NAME, publisher) == is_taken

        if is_taken:
            self.is_dirty = True
            is_new = old is None or seen({key: old}) != seen({key: publisher})
            self.is_seen = self.is_seen or is_new
            self.content[key] = publisher
            self.tombstones.pop(key, None)

    @rule(removal=removals)
    def remove(self, removal: Removal) -> None:
        key, version = removal.publisher_id, removal.version
        old = self.content.get(key)
        is_taken = self.tombstones.get(key, (0, 0.0))[0] < version and (
            old is None or old.version <= version
        )

        assert self.store.remove(NAME, removal, self.now) == is_taken

        if is_taken:
            self.is_dirty = self.is_seen = True
            self.content.pop(key, None)
            self.tombstones[key] = (version, self.now + TOMBSTONE_SECONDS)

    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        """Evict, and commit at once, as a data node does."""
        self.commit()
        session = data.draw(
            st.sampled_from([NO_INCARNATION, *self.store.buckets.by_session.sessions()])
        )
        gone = [key for key, p in self.content.items() if p.session == session]

        assert self.store.evict(session, 1000) == len(gone)

        for key in gone:
            del self.content[key]
            self.is_dirty = self.is_seen = True
        self.commit()

    # --- time, versions ---

    @rule()
    def commit(self) -> None:
        datum = self.store.find(NAME)
        if not self.is_dirty or datum is None:
            assert self.store.dirty() == []
            return
        source, revision = datum.version, datum.revision
        change = self.store.commit(datum, self.epoch, self.now)
        assert change.is_quiet is not self.is_seen
        assert datum.revision > self.highest
        self.highest = datum.revision
        assert (change.source_version, change.version) == (revision, datum.revision)
        assert datum.version == (source if change.is_quiet else datum.revision)
        self.history[datum.version] = dict(self.content)
        self.is_dirty = self.is_seen = False

    @precondition(lambda self: not self.is_dirty)
    @rule()
    def restamp(self) -> None:
        datum = self.store.find(NAME)
        if datum is not None:
            change = self.store.restamp(datum, self.epoch, self.now)
            assert self.highest < change.version == datum.version == datum.revision
            self.highest = change.version
            self.history[datum.version] = dict(self.content)

    @rule(steps=st.integers(1, 3))
    def raise_epoch(self, steps: int) -> None:
        self.epoch += steps

    @rule(seconds=st.sampled_from([1.0, CONFIG.op_log_seconds, TOMBSTONE_SECONDS]))
    def sweep(self, seconds: float) -> None:
        self.now += seconds
        self.store.sweep(self.now, 1000)
        self.tombstones = {k: t for k, t in self.tombstones.items() if t[1] > self.now}
        if not (self.content or self.tombstones or self.is_dirty):
            assert self.store.find(NAME) is None
            if self.history:
                assert self.store.buckets.dropped_version >= max(self.history)
            self.history.clear()

    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        """Bring a follower from a version that it was at once to the present one."""
        self.commit()
        datum = self.store.find(NAME)
        if datum is None or not self.history:
            return
        version = data.draw(st.sampled_from(sorted(self.history)))
        changes = self.store.changes_since(datum, version)
        if changes is None:
            return
        mirror = Mirror(PUBLISHERS)
        mirror.snapshot(version, self.history[version].values())
        for change in changes:
            mirror.hint(change.source_version, change.version, change.publishers, change.removals)
        assert mirror.version == datum.version
        assert seen(mirror.content) == seen(datum.publishers)

    # --- invariants ---

    @invariant()
    def content_is_that_of_the_model(self) -> None:
        publishers_now, tombstones_now = content_of(self.store)
        assert publishers_now == dict(sorted(self.content.items()))
        assert tombstones_now == {k: v for k, (v, _) in sorted(self.tombstones.items())}
        assert self.store.buckets.publisher_count == len(self.content)
        assert bool(self.store.dirty()) == self.is_dirty

    @invariant()
    def digests_are_those_computed_anew(self) -> None:
        sessions = {p.session for p in self.content.values()}
        assert self.store.buckets.by_session.sessions() == sorted(sessions)
        for session in sessions:
            mine = [p for p in self.content.values() if p.session == session]
            total = sum(pair_digest(p.publisher_id, p.version) for p in mine) % 2**63
            assert digest_of(self.store, session) == (len(mine), total)

    @invariant()
    def the_log_has_no_gap_and_ends_at_the_revision(self) -> None:
        datum = self.store.find(NAME)
        if datum is None or datum.log is None:
            return
        changes = logged(datum)
        assert changes[-1].version == datum.revision
        assert all(a.version == b.source_version for a, b in itertools.pairwise(changes))
        visible = [change.version for change in changes if not change.is_quiet]
        assert not visible or visible[-1] == datum.version


def test_a_store_does_what_its_model_does() -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(max_examples=60, stateful_step_count=30, report_multiple_bugs=False),
    )
