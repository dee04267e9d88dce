"""Following: hint, compare, fetch; what could not be fetched changes nothing."""

from random import Random

import pytest
from session_fakes import (
    CONFIG,
    D1,
    D2,
    PAY,
    SHOP,
    V1,
    V2,
    V3,
    V4,
    bring_up,
    make_links,
    make_membership,
    make_publisher,
    names_at,
    sharing_bucket,
    to_data,
)

from zreg.config import Limits
from zreg.effects import BEAT_TOPIC, Effect, Link, Listen, PeerLost, Unlisten
from zreg.model import ZERO, Change, DataInfoId, Incarnation, Publisher, Version
from zreg.primitives.ring import bucket_of, bucket_topic
from zreg.session.upstream.followed_datum import FollowedDatum
from zreg.session.upstream.followed_datums import FollowedDatums
from zreg.wire.data_messages import (
    Beat,
    Changed,
    Changes,
    CompareVersions,
    FetchChanges,
    Snapshot,
    Versions,
)
from zreg.wire.messages import Message

ONE, TWO, THREE = make_publisher(1), make_publisher(2), make_publisher(3)
BUCKET = bucket_of(PAY)
LISTEN, UNLISTEN = (kind(Link.CHANGES, bucket_topic(BUCKET)) for kind in (Listen, Unlisten))
S2 = Incarnation(5, "s2")
RETRY = CONFIG.request_retry_seconds


def ids(interest: FollowedDatum) -> list[bytes]:
    return list(interest.mirror.content)


def beat(sequence: int, *unreconciled: Incarnation, bucket: int = BUCKET) -> Beat:
    sequences = [0] * Limits.bucket_count
    sequences[bucket] = sequence
    return Beat(Incarnation(1, "d1"), tuple(sequences), unreconciled)


def hint(source: Version, version: Version, sequence: int, *publishers: Publisher) -> Changed:
    return Changed(PAY, source, version, sequence, publishers or None)


