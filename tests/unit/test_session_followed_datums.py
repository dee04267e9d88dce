"""Followed datums: hint, compare, fetch; a datum that could not be fetched does not change."""

from random import Random

import pytest
from session_fakes import (
    CONFIG,
    D1,
    D2,
    PAY,
    S1,
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
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.ring import bucket_of, bucket_topic
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.session.upstream.followed.followed_datums import FollowedDatums
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.session.upstream.registered.registrations import Registrations
from zreg.wire.records.data_messages import (
    Beat,
    Changed,
    Changes,
    CompareVersions,
    FetchChanges,
    Snapshot,
    Versions,
)

ONE, TWO, THREE = make_publisher(1), make_publisher(2), make_publisher(3)
BUCKET = bucket_of(PAY)
LISTEN, UNLISTEN = (kind(Link.CHANGES, bucket_topic(BUCKET)) for kind in (Listen, Unlisten))
S2 = Incarnation(5, "s2")


def ids(followed: FollowedDatum) -> list[bytes]:
    return list(followed.mirror.content)


def beat(sequence: int, *unreconciled: Incarnation, bucket: int = BUCKET) -> Beat:
    sequences = [0] * Limits.bucket_count
    sequences[bucket] = sequence
    return Beat(Incarnation(1, "d1"), tuple(sequences), unreconciled)


def hint(source: Version, version: Version, sequence: int, *publishers: Publisher) -> Changed:
    return Changed(PAY, source, version, sequence, publishers or None)


class Bench:
    """Followed datums with their connections, registrations, and a clock."""

    def __init__(self, *data: str, is_up: bool = True) -> None:
        self.links = make_links(*data, is_up=is_up)
        self.registrations = Registrations(
            self.links, NodeQueues(self.links, hops=HopRings(), rng=Random(1))
        )
        self.registrations.on_incarnation(S1)
        self.now = 1000.0
        self.hops = HopRings()
        self.datums = FollowedDatums(
            CONFIG,
            self.links,
            self.registrations,
            hops=self.hops,
            rng=Random(1),
            now=self.now,
        )
        # The publishers that the last snapshot lacked although this session answers for them.
        self.lacking: list[bytes] = []

    def add(self, name: DataInfoId = PAY) -> FollowedDatum:
        followed, _ = self.datums.add(name, self.now)
        return followed

    def known(
        self, *publishers: Publisher, name: DataInfoId = PAY, sequence: int = 5
    ) -> FollowedDatum:
        """Follow an id that is at V1 by now."""
        followed = self.add(name)
        assert self.snapshot(followed, V1, *publishers, sequence=sequence) == []
        self.datums.take_changed(self.now)
        return followed

    def snapshot(
        self,
        followed: FollowedDatum,
        version: Version,
        *publishers: Publisher,
        left: int = 0,
        sequence: int = 5,
        is_unreconciled: bool = False,
        is_known: bool = True,
    ) -> list[Effect]:
        """Answer the fetch that is under way."""
        assert followed.request_id
        snapshot = Snapshot(
            followed.request_id, followed.name, version, publishers, left, sequence,
            is_known, is_unreconciled,
        )  # fmt: skip
        return self.answer(followed.peer, snapshot)

    def changes(self, followed: FollowedDatum, *changes: Change, sequence: int = 5) -> list[Effect]:
        """Answer the fetch that is under way."""
        assert followed.request_id
        answer = Changes(followed.request_id, followed.name, changes, sequence)
        return self.answer(followed.peer, answer)

    def owner(self, peer: str, request_id: int) -> FollowedDatum | None:
        """Return the datum that waits for an answer."""
        owner = self.links.requests.owner(peer, request_id)
        assert owner is None or isinstance(owner, FollowedDatum)
        return owner

    def answer(self, peer: str, answer: Changes | Snapshot) -> list[Effect]:
        """Hand an answer to the owner of its request, as the core does."""
        owner = self.owner(peer, answer.request_id)
        if owner is None:
            return []
        if isinstance(answer, Changes):
            return self.datums.on_changes(owner, answer, self.now)
        effects, self.lacking = self.datums.on_snapshot(owner, answer, self.now)
        return effects

    def refuse(self, request_id: int) -> None:
        """Refuse a fetch that is under way."""
        owner = self.owner(D1, request_id)
        assert owner is not None
        self.datums.on_refused(owner, self.now)

    def on_changed(self, changed: Changed, peer: str = D1) -> list[Effect]:
        return self.datums.on_changed(peer, changed, self.now)

    def on_beat(self, message: Beat, peer: str = D1) -> list[Effect]:
        return self.datums.on_beat(peer, message)

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass."""
        self.now += seconds
        return self.datums.tick(self.now)

    def next_tick_at(self) -> float:
        """Return when something of the datums or their requests is due."""
        deadline_at = self.links.requests.next_deadline_at()
        tick_at = self.datums.next_tick_at()
        return tick_at if deadline_at is None else min(tick_at, deadline_at)

    def lose(self, peer: str = D1) -> None:
        self.links.connections.on_peer_lost(PeerLost(Link.DATA, peer), self.now)
        self.datums.on_node_lost(peer)

    def come_up(self, peer: str = D1) -> list[Effect]:
        bring_up(self.links, peer)
        return self.datums.on_node_up(peer)

    def follow(self, *data: str) -> list[Effect]:
        self.links.follow(make_membership(*data, epoch=4))
        self.datums.on_ring(self.now)
        return self.datums.move_some(1000)


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


# --- followed -------------------------------------------------------------------------------------


def test_beats_are_listened_to_from_the_start() -> None:
    assert Bench().datums.start() == [Listen(Link.CHANGES, BEAT_TOPIC)]


def test_a_session_listens_to_the_bucket_first_and_fetches_then() -> None:
    bench = Bench(D1)

    followed, effects = bench.datums.add(PAY, 0.0)

    assert effects == [LISTEN, *to_data(D1, fetch(1))]
    assert bench.datums.find(PAY) is followed
    assert len(bench.datums) == bench.datums.fetch_count == 1


def test_a_datum_that_is_followed_already_is_not_fetched_again() -> None:
    bench = Bench(D1)
    followed = bench.add()

    assert bench.datums.add(PAY, 0.0) == (followed, [])


def test_ids_of_one_bucket_share_its_topic() -> None:
    bench = Bench(D1)
    other = sharing_bucket(PAY)
    bench.add()

    assert bench.datums.add(other, 0.0)[1] == to_data(D1, fetch(2, name=other))
    assert bench.datums.remove(PAY) == []
    assert bench.datums.remove(other) == [UNLISTEN]


def test_a_late_answer_about_a_removed_datum_is_ignored() -> None:
    bench = Bench(D1)
    followed = bench.add()
    request_id = followed.request_id

    assert bench.datums.remove(PAY) == [UNLISTEN]

    assert bench.datums.remove(PAY) == []
    late = Snapshot(request_id, PAY, V1, (ONE,), 0, 5)
    assert bench.answer(D1, late) == []
    assert bench.on_changed(hint(V1, V2, 6, TWO)) == []
    assert bench.datums.take_changed(bench.now) == []
    assert bench.wait(2.0) == []
    assert bench.datums.find(PAY) is None


def test_a_bucket_that_is_listened_to_anew_counts_anew() -> None:
    """Hints that the session did not listen to are no gap."""
    bench = Bench(D1)
    bench.known(ONE)
    bench.datums.remove(PAY)

    bench.known(ONE, sequence=9)

    assert bench.on_changed(hint(V1, V2, 10, TWO)) == []
    assert bench.datums.gap_count == 0


# --- hints ----------------------------------------------------------------------------------------


def test_a_hint_that_fits_is_applied_without_another_trip() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)

    assert bench.on_changed(hint(V1, V2, 6, TWO)) == []

    assert bench.datums.take_changed(bench.now) == [followed]
    assert bench.datums.take_changed(bench.now) == []
    assert ids(followed) == [ONE.publisher_id, TWO.publisher_id]
    assert followed.mirror.version == V2


@pytest.mark.parametrize("repeated", [hint(ZERO, V1, 5, TWO), hint(ZERO, V1, 4, TWO)])
def test_hints_that_come_twice_or_late_change_nothing(repeated: Changed) -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)

    assert bench.on_changed(repeated) == []

    assert bench.datums.take_changed(bench.now) == []
    assert ids(followed) == [ONE.publisher_id]
    assert bench.datums.gap_count == 0


def test_a_hint_without_its_change_is_fetched_from_the_version_here() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)

    assert bench.on_changed(hint(V1, V2, 6)) == to_data(D1, fetch(2, V1, V2))
    assert bench.changes(followed, Change(V1, V2, (TWO,), ())) == []

    assert bench.datums.take_changed(bench.now) == [followed]
    assert followed.mirror.version == V2


def test_a_hint_that_does_not_fit_is_fetched_and_changes_nothing() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)

    assert bench.on_changed(hint(V2, V3, 6, TWO)) == to_data(D1, fetch(2, V1, V3))

    assert ids(followed) == [ONE.publisher_id]
    assert bench.datums.take_changed(bench.now) == []


def test_one_fetch_at_a_time_and_another_if_more_was_hinted_meanwhile() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.on_changed(hint(V1, V2, 6))

    assert bench.on_changed(hint(V2, V3, 7)) == []

    effects = bench.changes(followed, Change(V1, V2, (TWO,), ()))
    assert effects == to_data(D1, fetch(3, V2, V3))
    assert bench.datums.take_changed(bench.now) == [followed]


def test_a_hint_while_nothing_is_known_is_remembered() -> None:
    bench = Bench(D1)
    followed = bench.add()

    assert bench.on_changed(hint(V1, V2, 6, TWO)) == []

    assert bench.snapshot(followed, V1, ONE) == to_data(D1, fetch(2, V1, V2))


def test_a_change_that_fits_is_shown_although_a_higher_version_is_awaited() -> None:
    """The answer may take long, and the change is true already."""
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.datums.on_versions(D1, Versions(0, BUCKET, ((PAY, V4),), 9), bench.now)

    assert bench.on_changed(hint(V1, V2, 6, TWO)) == []

    assert bench.datums.take_changed(bench.now) == [followed]
    assert followed.mirror.version == V2


def test_a_hint_of_a_node_that_is_not_the_primary_is_ignored() -> None:
    bench = Bench(D1, D2)
    name = names_at(bench.links, D1)[0]
    followed = bench.known(ONE, name=name)

    assert bench.on_changed(Changed(name, V1, V2, 6, (TWO,)), peer=D2) == []

    assert followed.mirror.version == V1


def test_a_hint_of_a_datum_that_is_not_followed_is_ignored() -> None:
    bench = Bench(D1)

    assert bench.on_changed(hint(V1, V2, 6, TWO)) == []


# --- gaps -----------------------------------------------------------------------------------------


def test_a_gap_before_a_hint_starts_a_comparison() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    other = sharing_bucket(PAY)
    bench.known(name=other)

    effects = bench.on_changed(hint(V1, V2, 7, TWO))

    assert effects == to_data(D1, compare((PAY, V1), (other, V1)))
    assert bench.datums.gap_count == 1
    assert bench.on_changed(Changed(other, V1, V2, 8, (TWO,))) == [], "and is noticed once"


def test_hints_count_from_the_first_answer_after_listening() -> None:
    """Earlier hints are in that answer; later answers do not set the count back."""
    bench = Bench(D1)
    other = sharing_bucket(PAY)
    bench.add()
    assert bench.on_changed(hint(V1, V2, 40)) == []
    late = bench.add(other)
    paying = bench.datums.find(PAY)
    assert paying is not None

    bench.snapshot(paying, V2, ONE, sequence=40)
    bench.snapshot(late, V1, sequence=42)

    assert bench.on_changed(Changed(other, V1, V2, 43, (TWO,))) == to_data(
        D1, compare((PAY, V2), (other, V1))
    )


def test_a_gap_that_a_beat_shows_starts_one_comparison() -> None:
    bench = Bench(D1)
    bench.known(ONE)

    assert bench.on_beat(beat(5)) == []
    assert bench.on_beat(beat(7)) == to_data(D1, compare((PAY, V1)))
    assert bench.on_beat(beat(7)) == bench.on_beat(beat(6)) == []
    assert bench.datums.gap_count == 1


def test_a_beat_says_nothing_before_the_first_answer_nor_of_other_buckets() -> None:
    bench = Bench(D1)
    followed = bench.add()

    assert bench.on_beat(beat(7)) == []
    bench.snapshot(followed, V1, sequence=7)
    assert bench.on_beat(beat(9, bucket=(BUCKET + 1) % Limits.bucket_count)) == []


def test_a_beat_that_is_too_short_does_not_raise() -> None:
    bench = Bench(D1)
    bench.known(ONE)

    assert bench.on_beat(Beat(Incarnation(1, "d1"), ())) == []


def test_a_node_that_is_primary_of_no_followed_datum_gets_no_comparison() -> None:
    bench = Bench(D1, D2)
    moved = names_at(make_links(D1, D2), D2)[0]
    followed = bench.known(ONE, name=moved)
    assert followed.peer == D2
    bench.follow(D1)
    bench.snapshot(followed, V2, ONE, sequence=1)

    assert bench.datums.on_beat(D2, beat(9, bucket=followed.bucket)) == []


def test_a_gap_heard_while_the_connection_is_down_is_compared_when_it_stands() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    bench.lose()

    assert bench.on_beat(beat(9)) == []

    assert bench.come_up() == to_data(D1, compare((PAY, V1)))


@pytest.mark.parametrize("version", [V3, ZERO], ids=["above", "below"])
def test_a_datum_that_a_comparison_shows_to_differ_is_fetched(version: Version) -> None:
    """Below: the primary has another history, and answers with a version above both."""
    bench = Bench(D1)
    bench.known(ONE)

    effects = bench.datums.on_versions(D1, Versions(0, BUCKET, ((PAY, version),), 9), bench.now)

    assert effects == to_data(D1, fetch(2, V1, version))


def test_versions_from_another_node_or_of_a_datum_that_is_not_followed_are_ignored() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    versions = Versions(0, BUCKET, ((SHOP, V3),), 9)

    assert bench.datums.on_versions(D1, versions, bench.now) == []
    assert bench.datums.on_versions(D2, Versions(0, BUCKET, ((PAY, V3),), 9), bench.now) == []


# --- fetching -------------------------------------------------------------------------------------


def test_a_snapshot_is_applied_when_all_its_parts_are_here() -> None:
    bench = Bench(D1)
    followed = bench.add()

    assert bench.snapshot(followed, V1, ONE, left=1) == []
    assert not followed.mirror.is_known
    assert bench.datums.take_changed(bench.now) == []

    assert bench.snapshot(followed, V1, TWO) == []
    assert ids(followed) == [ONE.publisher_id, TWO.publisher_id]
    assert bench.datums.take_changed(bench.now) == [followed]


def test_parts_of_a_fetch_that_broke_off_are_not_mixed_with_the_next() -> None:
    bench = Bench(D1)
    followed = bench.add()
    bench.snapshot(followed, V1, ONE, left=1)
    bench.lose()
    bench.wait(0.5)
    assert bench.come_up() == to_data(D1, fetch(2))

    bench.snapshot(followed, V2, TWO)

    assert ids(followed) == [TWO.publisher_id]


def answers(request_id: int) -> list[Changes | Snapshot]:
    return [
        Snapshot(request_id, PAY, V3, (), 0, 9),
        Changes(request_id, PAY, (Change(V1, V3, (), ()),), 9),
    ]


@pytest.mark.parametrize("peer", [D1, "d1@0"])
@pytest.mark.parametrize("answer", answers(1) + answers(0))
def test_answers_to_another_request_or_of_another_node_change_nothing(
    answer: Changes | Snapshot, peer: str
) -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.on_changed(hint(V1, V2, 6))

    assert bench.answer(peer, answer) == []

    assert followed.mirror.version == V1
    assert ids(followed) == [ONE.publisher_id]
    assert bench.datums.take_changed(bench.now) == []


def test_no_such_datum_is_followed_like_an_empty_one() -> None:
    bench = Bench(D1)
    followed = bench.add()

    assert bench.snapshot(followed, V1, is_known=False) == []

    assert followed.mirror.is_known
    assert followed.mirror.version == V1
    assert bench.on_changed(hint(ZERO, V2, 6, ONE)) == []
    assert ids(followed) == [ONE.publisher_id]


def test_changes_that_lead_nowhere_are_asked_for_again_after_a_pause() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.on_changed(hint(V2, V3, 6))

    assert bench.changes(followed) == []

    assert bench.wait(0.05) == []
    assert bench.wait(0.2) == to_data(D1, fetch(3, V1, V3))


def test_a_fetch_whose_answer_is_late_is_not_sent_again_and_the_answer_counts() -> None:
    """While the connection stands, the data node has the request."""
    bench = Bench(D1)
    followed = bench.add()

    assert bench.wait(30.0) == []

    assert bench.answer(D1, Snapshot(1, PAY, V1, (ONE,), 0, 5)) == []
    assert ids(followed) == [ONE.publisher_id]


def test_the_pause_doubles_while_a_fetch_is_refused() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    bench.on_changed(hint(V1, V2, 6))
    pauses = []
    for request_id in range(2, 9):
        bench.refuse(request_id)
        due = bench.next_tick_at()
        pauses.append(due - bench.now)
        bench.wait(due - bench.now)

    assert all(0.1 * 2 ** min(n, 4) <= p <= 0.2 * 2 ** min(n, 4) for n, p in enumerate(pauses))


def test_a_refused_fetch_is_tried_again_after_a_pause_and_empties_nothing() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.on_changed(hint(V1, V2, 6))

    bench.refuse(2)

    assert ids(followed) == [ONE.publisher_id]
    due = bench.next_tick_at()
    assert bench.now + 0.1 <= due <= bench.now + 0.2
    assert bench.wait(0.09) == []
    assert bench.wait(0.11) == to_data(D1, fetch(3, V1, V2))


@pytest.mark.parametrize(("peer", "request_id"), [(D1, 99), (D1, 0), (D2, 1)])
def test_a_datum_waits_for_no_other_answer_than_its_own(peer: str, request_id: int) -> None:
    bench = Bench(D1)
    bench.add()

    assert bench.owner(peer, request_id) is None


# --- unreconciled ---------------------------------------------------------------------------------


def test_without_a_copy_a_partial_snapshot_is_taken_after_a_moment() -> None:
    bench = Bench(D1)
    followed = bench.add()

    assert bench.snapshot(followed, V1, ONE, is_unreconciled=True) == []
    assert not followed.mirror.is_known
    assert bench.datums.take_changed(bench.now) == []
    assert bench.wait(0.2) == to_data(D1, fetch(2))
    bench.now += 0.3
    assert bench.snapshot(followed, V1, ONE, is_unreconciled=True) == []

    assert bench.datums.take_changed(bench.now) == [followed]
    assert ids(followed) == [ONE.publisher_id]
    assert followed.mirror.is_unsure


def test_without_a_copy_an_empty_partial_snapshot_is_taken_only_after_a_long_time() -> None:
    bench = Bench(D1)
    followed = bench.add()
    bench.now += 59.7
    bench.snapshot(followed, V1, is_unreconciled=True)
    assert not followed.mirror.is_known

    bench.wait(0.3)
    bench.snapshot(followed, V1, is_unreconciled=True, is_known=False)

    assert followed.mirror.is_known
    assert bench.datums.take_changed(bench.now) == [followed]


def test_a_copy_merges_a_partial_snapshot_at_once_and_loses_nothing() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.on_changed(hint(V2, V3, 6))

    assert bench.snapshot(followed, V3, TWO, is_unreconciled=True) == []

    assert ids(followed) == [ONE.publisher_id, TWO.publisher_id]
    assert followed.mirror.is_unsure
    assert bench.datums.take_changed(bench.now) == [followed]


def make_unsure(bench: Bench) -> FollowedDatum:
    """Return a datum whose copy is unsure: its primary is unreconciled with two sessions."""
    followed = bench.known(ONE)
    bench.on_beat(beat(5, S2, Incarnation(6, "s3")))
    bench.on_changed(hint(V2, V3, 6))
    bench.snapshot(followed, V3, TWO, is_unreconciled=True)
    return followed


def test_a_publisher_that_this_session_answers_for_stays_although_the_primary_lacks_it() -> None:
    """The primary has lost it, so the session sends it there again."""
    bench = Bench(D1)
    bench.registrations.publish(PAY, ONE, 7)
    followed = bench.known(ONE, TWO)
    bench.on_changed(Changed(PAY, V2, V3, 6))

    bench.snapshot(followed, V3)

    assert ids(followed) == [ONE.publisher_id]
    assert bench.lacking == [ONE.publisher_id]


def test_a_partial_snapshot_lacks_nothing() -> None:
    bench = Bench(D1)
    bench.registrations.publish(PAY, ONE, 7)
    followed = bench.known(ONE)
    bench.on_changed(Changed(PAY, V2, V3, 6))

    bench.snapshot(followed, V3, is_unreconciled=True)

    assert ids(followed) == [ONE.publisher_id]
    assert bench.lacking == []


def test_an_unsure_copy_is_fetched_whole_when_fewer_sessions_are_missing() -> None:
    bench = Bench(D1)
    followed = make_unsure(bench)
    assert bench.on_beat(beat(6, S2, Incarnation(6, "s3"))) == []

    assert bench.on_beat(beat(6, S2)) == to_data(D1, fetch(2 + 1, V3, is_unsure=True))
    bench.snapshot(followed, V3, TWO, is_unreconciled=True)
    assert ids(followed) == [ONE.publisher_id, TWO.publisher_id]

    assert bench.on_beat(beat(6)) == to_data(D1, fetch(4, V3, is_unsure=True))
    bench.snapshot(followed, V4, TWO)
    assert ids(followed) == [TWO.publisher_id], "the whole, and what it lacks is gone"
    assert not followed.mirror.is_unsure
    assert bench.on_beat(beat(6)) == []


def test_a_datum_without_a_copy_is_fetched_when_a_beat_says_that_the_node_is_reconciled() -> None:
    bench = Bench(D1)
    followed = bench.add()
    bench.snapshot(followed, V1, is_unreconciled=True)

    assert bench.on_beat(beat(5)) == to_data(D1, fetch(2))
    assert bench.on_beat(beat(5)) == [], "one at a time"


def test_a_refused_fetch_keeps_its_pause_unless_a_beat_has_news() -> None:
    bench = Bench(D1)
    followed = bench.add()
    bench.on_beat(beat(5))
    bench.datums.on_refused(followed, bench.now)

    assert bench.on_beat(beat(5)) == bench.on_beat(beat(5)) == []
    assert bench.on_beat(beat(5, S2)) == []
    assert bench.on_beat(beat(5)) == to_data(D1, fetch(2)), "fewer are unreconciled"


def test_a_beat_of_another_node_fetches_nothing() -> None:
    bench = Bench(D1, D2)
    followed = bench.add(names_at(bench.links, D1)[0])
    bench.snapshot(followed, V1, is_unreconciled=True)

    assert bench.on_beat(beat(5), peer=D2) == []


# --- connections and ring -------------------------------------------------------------------------


def test_a_fetch_that_cannot_be_sent_waits_for_the_connection() -> None:
    bench = Bench(D1, is_up=False)

    assert bench.datums.add(PAY, bench.now)[1] == [LISTEN]
    assert bench.next_tick_at() == bench.now + CONFIG.sweep_seconds
    assert bench.wait(10.0) == []

    assert bench.come_up() == to_data(D1, fetch(1))


def test_a_connection_to_another_node_fetches_nothing() -> None:
    bench = Bench(D1, D2, is_up=False)
    bench.add(names_at(bench.links, D1)[0])

    assert bench.come_up(D2) == []


def test_a_fetch_under_way_when_a_connection_broke_is_sent_over_the_next() -> None:
    bench = Bench(D1, D2)
    here, there = (bench.add(names_at(bench.links, peer)[0]) for peer in (D1, D2))
    bench.lose(D1)
    assert here.request_id == 0
    assert there.request_id == 2

    assert bench.wait(0.3) == []
    assert bench.come_up(D1) == to_data(D1, fetch(3, name=here.name))


def test_a_fetch_under_way_is_sent_at_once_when_the_connection_stands_again() -> None:
    bench = Bench(D1)
    bench.add()
    bench.lose()

    assert bench.come_up() == to_data(D1, fetch(2))


def test_a_datum_that_moves_is_fetched_from_its_new_primary_from_the_version_here() -> None:
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
    assert bench.datums.on_changed(D1, Changed(moves, V2, V3, 6, (ONE,)), bench.now) == []
    assert moving.mirror.version == V2, "the former owner is of the past"
    assert bench.datums.on_changed(D2, Changed(moves, V2, V3, 81, (ONE,)), bench.now) == []
    assert moving.mirror.version == V3


def test_another_incarnation_of_a_node_is_asked_for_all_and_counts_its_own_hints() -> None:
    bench = Bench(D1)
    followed = bench.add()
    bench.snapshot(followed, V1, ONE, left=1)

    assert bench.follow("d1@4") == []
    assert bench.come_up("d1@4") == to_data("d1@4", fetch(2))

    late = Snapshot(1, PAY, V1, (ONE,), 0, 5)
    assert bench.answer(D1, late) == []
    assert bench.snapshot(followed, V2, TWO, sequence=1) == []
    assert ids(followed) == [TWO.publisher_id]
    assert bench.datums.on_beat("d1@4", beat(1)) == []


def test_a_moved_datum_without_a_copy_waits_a_moment_for_its_new_primary() -> None:
    bench = Bench(D1)
    followed = bench.add()
    bench.now += 10.0
    bench.follow("d1@4")
    bench.come_up("d1@4")

    bench.snapshot(followed, V1, ONE, is_unreconciled=True)

    assert not followed.mirror.is_known


def test_without_any_data_node_the_copies_stay() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)

    assert bench.follow() == []

    assert ids(followed) == [ONE.publisher_id]
    assert bench.wait(10.0) == []


# --- sweep ----------------------------------------------------------------------------------------


def test_everything_is_compared_once_in_a_while_whatever_the_beats_say() -> None:
    bench = Bench(D1)
    bench.known(ONE)
    assert bench.next_tick_at() == 1000.0 + CONFIG.sweep_seconds

    assert bench.wait(CONFIG.sweep_seconds - 1.0) == []
    assert bench.wait(1.0) == to_data(D1, compare((PAY, V1)))
    assert bench.next_tick_at() == bench.now + CONFIG.sweep_seconds


def test_old_steps_go_at_a_sweep_but_the_newest_stays() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.on_changed(hint(V1, V2, 6, TWO))
    bench.datums.take_changed(bench.now)
    assert len(followed.log) == 2

    bench.wait(CONFIG.sweep_seconds)
    for _ in range(2):
        bench.wait(CONFIG.sweep_seconds + 1.0)
        assert len(followed.log) == 1


def test_a_sweep_passes_over_a_datum_without_a_copy() -> None:
    bench = Bench(D1, is_up=False)
    bench.add()

    assert bench.wait(CONFIG.sweep_seconds) == []


# --- claims ---------------------------------------------------------------------------------------


def settle(bench: Bench) -> list[Effect]:
    return bench.datums.settle()


def test_the_primary_is_asked_for_no_version_below_the_one_that_a_client_claims() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)

    bench.datums.claim(followed, V3)

    assert settle(bench) == to_data(D1, fetch(2, V1, V3))
    assert settle(bench) == []
    bench.snapshot(followed, V4, TWO)
    assert followed.claimed == ZERO
    assert settle(bench) == []


def test_a_claim_that_is_not_above_the_mirrors_version_causes_no_fetch() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.datums.claim(followed, V1)
    assert settle(bench) == []

    bench.datums.claim(followed, V3)
    bench.datums.claim(followed, V2)

    assert settle(bench) == to_data(D1, fetch(2, V1, V3))


def test_a_claim_that_comes_during_a_fetch_is_fetched_after_it() -> None:
    """The fetch did not name the claim, so its answer does not settle it."""
    bench = Bench(D1)
    followed = bench.add()
    bench.datums.claim(followed, V3)
    assert settle(bench) == []

    bench.snapshot(followed, V1, ONE)

    assert followed.claimed == V3
    assert settle(bench) == to_data(D1, fetch(2, V1, V3))


def test_a_claim_that_the_primary_does_not_confirm_is_settled() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.datums.claim(followed, V4)
    settle(bench)

    bench.snapshot(followed, V2, ONE)

    assert followed.claimed == ZERO
    assert bench.datums.take_changed(bench.now) == [followed], "waiting subscribers are checked"
    assert settle(bench) == []


def test_a_claim_outlives_refusals_and_connections() -> None:
    bench = Bench(D1)
    followed = bench.known(ONE)
    bench.datums.claim(followed, V3)
    settle(bench)

    bench.refuse(2)
    assert settle(bench) == []
    bench.lose()
    bench.wait(1.0)
    assert followed.claimed == V3

    assert bench.come_up() == to_data(D1, fetch(3, V1, V3), compare((PAY, V1)))


def test_a_claim_of_a_removed_datum_is_forgotten() -> None:
    bench = Bench(D1)
    bench.datums.claim(bench.known(ONE), V3)

    bench.datums.remove(PAY)

    assert settle(bench) == []
