"""Following versions: the same version means the same content, also after loss and repetition."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import History, histories, make_publisher, publisher_ids, seen

from zreg.model import ZERO, Cause, Incarnation, Member, Publisher, Removal, Role, Status, Version
from zreg.primitives.mirror import ANY_VERSION, MEMBERS, PUBLISHERS, Mirror, Verdict, absent

ONE, TWO = make_publisher(b"\x01" * 16), make_publisher(b"\x02" * 16)
V1, V2, V3 = Version(1, 1), Version(1, 2), Version(1, 3)


def make_mirror(version: Version | None = None, *content: Publisher) -> Mirror[bytes, Publisher]:
    """Return a mirror that took one snapshot, or nothing yet."""
    mirror = Mirror(PUBLISHERS)
    if version is not None:
        assert mirror.snapshot(version, content)
        mirror.take_difference()
    return mirror


class Follower:
    """A mirror of a history; a test says which hints it gets and what it fetches."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.mirror = Mirror(PUBLISHERS)

    def hint(self, index: int, *, with_items: bool) -> Verdict:
        """Give it the hint of change `index`."""
        change = self.history.changes[index]
        return self.mirror.hint(
            change.source_version,
            change.version,
            change.publishers if with_items else None,
            change.removals if with_items else (),
        )

    def snapshot(self, index: int, *, quiet: int = -1) -> bool:
        """Give it a snapshot that the primary served while it had version `index`."""
        contents = self.history.snapshots[index]
        content = contents[quiet % len(contents)]
        return self.mirror.snapshot(self.history.versions[index], content.values())

    def partial(self, index: int, left_out: set[bytes]) -> bool:
        """Give it the snapshot of an unreconciled primary, which lacks some publishers."""
        content = self.history.snapshots[index][-1]
        kept = [p for key, p in content.items() if key not in left_out]
        return self.mirror.snapshot(self.history.versions[index], kept, is_partial=True)

    def fetch(self) -> None:
        """Fetch from the present primary: the changes after the mirror's version, or a snapshot."""
        mirror, history = self.mirror, self.history
        if mirror.is_known and not mirror.is_unsure and mirror.version in history.versions:
            for index in range(history.versions.index(mirror.version), len(history.changes)):
                self.hint(index, with_items=True)
        elif mirror.version < history.versions[-1]:
            # If an unsure follower has the primary's version, the primary makes a new one first.
            self.snapshot(-1)

    def check(self) -> None:
        """Check what must hold at every moment."""
        if self.mirror.is_known and not self.mirror.is_unsure:
            index = self.history.versions.index(self.mirror.version)
            assert seen(self.mirror.content) == self.history.seen_at(index)


def act(follower: Follower, data: st.DataObject) -> None:
    """Give a follower one random hint or snapshot, or let it fetch."""
    history, mirror = follower.history, follower.mirror
    index = data.draw(st.integers(0, len(history.versions) - 1))
    kind = data.draw(st.sampled_from(["hint", "bare hint", "snapshot", "partial", "fetch"]))
    if "hint" in kind and index < len(history.changes):
        follower.hint(index, with_items=kind == "hint")
    elif mirror.is_unsure and mirror.version == history.versions[index]:
        pass  # an unsure follower never gets a snapshot of the version that it has
    elif kind == "snapshot":
        follower.snapshot(index, quiet=data.draw(st.integers(0, 3)))
    elif kind == "partial":
        follower.partial(index, data.draw(st.sets(publisher_ids)))
    elif kind == "fetch":
        follower.fetch()


@settings(max_examples=100)
@given(histories(), st.data())
def test_a_version_means_its_content_in_any_order_with_loss_and_repetition(
    history: History, data: st.DataObject
) -> None:
    follower = Follower(history)
    mirror = follower.mirror

    for _ in range(data.draw(st.integers(0, 12))):
        before, version = dict(mirror.content), mirror.version
        act(follower, data)
        assert mirror.version >= version
        for key, publisher in mirror.content.items():
            old = before.get(key)
            assert old is None or (publisher.version, publisher.session) >= (
                old.version,
                old.session,
            )
        follower.check()

    mirror.expect(history.versions[-1])
    if mirror.is_behind or mirror.is_unsure or not mirror.is_known:
        follower.snapshot(-1)
    assert not mirror.is_behind
    assert seen(mirror.content) == history.seen_at(-1)


@given(histories(), st.data())
def test_deltas_equal_snapshots(history: History, data: st.DataObject) -> None:
    """A follower that applies changes and one that takes snapshots never differ."""
    by_change, by_whole = Follower(history), Follower(history)
    by_change.snapshot(0)
    start = data.draw(st.integers(0, len(history.changes)))
    by_change.snapshot(start)

    for index in range(start, len(history.changes)):
        assert by_change.hint(index, with_items=True) is Verdict.APPLIED
        assert by_whole.snapshot(index + 1)
        assert by_change.mirror.version == by_whole.mirror.version
        assert seen(by_change.mirror.content) == seen(by_whole.mirror.content)