class Bench:
    """Following with its connections, and a clock."""

    def __init__(self, *data: str, is_up: bool = True) -> None:
        self.links = make_links(*data, is_up=is_up)
        self.following = FollowedDatums(CONFIG, self.links, rng=Random(1))
        self.now = 1000.0
        self.following.tick(self.now)

    def add(self, name: DataInfoId = PAY) -> FollowedDatum:
        interest, _ = self.following.add(name, self.now)
        return interest

    def known(
        self, *publishers: Publisher, name: DataInfoId = PAY, sequence: int = 5
    ) -> FollowedDatum:
        """Follow an id that is at V1 by now."""
        interest = self.add(name)
        assert self.snapshot(interest, V1, *publishers, sequence=sequence) == []
        self.following.take_changed()
        return interest

    def snapshot(
        self,
        interest: FollowedDatum,
        version: Version,
        *publishers: Publisher,
        left: int = 0,
        sequence: int = 5,
        is_unreconciled: bool = False,
        is_known: bool = True,
    ) -> list[Effect]:
        """Answer the fetch that is under way."""
        assert interest.request_id
        snapshot = Snapshot(
            interest.request_id, interest.name, version, publishers, left, sequence,
            is_known, is_unreconciled,
        )  # fmt: skip
        return self.following.snapshot_came(interest.peer, snapshot, self.now)

    def changes(self, interest: FollowedDatum, *changes: Change, sequence: int = 5) -> list[Effect]:
        """Answer the fetch that is under way."""
        assert interest.request_id
        answer = Changes(interest.request_id, interest.name, changes, sequence)
        return self.following.changes_came(interest.peer, answer, self.now)

    def hinted(self, changed: Changed, peer: str = D1) -> list[Effect]:
        return self.following.hinted(peer, changed, self.now)

    def beaten(self, message: Beat, peer: str = D1) -> list[Effect]:
        return self.following.beaten(peer, message, self.now)

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass, without compare-everything."""
        self.now += seconds
        return self.following.tick(self.now)

    def lose(self, peer: str = D1) -> None:
        self.links.went_down(PeerLost(Link.DATA, peer), self.now)
        self.following.node_lost(peer, self.now)

    def come_up(self, peer: str = D1) -> list[Effect]:
        bring_up(self.links, peer)
        return self.following.node_up(peer, self.now)

    def follow(self, *data: str) -> list[Effect]:
        self.links.follow(make_membership(*data, epoch=4))
        return self.following.ring_changed(self.now)


def fetch(
    request_id: int,
    version: Version = ZERO,
    seen: Version = ZERO,
    *,
    name: DataInfoId = PAY,
    is_unsure: bool = False,
) -> FetchChanges:
    return FetchChanges(request_id, name, version, max(version, seen), is_unsure)


def compare(*versions: tuple[DataInfoId, Version]) -> CompareVersions:
    return CompareVersions(0, BUCKET, versions)


# --- interest -------------------------------------------------------------------------------------


def test_beats_are_listened_to_from_the_start() -> None:
    assert Bench().following.start() == [Listen(Link.CHANGES, BEAT_TOPIC)]


def test_a_session_listens_to_the_bucket_first_and_fetches_then() -> None:
    bench = Bench(D1)

    interest, effects = bench.following.add(PAY, 0.0)

    assert effects == [LISTEN, *to_data(D1, fetch(1))]
    assert bench.following.find(PAY) is interest
    assert len(bench.following) == bench.following.fetch_count == 1


def test_an_id_that_is_followed_is_not_asked_for_again() -> None:
    bench = Bench(D1)
    interest = bench.add()

    assert bench.following.add(PAY, 0.0) == (interest, [])


def test_ids_of_one_bucket_share_its_topic() -> None:
    bench = Bench(D1)
    other = sharing_bucket(PAY)
    bench.add()

    assert bench.following.add(other, 0.0)[1] == to_data(D1, fetch(2, name=other))
    assert bench.following.drop(PAY) == []
    assert bench.following.drop(other) == [UNLISTEN]


def test_what_is_dropped_is_forgotten_and_late_answers_with_it() -> None:
    bench = Bench(D1)
    interest = bench.add()
    request_id = interest.request_id

    assert bench.following.drop(PAY) == [UNLISTEN]

    assert bench.following.drop(PAY) == []
    late = Snapshot(request_id, PAY, V1, (ONE,), 0, 5)
    assert bench.following.snapshot_came(D1, late, bench.now) == []
    assert bench.hinted(hint(V1, V2, 6, TWO)) == []
    assert bench.following.take_changed() == []
    assert bench.wait(2.0) == []
    assert bench.following.find(PAY) is None


def test_a_bucket_that_is_listened_to_anew_counts_anew() -> None:
    """Hints that were not listened to are no gap."""
    bench = Bench(D1)
    bench.known(ONE)
    bench.following.drop(PAY)

    bench.known(ONE, sequence=9)

    assert bench.hinted(hint(V1, V2, 10, TWO)) == []
    assert bench.following.gap_count == 0


# --- hints ----------------------------------------------------------------------------------------


def test_a_hint_that_fits_is_applied_without_another_trip() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)

    assert bench.hinted(hint(V1, V2, 6, TWO)) == []

    assert bench.following.take_changed() == [interest]
    assert bench.following.take_changed() == []
    assert ids(interest) == [ONE.publisher_id, TWO.publisher_id]
    assert interest.mirror.version == V2


@pytest.mark.parametrize("repeated", [hint(ZERO, V1, 5, TWO), hint(ZERO, V1, 4, TWO)])
def test_hints_that_come_twice_or_late_change_nothing(repeated: Changed) -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)

    assert bench.hinted(repeated) == []

    assert bench.following.take_changed() == []
    assert ids(interest) == [ONE.publisher_id]
    assert bench.following.gap_count == 0


def test_a_hint_too_large_to_carry_its_change_is_fetched_from_my_version() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)

    assert bench.hinted(hint(V1, V2, 6)) == to_data(D1, fetch(2, V1, V2))
    assert bench.changes(interest, Change(V1, V2, (TWO,), ())) == []

    assert bench.following.take_changed() == [interest]
    assert interest.mirror.version == V2


def test_a_hint_that_does_not_fit_is_fetched_and_changes_nothing() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)

    assert bench.hinted(hint(V2, V3, 6, TWO)) == to_data(D1, fetch(2, V1, V3))

    assert ids(interest) == [ONE.publisher_id]
    assert bench.following.take_changed() == []


def test_one_fetch_at_a_time_and_another_if_more_was_hinted_meanwhile() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.hinted(hint(V1, V2, 6))

    assert bench.hinted(hint(V2, V3, 7)) == []

    effects = bench.changes(interest, Change(V1, V2, (TWO,), ()))
    assert effects == to_data(D1, fetch(3, V2, V3))
    assert bench.following.take_changed() == [interest]


def test_a_hint_while_nothing_is_known_is_remembered() -> None:
    bench = Bench(D1)
    interest = bench.add()

    assert bench.hinted(hint(V1, V2, 6, TWO)) == []

    assert bench.snapshot(interest, V1, ONE) == to_data(D1, fetch(2, V1, V2))


def test_a_change_that_fits_is_shown_although_a_higher_version_is_awaited() -> None:
    """The answer may be long in coming, and this is true already."""
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.following.compared(D1, Versions(0, BUCKET, ((PAY, V4),), 9), bench.now)

    assert bench.hinted(hint(V1, V2, 6, TWO)) == []

    assert bench.following.take_changed() == [interest]
    assert interest.mirror.version == V2


def test_a_hint_of_a_node_that_does_not_own_the_id_is_of_the_past() -> None:
    bench = Bench(D1, D2)
    name = names_at(bench.links, D1)[0]
    interest = bench.known(ONE, name=name)

    assert bench.hinted(Changed(name, V1, V2, 6, (TWO,)), peer=D2) == []

    assert interest.mirror.version == V1


def test_a_hint_that_nobody_asked_for_is_ignored() -> None:
    bench = Bench(D1)

    assert bench.hinted(hint(V1, V2, 6, TWO)) == []


# --- gaps -----------------------------------------------------------------------------------------


def test_a_gap_before_a_hint_is_compared() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    other = sharing_bucket(PAY)
    bench.known(name=other)

    effects = bench.hinted(hint(V1, V2, 7, TWO))

    assert effects == to_data(D1, compare((PAY, V1), (other, V1)))
    assert bench.following.gap_count == 1
    assert bench.hinted(Changed(other, V1, V2, 8, (TWO,))) == [], "and is noticed once"


def test_hints_count_from_the_first_answer_after_listening() -> None:
    """Those before are in the answer; the answers after it do not set the count back."""
    bench = Bench(D1)
    other = sharing_bucket(PAY)
    bench.add()
    assert bench.hinted(hint(V1, V2, 40)) == []
    late = bench.add(other)
    paying = bench.following.find(PAY)
    assert paying is not None

    bench.snapshot(paying, V2, ONE, sequence=40)
    bench.snapshot(late, V1, sequence=42)

    assert bench.hinted(Changed(other, V1, V2, 43, (TWO,))) == to_data(
        D1, compare((PAY, V2), (other, V1))
    )


def test_a_gap_that_a_beat_shows_is_compared_once() -> None:
    bench = Bench(D1)
    bench.known(ONE)

    assert bench.beaten(beat(5)) == []
    assert bench.beaten(beat(7)) == to_data(D1, compare((PAY, V1)))
    assert bench.beaten(beat(7)) == bench.beaten(beat(6)) == []
    assert bench.following.gap_count == 1


def test_a_beat_says_nothing_before_the_first_answer_nor_of_other_buckets() -> None:
    bench = Bench(D1)
    interest = bench.add()

    assert bench.beaten(beat(7)) == []
    bench.snapshot(interest, V1, sequence=7)
    assert bench.beaten(beat(9, bucket=(BUCKET + 1) % Limits.bucket_count)) == []


def test_a_beat_that_is_too_short_does_not_raise() -> None:
    bench = Bench(D1)
    bench.known(ONE)

    assert bench.beaten(Beat(Incarnation(1, "d1"), ())) == []


def test_nothing_is_compared_with_a_node_that_owns_none_of_it() -> None:
    bench = Bench(D1, D2)
    moved = names_at(make_links(D1, D2), D2)[0]
    interest = bench.known(ONE, name=moved)
    assert interest.peer == D2
    bench.follow(D1)
    bench.snapshot(interest, V2, ONE, sequence=1)

    assert bench.following.beaten(D2, beat(9, bucket=interest.bucket), bench.now) == []


def test_a_gap_heard_while_the_connection_is_down_is_compared_when_it_stands() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    bench.lose()

    assert bench.beaten(beat(9)) == []

    assert bench.come_up() == to_data(D1, compare((PAY, V1)))


@pytest.mark.parametrize("version", [V3, ZERO], ids=["above mine", "below mine"])
def test_what_a_comparison_shows_to_differ_is_fetched(version: Version) -> None:
    """Below mine: the primary has another history, and gives a version above both."""
    bench = Bench(D1)
    bench.known(ONE)

    effects = bench.following.compared(D1, Versions(0, BUCKET, ((PAY, version),), 9), bench.now)

    assert effects == to_data(D1, fetch(2, V1, version))


def test_comparisons_with_a_stranger_or_of_what_is_not_followed_mean_nothing() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    versions = Versions(0, BUCKET, ((SHOP, V3),), 9)

    assert bench.following.compared(D1, versions, bench.now) == []
    assert bench.following.compared(D2, Versions(0, BUCKET, ((PAY, V3),), 9), bench.now) == []


# --- fetching -------------------------------------------------------------------------------------


def test_a_snapshot_is_applied_when_all_its_parts_are_here() -> None:
    bench = Bench(D1)
    interest = bench.add()

    assert bench.snapshot(interest, V1, ONE, left=1) == []
    assert not interest.mirror.is_known
    assert bench.following.take_changed() == []

    assert bench.snapshot(interest, V1, TWO) == []
    assert ids(interest) == [ONE.publisher_id, TWO.publisher_id]
    assert bench.following.take_changed() == [interest]


def test_parts_of_a_fetch_that_broke_off_are_not_mixed_with_the_next() -> None:
    bench = Bench(D1)
    interest = bench.add()
    bench.snapshot(interest, V1, ONE, left=1)
    bench.lose()
    bench.wait(0.5)
    assert bench.come_up() == to_data(D1, fetch(2))

    bench.snapshot(interest, V2, TWO)

    assert ids(interest) == [TWO.publisher_id]


def answers(request_id: int) -> list[Message]:
    return [
        Snapshot(request_id, PAY, V3, (), 0, 9),
        Changes(request_id, PAY, (Change(V1, V3, (), ()),), 9),
    ]


@pytest.mark.parametrize("peer", [D1, "d1@0"])
@pytest.mark.parametrize("answer", answers(2) + answers(1) + answers(0))
def test_answers_to_another_question_or_of_another_node_change_nothing(
    answer: Message, peer: str
) -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.hinted(hint(V1, V2, 6))
    if peer == D1 and getattr(answer, "request_id", 0) == interest.request_id:
        bench.wait(RETRY)

    if isinstance(answer, Snapshot):
        assert bench.following.snapshot_came(peer, answer, bench.now) == []
    elif isinstance(answer, Changes):
        assert bench.following.changes_came(peer, answer, bench.now) == []

    assert interest.mirror.version == V1
    assert ids(interest) == [ONE.publisher_id]
    assert bench.following.take_changed() == []


def test_no_such_datum_is_followed_like_an_empty_one() -> None:
    bench = Bench(D1)
    interest = bench.add()

    assert bench.snapshot(interest, V1, is_known=False) == []

    assert interest.mirror.is_known
    assert interest.mirror.version == V1
    assert bench.hinted(hint(ZERO, V2, 6, ONE)) == []
    assert ids(interest) == [ONE.publisher_id]


def test_changes_that_lead_nowhere_are_asked_for_again_after_a_pause() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.hinted(hint(V2, V3, 6))

    assert bench.changes(interest) == []

    assert bench.wait(0.05) == []
    assert bench.wait(0.2) == to_data(D1, fetch(3, V1, V3))


def test_what_is_not_answered_in_time_is_asked_again_under_another_id() -> None:
    bench = Bench(D1)
    interest = bench.add()
    assert bench.following.next_tick_at() == bench.now + RETRY

    assert bench.wait(RETRY - 0.1) == []
    assert bench.wait(0.1) == to_data(D1, fetch(2))

    late = Snapshot(1, PAY, V1, (ONE,), 0, 5)
    assert bench.following.snapshot_came(D1, late, bench.now) == []
    assert not interest.mirror.is_known


def test_a_snapshot_that_goes_on_arriving_is_waited_for_and_holds_up_nobody() -> None:
    bench = Bench(D1)
    slow = bench.add()
    bench.add(SHOP)
    bench.now += 0.8
    bench.snapshot(slow, V1, ONE, left=2)

    assert bench.wait(0.2) == to_data(D1, fetch(3, name=SHOP))
    assert bench.wait(0.7) == []
    assert bench.following.next_tick_at() == pytest.approx(bench.now + 0.1)
    assert bench.wait(0.1) == to_data(D1, fetch(4))


def test_a_refused_fetch_is_tried_again_after_a_pause_and_empties_nothing() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.hinted(hint(V1, V2, 6))

    assert bench.following.refused(D1, 2, bench.now)

    assert ids(interest) == [ONE.publisher_id]
    due = bench.following.next_tick_at()
    assert bench.now + 0.1 <= due <= bench.now + 0.2
    assert bench.wait(0.09) == []
    assert bench.wait(0.11) == to_data(D1, fetch(3, V1, V2))


@pytest.mark.parametrize(("peer", "request_id"), [(D1, 99), (D1, 0), (D2, 1)])
def test_a_refusal_of_something_else_is_not_mine(peer: str, request_id: int) -> None:
    bench = Bench(D1)
    bench.add()

    assert not bench.following.refused(peer, request_id, bench.now)


# --- unreconciled ---------------------------------------------------------------------------------


def test_without_a_copy_what_an_unreconciled_node_has_is_taken_after_a_moment() -> None:
    bench = Bench(D1)
    interest = bench.add()

    assert bench.snapshot(interest, V1, ONE, is_unreconciled=True) == []
    assert not interest.mirror.is_known
    assert bench.following.take_changed() == []
    assert bench.wait(0.2) == to_data(D1, fetch(2))
    bench.now += 0.3
    assert bench.snapshot(interest, V1, ONE, is_unreconciled=True) == []

    assert bench.following.take_changed() == [interest]
    assert ids(interest) == [ONE.publisher_id]
    assert interest.mirror.is_unsure


def test_without_a_copy_an_empty_list_is_believed_only_after_a_long_time() -> None:
    bench = Bench(D1)
    interest = bench.add()
    bench.now += 59.7
    bench.snapshot(interest, V1, is_unreconciled=True)
    assert not interest.mirror.is_known

    bench.wait(0.3)
    bench.snapshot(interest, V1, is_unreconciled=True, is_known=False)

    assert interest.mirror.is_known
    assert bench.following.take_changed() == [interest]


def test_a_copy_is_kept_and_merged_at_once_and_loses_nothing() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.hinted(hint(V2, V3, 6))

    assert bench.snapshot(interest, V3, TWO, is_unreconciled=True) == []

    assert ids(interest) == [ONE.publisher_id, TWO.publisher_id]
    assert interest.mirror.is_unsure
    assert bench.following.take_changed() == [interest]


def make_unsure(bench: Bench) -> FollowedDatum:
    """Return an interest whose copy was merged while two sessions were not compared with."""
    interest = bench.known(ONE)
    bench.beaten(beat(5, S2, Incarnation(6, "s3")))
    bench.hinted(hint(V2, V3, 6))
    bench.snapshot(interest, V3, TWO, is_unreconciled=True)
    return interest


def test_a_session_never_drops_what_it_vouches_for() -> None:
    """The primary lacks it, which is the primary's trouble: it is sent there again."""
    bench = Bench(D1)
    asked: list[bytes] = []

    def keeps(publisher_id: bytes) -> bool:
        asked.append(publisher_id)
        return publisher_id == ONE.publisher_id

    bench.following = FollowedDatums(CONFIG, bench.links, rng=Random(1), keeps=keeps)
    interest = bench.known(ONE, TWO)
    bench.hinted(Changed(PAY, V2, V3, 6))

    bench.snapshot(interest, V3)

    assert ids(interest) == [ONE.publisher_id]
    assert asked == [ONE.publisher_id, TWO.publisher_id]


def test_a_part_of_a_copy_asks_for_nothing_to_be_kept() -> None:
    bench = Bench(D1)
    asked: list[bytes] = []
    keeps = asked.append
    bench.following = FollowedDatums(CONFIG, bench.links, rng=Random(1), keeps=keeps)
    interest = bench.known(ONE)
    bench.hinted(Changed(PAY, V2, V3, 6))

    bench.snapshot(interest, V3, is_unreconciled=True)

    assert ids(interest) == [ONE.publisher_id]
    assert asked == []


def test_an_unsure_copy_is_fetched_whole_when_fewer_sessions_are_missing() -> None:
    bench = Bench(D1)
    interest = make_unsure(bench)
    assert bench.beaten(beat(6, S2, Incarnation(6, "s3"))) == []

    assert bench.beaten(beat(6, S2)) == to_data(D1, fetch(2 + 1, V3, is_unsure=True))
    bench.snapshot(interest, V3, TWO, is_unreconciled=True)
    assert ids(interest) == [ONE.publisher_id, TWO.publisher_id]

    assert bench.beaten(beat(6)) == to_data(D1, fetch(4, V3, is_unsure=True))
    bench.snapshot(interest, V4, TWO)
    assert ids(interest) == [TWO.publisher_id], "the whole, and what it lacks is gone"
    assert not interest.mirror.is_unsure
    assert bench.beaten(beat(6)) == []