@settings(max_examples=100)
@given(histories(), st.data())
def test_differences_taken_over_time_rebuild_the_content_downstream(
    history: History, data: st.DataObject
) -> None:
    """A session pushes differences to its clients, which follow it as it follows the primary."""
    upstream, downstream = Follower(history), Mirror(PUBLISHERS)
    mirror = upstream.mirror
    upstream.snapshot(data.draw(st.integers(0, len(history.versions) - 1)))
    mirror.take_difference()
    assert downstream.snapshot(mirror.version, mirror.content.values())

    for _ in range(data.draw(st.integers(1, 12))):
        act(upstream, data)
        if not data.draw(st.booleans()):
            continue
        difference = mirror.take_difference()
        assert difference.source_version == downstream.version
        changed = {**difference.upserts, **difference.removals}
        before = {key: p for key, p in downstream.content.items() if key in changed}
        assert seen(difference.former) == seen(before)
        verdict = downstream.hint(
            difference.source_version,
            difference.version,
            difference.upserts.values(),
            [removal or absent(key) for key, removal in difference.removals.items()],
        )
        is_newer = difference.version > difference.source_version
        assert verdict is (Verdict.APPLIED if is_newer else Verdict.IGNORED)
        assert is_newer or not difference.is_visible
        assert seen(downstream.content) == seen(mirror.content)


def test_a_mirror_without_a_copy_fetches_even_if_the_hint_includes_the_change() -> None:
    mirror = make_mirror()

    assert mirror.hint(ZERO, V1, [ONE]) is Verdict.FETCH
    assert (mirror.is_known, mirror.content, mirror.version) == (False, {}, ZERO)
    assert mirror.is_behind
    assert mirror.highest_seen == V1


def test_a_hint_that_fits_is_applied() -> None:
    mirror = make_mirror(V1, ONE)

    gone = Removal(ONE.publisher_id, ONE.version, Cause.UNPUBLISHED)
    assert mirror.hint(V1, V2, [TWO], [gone]) is Verdict.APPLIED

    assert mirror.content == {TWO.publisher_id: TWO}
    assert mirror.version == mirror.highest_seen == V2
    assert repr(mirror) == "<Mirror 1.2 is_known=True items=1>"


def test_an_old_or_repeated_hint_is_ignored() -> None:
    mirror = make_mirror(V2, ONE)

    assert mirror.hint(ZERO, V1, [TWO]) is Verdict.IGNORED
    assert mirror.hint(V1, V2, [TWO]) is Verdict.IGNORED
    assert mirror.content == {ONE.publisher_id: ONE}


@pytest.mark.parametrize("items", [None, [TWO]], ids=["without the change", "after a gap"])
def test_a_hint_that_does_not_fit_is_fetched(items: list[Publisher] | None) -> None:
    mirror = make_mirror(V1, ONE)
    source = V1 if items is None else V2

    assert mirror.hint(source, V3, items) is Verdict.FETCH

    assert mirror.content == {ONE.publisher_id: ONE}
    assert (mirror.version, mirror.highest_seen, mirror.is_behind) == (V1, V3, True)


def test_an_answer_below_a_hint_that_came_meanwhile_is_fetched_again() -> None:
    mirror = make_mirror(V1)
    mirror.hint(V2, V3, [TWO])

    assert mirror.hint(V1, V2, [ONE]) is Verdict.FETCH
    assert mirror.hint(V2, V3, [TWO]) is Verdict.APPLIED
    assert not mirror.is_behind


def test_a_change_from_version_zero_fits_an_empty_copy() -> None:
    assert make_mirror(V1).hint(ZERO, V2, [ONE]) is Verdict.APPLIED
    assert make_mirror(V1, ONE).hint(ZERO, V2, [TWO]) is Verdict.FETCH


def test_an_older_snapshot_changes_nothing() -> None:
    mirror = make_mirror(V2, ONE)

    assert not mirror.snapshot(V1, [TWO])

    assert mirror.content == {ONE.publisher_id: ONE}


@given(old=st.integers(1, 4), new=st.integers(1, 4), is_hint=st.booleans())
def test_an_older_publisher_never_replaces_a_newer(old: int, new: int, *, is_hint: bool) -> None:
    """A restarted primary may serve older publishers until all sessions have sent theirs."""
    mirror = make_mirror(V1, make_publisher(version=old))

    if is_hint:
        mirror.hint(V1, V2, [make_publisher(version=new)])
    else:
        mirror.snapshot(V2, [make_publisher(version=new)])

    assert mirror.content[ONE.publisher_id].version == max(old, new)


def test_a_removal_up_to_an_older_version_leaves_the_newer() -> None:
    mirror = make_mirror(V1, make_publisher(version=3))

    mirror.hint(V1, V2, [], [Removal(ONE.publisher_id, 2, Cause.SILENT)])

    assert mirror.content[ONE.publisher_id].version == 3
    assert not mirror.take_difference().is_visible