def test_whoever_waits_for_a_first_copy_asks_when_a_beat_says_that_it_is_whole() -> None:
    bench = Bench(D1)
    interest = bench.add()
    bench.snapshot(interest, V1, is_unreconciled=True)

    assert bench.beaten(beat(5)) == to_data(D1, fetch(2))
    assert bench.beaten(beat(5)) == [], "one at a time"


def test_a_beat_of_another_node_says_nothing_about_a_copy() -> None:
    bench = Bench(D1, D2)
    interest = bench.add(names_at(bench.links, D1)[0])
    bench.snapshot(interest, V1, is_unreconciled=True)

    assert bench.beaten(beat(5), peer=D2) == []


# --- connections and ring -------------------------------------------------------------------------


def test_what_cannot_be_asked_waits_for_the_connection() -> None:
    bench = Bench(D1, is_up=False)

    assert bench.following.add(PAY, bench.now)[1] == [LISTEN]
    assert bench.following.next_tick_at() == bench.now + CONFIG.sweep_seconds
    assert bench.wait(10.0) == []

    assert bench.come_up() == to_data(D1, fetch(1))


def test_a_connection_to_another_node_answers_no_question() -> None:
    bench = Bench(D1, D2, is_up=False)
    bench.add(names_at(bench.links, D1)[0])

    assert bench.come_up(D2) == []


def test_what_was_under_way_when_a_connection_broke_is_asked_over_the_next() -> None:
    bench = Bench(D1, D2)
    here, there = (bench.add(names_at(bench.links, peer)[0]) for peer in (D1, D2))
    bench.lose(D1)
    assert here.request_id == 0
    assert there.request_id == 2

    assert bench.wait(0.3) == []
    assert bench.come_up(D1) == to_data(D1, fetch(3, name=here.name))


def test_what_was_under_way_is_asked_soon_if_the_connection_stands_again_at_once() -> None:
    bench = Bench(D1)
    bench.add()
    bench.lose()

    assert bench.come_up() == to_data(D1, fetch(2))


def test_an_id_that_moves_is_followed_at_its_new_owner_from_the_version_that_is_here() -> None:
    bench = Bench(D1)
    after = make_links(D1, D2)
    stays, moves = names_at(after, D1)[0], names_at(after, D2)[0]
    staying, moving = bench.known(ONE, name=stays), bench.known(ONE, name=moves)

    assert bench.follow(D1, D2) == []
    again = CompareVersions(0, moving.bucket, ((moves, V1),))
    assert bench.come_up(D2) == to_data(D2, fetch(3, V1, name=moves), again)

    assert staying.request_id == 0
    assert bench.snapshot(moving, V2, TWO, sequence=80) == []
    assert ids(moving) == [TWO.publisher_id]
    assert bench.following.hinted(D1, Changed(moves, V2, V3, 6, (ONE,)), bench.now) == []
    assert moving.mirror.version == V2, "the former owner is of the past"
    assert bench.following.hinted(D2, Changed(moves, V2, V3, 81, (ONE,)), bench.now) == []
    assert moving.mirror.version == V3