def test_a_whole_snapshot_drops_what_it_lacks() -> None:
    mirror = make_mirror(V1, ONE)

    assert mirror.snapshot(V2, [TWO])

    assert mirror.content == {TWO.publisher_id: TWO}
    assert mirror.take_difference().removals == {ONE.publisher_id: None}


def test_a_partial_snapshot_drops_nothing_and_leaves_the_copy_unsure() -> None:
    mirror = make_mirror(V1, ONE)

    assert mirror.snapshot(V2, [TWO], is_partial=True)
    assert mirror.content == {ONE.publisher_id: ONE, TWO.publisher_id: TWO}
    assert (mirror.version, mirror.is_unsure) == (V2, True)
    assert mirror.take_difference().removals == {}

    assert mirror.hint(V2, V3, [make_publisher(TWO.publisher_id, version=2)]) is Verdict.APPLIED
    assert mirror.is_unsure

    assert mirror.snapshot(Version(1, 4), [TWO])
    assert list(mirror.content) == [TWO.publisher_id]
    assert not mirror.is_unsure


def test_an_unsure_copy_does_not_take_a_version_from_an_empty_change() -> None:
    """A primary gives the same content a new version so that unsure followers fetch a snapshot."""
    mirror = make_mirror(V1, ONE)
    mirror.snapshot(V2, [], is_partial=True)

    assert mirror.hint(V2, V3, []) is Verdict.FETCH
    assert (mirror.version, mirror.highest_seen) == (V2, V3)

    sure = make_mirror(V2, ONE)
    assert sure.hint(V2, V3, []) is Verdict.APPLIED


def test_a_quiet_change_is_not_visible() -> None:
    mirror = make_mirror(V1, make_publisher(version=2))

    mirror.snapshot(V1, [make_publisher(version=3, session=Incarnation(2, "s2"))])

    assert mirror.content[ONE.publisher_id].version == 3
    assert not mirror.take_difference().is_visible


def test_a_difference_has_the_newest_version_of_a_publisher() -> None:
    mirror = make_mirror(V1)
    mirror.hint(V1, V2, [make_publisher(version=2)])
    mirror.hint(V2, V3, [make_publisher(version=3)])

    difference = mirror.take_difference()

    assert difference.upserts == {ONE.publisher_id: make_publisher(version=3)}
    assert (difference.source_version, difference.version) == (V1, V3)
    assert difference.is_visible
    assert not mirror.take_difference().is_visible


def test_a_publisher_that_is_removed_and_comes_back_is_no_removal() -> None:
    mirror = make_mirror(V1, ONE)
    gone = Removal(ONE.publisher_id, 1, Cause.CLOSED)
    mirror.hint(V1, V2, [], [gone])
    mirror.hint(V2, V3, [make_publisher(version=2)])

    difference = mirror.take_difference()

    assert (list(difference.upserts), difference.removals) == ([ONE.publisher_id], {})


def test_a_difference_keeps_the_cause_of_a_removal() -> None:
    mirror = make_mirror(V1, ONE)
    gone = Removal(ONE.publisher_id, 1, Cause.CLOSED)
    mirror.hint(V1, V2, [], [gone])

    assert mirror.take_difference().removals == {ONE.publisher_id: gone}


def test_a_cleared_mirror_is_empty_and_takes_any_version() -> None:
    mirror = make_mirror(V2, ONE)
    mirror.expect(V3)

    mirror.clear()

    assert (mirror.version, mirror.highest_seen, mirror.is_known) == (ZERO, ZERO, False)
    assert mirror.take_difference().removals == {ONE.publisher_id: None}
    assert mirror.snapshot(V1, [TWO])


def test_an_absent_publisher_is_removed_at_any_version() -> None:
    removal = absent(ONE.publisher_id)

    assert (removal.version, removal.cause) == (ANY_VERSION, Cause.ABSENT)
    mirror = make_mirror(V1, make_publisher(version=ANY_VERSION, body=b"x"))
    mirror.hint(V1, V2, [], [removal])
    assert mirror.content == {}


def test_members_are_followed_by_incarnation() -> None:
    """The key is not the node id: a departed incarnation can share the id of a living member."""
    departed = Member("s1", Role.SESSION, 1, Status.DEPARTED, "tcp://127.0.0.1:1")
    living = Member("s1", Role.SESSION, 3, Status.INITIAL, "tcp://127.0.0.1:1")
    mirror = Mirror(MEMBERS)

    mirror.snapshot(Version(0, 3), [departed, living])
    assert set(mirror.take_difference().upserts) == {Incarnation(1, "s1"), Incarnation(3, "s1")}

    working = msgspec.structs.replace(living, status=Status.WORKING)
    mirror.snapshot(Version(0, 4), [working])

    difference = mirror.take_difference()
    assert difference.upserts == {Incarnation(3, "s1"): working}
    assert difference.removals == {Incarnation(1, "s1"): None}
    assert MEMBERS.version(working) == 3