def test_another_life_of_a_node_is_asked_for_all_and_counts_its_own_hints() -> None:
    bench = Bench(D1)
    interest = bench.add()
    bench.snapshot(interest, V1, ONE, left=1)

    assert bench.follow("d1@4") == []
    assert bench.come_up("d1@4") == to_data("d1@4", fetch(2))

    late = Snapshot(1, PAY, V1, (ONE,), 0, 5)
    assert bench.following.snapshot_came(D1, late, bench.now) == []
    assert bench.snapshot(interest, V2, TWO, sequence=1) == []
    assert ids(interest) == [TWO.publisher_id]
    assert bench.following.beaten("d1@4", beat(1), bench.now) == []


def test_a_moved_id_without_a_copy_waits_a_moment_for_its_new_owner() -> None:
    bench = Bench(D1)
    interest = bench.add()
    bench.now += 10.0
    bench.follow("d1@4")
    bench.come_up("d1@4")

    bench.snapshot(interest, V1, ONE, is_unreconciled=True)

    assert not interest.mirror.is_known


def test_without_any_data_node_what_is_here_stays() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)

    assert bench.follow() == []

    assert ids(interest) == [ONE.publisher_id]
    assert bench.wait(10.0) == []


# --- sweep ----------------------------------------------------------------------------------------


def test_everything_is_compared_once_in_a_while_whatever_the_beats_say() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    bench.following.tick(1000.0)
    assert bench.following.next_tick_at() == 1000.0 + CONFIG.sweep_seconds

    assert bench.wait(CONFIG.sweep_seconds - 1.0) == []
    assert bench.wait(1.0) == to_data(D1, compare((PAY, V1)))
    assert bench.following.next_tick_at() == bench.now + CONFIG.sweep_seconds


def test_old_steps_go_when_everything_is_looked_at_but_the_newest_stays() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    interest.log.append(interest.mirror.take_difference(), bench.now)
    bench.hinted(hint(V1, V2, 6, TWO))
    interest.log.append(interest.mirror.take_difference(), bench.now)

    bench.wait(CONFIG.sweep_seconds)
    for _ in range(2):
        bench.wait(CONFIG.sweep_seconds + 1.0)
        assert len(interest.log) == 1


def test_what_never_became_known_is_swept_too() -> None:
    bench = Bench(D1, is_up=False)
    bench.add()

    assert bench.wait(CONFIG.sweep_seconds) == []


# --- claims ---------------------------------------------------------------------------------------


def settle(bench: Bench) -> list[Effect]:
    return bench.following.settle(bench.now)


def test_the_primary_is_asked_for_a_version_that_is_not_below_what_a_client_has_seen() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)

    bench.following.claim(interest, V3)

    assert settle(bench) == to_data(D1, fetch(2, V1, V3))
    assert settle(bench) == []
    bench.snapshot(interest, V4, TWO)
    assert interest.claimed == ZERO
    assert settle(bench) == []


def test_a_claim_that_is_not_above_what_is_here_asks_nothing() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.following.claim(interest, V1)
    assert settle(bench) == []

    bench.following.claim(interest, V3)
    bench.following.claim(interest, V2)

    assert settle(bench) == to_data(D1, fetch(2, V1, V3))


def test_a_claim_that_comes_during_a_fetch_is_asked_after_it() -> None:
    """The answer to the fetch does not know of it, and settles nothing."""
    bench = Bench(D1)
    interest = bench.add()
    bench.following.claim(interest, V3)
    assert settle(bench) == []

    bench.snapshot(interest, V1, ONE)

    assert interest.claimed == V3
    assert settle(bench) == to_data(D1, fetch(2, V1, V3))


def test_a_claim_that_the_primary_does_not_confirm_is_settled_all_the_same() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.following.claim(interest, V4)
    settle(bench)

    bench.snapshot(interest, V2, ONE)

    assert interest.claimed == ZERO
    assert bench.following.take_changed() == [interest], "whoever waited is looked at"
    assert settle(bench) == []


def test_a_claim_outlives_refusals_and_connections() -> None:
    bench = Bench(D1)
    interest = bench.known(ONE)
    bench.following.claim(interest, V3)
    settle(bench)

    bench.following.refused(D1, 2, bench.now)
    assert settle(bench) == []
    bench.lose()
    bench.wait(1.0)
    assert interest.claimed == V3

    assert bench.come_up() == to_data(D1, fetch(3, V1, V3), compare((PAY, V1)))


def test_a_claim_of_a_dropped_interest_is_forgotten() -> None:
    bench = Bench(D1)
    bench.following.claim(bench.known(ONE), V3)

    bench.following.drop(PAY)

    assert settle(bench) == []
