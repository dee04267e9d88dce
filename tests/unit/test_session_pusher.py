"""Pushing: a window of pushes, then the newest state, as a delta if possible."""

from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_fakes import (
    ALICE,
    BOB,
    BOB_ID,
    CONFIG,
    ONE,
    PAY,
    S1,
    TWO,
    V1,
    V2,
    V3,
    V4,
    make_publisher,
    pushes,
    to_client,
)
from session_push_fakes import Datum, delta, make_client, snapshot

from zreg.config import Limits
from zreg.effects import Link, Probe
from zreg.model import Cause, Publisher, Removal, Scope, Version
from zreg.primitives.digest import UNSURE_DIGEST, view_digest
from zreg.primitives.mirror import ANY_VERSION, PUBLISHERS, Mirror, Verdict, absent
from zreg.session.clients.client_table import Client
from zreg.session.clients.pushes.subscriber import Subscriber, sees
from zreg.wire.records.client_messages import Push, PushAck

THREE = make_publisher(3)
RETRY = CONFIG.push_retry_seconds
GLOBAL, ZONE, DATA_CENTER = Scope.GLOBAL, Scope.ZONE, Scope.DATA_CENTER


# --- one subscriber -------------------------------------------------------------------------------


def test_a_new_subscriber_gets_a_snapshot_and_then_deltas() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.add(make_client())
    assert datum.settle() == to_client(ALICE, snapshot(V1, ONE))

    datum.acknowledge(subscriber, V1)
    assert datum.settle() == []
    datum.change(V2, TWO)

    assert datum.settle() == to_client(ALICE, delta(V1, V2, TWO))
    assert datum.settle() == []
    assert datum.pusher.push_count == 2


def test_an_empty_datum_is_pushed_but_an_unknown_one_is_not() -> None:
    datum = Datum(None)
    datum.add(make_client())
    assert datum.settle() == []

    datum.whole(V1)

    assert datum.settle() == to_client(ALICE, snapshot(V1))


def test_while_a_push_is_in_flight_changes_merge_into_the_next() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.add(make_client())
    datum.settle()

    datum.change(V2, TWO)
    assert datum.settle() == []
    newer = make_publisher(2, version=2, body=b"newer")
    datum.change(V3, newer)
    assert datum.settle() == []
    datum.acknowledge(subscriber, V1)

    assert datum.settle() == to_client(ALICE, delta(V1, V3, newer))


def test_a_removal_is_pushed_with_its_cause_and_holds_for_each_version() -> None:
    datum = Datum(V1, ONE, TWO)
    datum.acked(make_client())

    datum.change(V2, gone=[Removal(ONE.publisher_id, 1, Cause.CLOSED, S1)])

    gone = Removal(ONE.publisher_id, ANY_VERSION, Cause.CLOSED, S1)
    assert datum.settle() == to_client(ALICE, delta(V1, V2, gone=[gone]))


def test_a_publisher_that_a_snapshot_of_the_primary_lacked_is_pushed_as_absent() -> None:
    datum = Datum(V1, ONE, TWO)
    datum.acked(make_client())

    datum.whole(V2, TWO)

    assert datum.settle() == to_client(ALICE, delta(V1, V2, gone=[absent(ONE.publisher_id)]))


def removed(publisher: Publisher) -> Removal:
    return Removal(publisher.publisher_id, publisher.version, Cause.UNPUBLISHED, S1)


def test_a_publisher_that_came_and_went_meanwhile_is_not_pushed() -> None:
    datum = Datum(V1, ONE)
    datum.acked(make_client())

    datum.change(V2, TWO)
    datum.change(V3, gone=[removed(TWO)])

    assert datum.settle() == []
    datum.change(V4, THREE)
    assert datum.settle() == to_client(ALICE, delta(V1, V4, THREE))


def test_a_publisher_that_went_and_came_again_meanwhile_is_pushed_as_it_is_now() -> None:
    datum = Datum(V1, ONE)
    datum.acked(make_client())
    again = make_publisher(1, version=2)

    datum.change(V2, gone=[removed(ONE)])
    datum.change(V3, again)

    assert datum.settle() == to_client(ALICE, delta(V1, V3, again))


def test_a_version_that_changes_nothing_visible_pushes_nothing() -> None:
    datum = Datum(V1, ONE)
    datum.acked(make_client())

    datum.change(V2)
    datum.change(V3, make_publisher(1, version=2))

    assert datum.settle() == []
    datum.change(V4, TWO)
    assert datum.settle() == to_client(ALICE, delta(V1, V4, TWO)), "from what the client has"


def test_changes_that_are_no_longer_logged_are_pushed_as_a_snapshot() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.add(make_client())
    datum.settle()
    datum.change(V2, TWO)
    datum.change(V3, THREE)
    datum.followed.log.trim(datum.now, length_max=1, seconds_max=60.0)

    datum.acknowledge(subscriber, V1)

    assert datum.settle() == to_client(ALICE, snapshot(V3, ONE, TWO, THREE))


def test_a_change_that_is_too_large_is_pushed_as_a_snapshot_in_parts() -> None:
    datum = Datum(V1, ONE)
    datum.acked(make_client())
    body = bytes(Limits.body_bytes_max)
    large = [make_publisher(number, body=body) for number in range(10, 15)]

    datum.change(V2, *large)

    messages = pushes(datum.settle())
    assert [(p.source_version, p.version, p.parts_left) for p in messages] == [
        (None, V2, 1),
        (None, V2, 0),
    ]
    assert [p for message in messages for p in message.publishers] == [ONE, *large]


def test_more_removals_than_a_record_carries_are_pushed_as_a_snapshot() -> None:
    crowd = [
        make_publisher(publisher_id=number.to_bytes(16))
        for number in range(Limits.removals_per_record_max + 1)
    ]
    datum = Datum(V1, ONE, *crowd)
    subscriber = datum.add(make_client())
    datum.settle()
    datum.acknowledge(subscriber, V1)

    datum.whole(V2, ONE)

    assert datum.settle() == to_client(ALICE, snapshot(V2, ONE))


# --- scopes ---------------------------------------------------------------------------------------

NEAR, FAR, ELSEWHERE = (
    make_publisher(1),
    make_publisher(2, zone="z2"),
    make_publisher(3, data_center="dc2"),
)


@pytest.mark.parametrize(
    ("scope", "seen"),
    [(GLOBAL, [NEAR, FAR, ELSEWHERE]), (DATA_CENTER, [NEAR, FAR]), (ZONE, [NEAR])],
)
def test_a_subscriber_sees_what_is_in_its_scope(scope: Scope, seen: list[Publisher]) -> None:
    datum = Datum(V1, NEAR, FAR, ELSEWHERE)
    datum.add(make_client(), scope)

    assert datum.settle() == to_client(ALICE, snapshot(V1, *seen, scope=scope))


def test_a_zone_of_the_same_name_in_another_data_center_is_another_zone() -> None:
    assert not sees((ZONE, "z1", "dc1"), ELSEWHERE)


def test_a_change_out_of_scope_pushes_nothing_and_later_ones_are_still_deltas() -> None:
    datum = Datum(V1, NEAR)
    datum.acked(make_client(), ZONE)
    datum.change(V2, FAR)
    assert datum.settle() == []
    datum.followed.log.trim(datum.now, length_max=1, seconds_max=60.0)

    newer = make_publisher(1, version=2, body=b"newer")
    datum.change(V3, newer)

    assert datum.settle() == to_client(ALICE, Push(PAY, ZONE, V1, V3, (newer,)))


def test_a_publisher_that_moves_out_of_scope_is_removed_and_back_into_it_added() -> None:
    datum = Datum(V1, NEAR)
    subscriber = datum.acked(make_client(), ZONE)

    datum.change(V2, make_publisher(1, version=2, zone="z2"))
    gone = (absent(NEAR.publisher_id),)
    assert datum.settle() == to_client(ALICE, Push(PAY, ZONE, V1, V2, (), gone))
    datum.acknowledge(subscriber, V2)

    back = make_publisher(1, version=3)
    datum.change(V3, back)
    assert datum.settle() == to_client(ALICE, Push(PAY, ZONE, V2, V3, (back,)))


def test_the_removal_of_a_publisher_out_of_scope_is_not_pushed() -> None:
    datum = Datum(V1, NEAR, FAR)
    datum.acked(make_client(), ZONE)

    datum.change(V2, gone=[removed(FAR)])

    assert datum.settle() == []


# --- several subscribers --------------------------------------------------------------------------


def test_subscribers_with_the_same_scope_and_start_share_the_message() -> None:
    datum = Datum(V1, ONE)
    alice, bob = datum.add(make_client()), datum.add(make_client(BOB_ID, zone="z2"))
    first, second = pushes(datum.settle())
    assert first is second
    for subscriber in (alice, bob):
        datum.acknowledge(subscriber, V1)

    datum.change(V2, TWO)

    first, second = pushes(datum.settle())
    assert first == delta(V1, V2, TWO)
    assert first is second


def test_subscribers_with_another_scope_or_start_get_messages_of_their_own() -> None:
    datum = Datum(V1, NEAR, FAR)
    datum.add(make_client(), ZONE)
    datum.add(make_client(BOB_ID, zone="z2"), ZONE)

    near, far = snapshot(V1, NEAR, scope=ZONE), snapshot(V1, FAR, scope=ZONE)
    assert datum.settle() == [*to_client(ALICE, near), *to_client(BOB, far)]


def test_messages_are_shared_within_a_turn_only() -> None:
    datum = Datum(V1, ONE)
    datum.add(make_client())
    datum.settle()
    datum.change(V2, TWO)
    datum.add(make_client(BOB_ID))

    assert datum.settle() == to_client(BOB, snapshot(V2, ONE, TWO))


def test_subscribers_are_counted_and_found() -> None:
    datum = Datum(V1)
    client = make_client()
    subscriber = datum.add(client)
    datum.add(client, ZONE)

    assert datum.pusher.find(client, PAY, GLOBAL) is subscriber
    assert datum.pusher.find(make_client(BOB_ID), PAY, GLOBAL) is None
    assert len(datum.pusher) == 2
    for _ in range(2):
        datum.pusher.remove(client, PAY, GLOBAL)
        assert len(datum.pusher) == 1
    datum.pusher.remove(client, PAY, ZONE)
    assert len(datum.pusher) == 0
    assert datum.settle() == []
    datum.pusher.wake(datum.followed, datum.now)
    assert datum.settle() == []


def test_a_subscriber_that_goes_takes_its_push_in_flight_with_it() -> None:
    datum = Datum(V1)
    client = make_client()
    datum.add(client)
    datum.settle()

    datum.pusher.remove(client, PAY, GLOBAL)

    assert datum.pusher.next_tick_at() is None
    assert datum.tick(RETRY) == []


def test_a_repeated_subscription_starts_anew() -> None:
    datum = Datum(V1, ONE)
    client = make_client()
    datum.acked(client)

    datum.add(client)

    assert datum.settle() == to_client(ALICE, snapshot(V1, ONE))
    assert len(datum.pusher) == 1


# --- acknowledgements -----------------------------------------------------------------------------


def test_a_push_that_does_not_fit_is_followed_by_a_snapshot() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.in_flight(make_client())

    datum.acknowledge(subscriber, V2, needs_snapshot=True)

    assert datum.settle() == to_client(ALICE, snapshot(V2, ONE, TWO))


def test_an_acknowledgement_of_an_earlier_push_is_ignored() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.in_flight(make_client())
    datum.change(V3, THREE)

    datum.acknowledge(subscriber, V1)

    assert datum.settle() == []
    datum.acknowledge(subscriber, V2)
    assert datum.settle() == to_client(ALICE, delta(V2, V3, THREE))


def test_a_client_that_lacks_what_a_push_starts_from_says_so_with_its_lower_version() -> None:
    datum = Datum(V2, ONE)
    subscriber = datum.in_flight(make_client(), V3)

    datum.acknowledge(subscriber, V1, needs_snapshot=True)

    assert datum.settle() == to_client(ALICE, snapshot(V3, ONE, TWO))


def test_an_acknowledgement_without_a_push_in_flight_is_ignored() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.acked(make_client())

    datum.acknowledge(subscriber, V4)
    datum.acknowledge(subscriber, V1, needs_snapshot=True)

    assert datum.settle() == []


def test_an_acknowledgement_of_a_higher_version_is_a_claim_that_the_primary_judges() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.in_flight(make_client())

    datum.acknowledge(subscriber, V4)
    assert subscriber.claim == (V4, UNSURE_DIGEST)
    datum.followed.claimed = V4
    assert datum.settle() == []

    datum.followed.claimed = V1
    assert datum.settle() == [], "until it is looked at again"
    datum.pusher.wake(datum.followed, datum.now)
    assert datum.settle() == to_client(ALICE, snapshot(V2, ONE, TWO, is_reset=True))
    datum.acknowledge(subscriber, V2)
    datum.change(V3, THREE)
    assert datum.settle() == to_client(ALICE, delta(V2, V3, THREE))


def test_a_client_that_does_not_acknowledge_is_probed_once_and_gets_nothing_more() -> None:
    datum = Datum(V1, ONE)
    datum.in_flight(make_client())
    assert datum.pusher.next_tick_at() == RETRY
    datum.now = 1.0
    datum.add(make_client(BOB_ID))
    datum.settle()
    datum.change(V3, THREE)

    datum.now = 0.0
    assert datum.tick(RETRY - 0.1) == []
    assert datum.tick(0.1) == [Probe(Link.CLIENTS, ALICE)]
    assert datum.pusher.next_tick_at() == 1.0 + RETRY
    assert datum.tick(10 * RETRY) == [Probe(Link.CLIENTS, BOB)]

    assert datum.pusher.next_tick_at() is None
    datum.change(V4)
    assert datum.settle() == []


def test_a_client_with_several_pushes_in_flight_is_probed_once() -> None:
    datum = Datum(V1, ONE)
    client = make_client()
    for scope in Scope:
        datum.add(client, scope)
    datum.settle()

    assert datum.tick(RETRY) == [Probe(Link.CLIENTS, ALICE)]


def test_a_late_acknowledgement_counts_and_changes_follow_as_one_delta() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.in_flight(make_client())
    datum.tick(5 * RETRY)
    datum.change(V3, THREE)
    four = make_publisher(4)
    datum.change(V4, four)

    datum.acknowledge(subscriber, V2)

    assert datum.settle() == to_client(ALICE, delta(V2, V4, THREE, four))
    assert datum.pusher.next_tick_at() == datum.now + RETRY


def test_a_client_without_a_connection_is_neither_pushed_to_nor_probed() -> None:
    datum = Datum(V1, ONE)
    client = make_client()
    datum.add(client)
    datum.settle()
    client.peer = None

    assert datum.tick(RETRY) == []
    assert datum.settle() == []
    datum.change(V2, TWO)
    assert datum.settle() == []
    assert datum.pusher.next_tick_at() is None


# --- claims ---------------------------------------------------------------------------------------


def claiming(datum: Datum, version: Version, *publishers: Publisher) -> Subscriber:
    """Subscribe with a view."""
    subscriber = datum.add(make_client())
    subscriber.claim = (version, view_digest(publishers))
    return subscriber


def test_a_client_whose_view_is_up_to_date_is_told_only_that() -> None:
    datum = Datum(V2, ONE)
    subscriber = claiming(datum, V2, ONE)

    assert datum.settle() == to_client(ALICE, delta(V2, V2))

    datum.acknowledge(subscriber, V2)
    datum.change(V3, TWO)
    assert datum.settle() == to_client(ALICE, delta(V2, V3, TWO))


def test_the_digest_is_of_what_is_in_scope() -> None:
    datum = Datum(V2, NEAR, FAR)
    subscriber = datum.add(make_client(), ZONE)
    subscriber.claim = (V2, view_digest([NEAR]))

    assert datum.settle() == to_client(ALICE, Push(PAY, ZONE, V2, V2, ()))


@pytest.mark.parametrize("version", [V1, V2])
def test_a_client_with_another_or_older_view_gets_a_snapshot(version: Version) -> None:
    datum = Datum(V2, ONE)
    claiming(datum, version, TWO)

    assert datum.settle() == to_client(ALICE, snapshot(V2, ONE))


def test_a_client_with_a_higher_version_waits_for_the_primary_to_confirm_it() -> None:
    datum = Datum(V1, ONE)
    claiming(datum, V3, ONE)
    datum.followed.claimed = V3
    assert datum.settle() == []

    datum.followed.claimed = V1
    datum.whole(V4, ONE, TWO)

    assert datum.settle() == to_client(ALICE, snapshot(V4, ONE, TWO))


def test_a_client_with_a_version_that_was_hinted_here_waits_for_it() -> None:
    datum = Datum(V1, ONE)
    claiming(datum, V3, ONE)
    datum.followed.mirror.expect(V3)

    assert datum.settle() == []
    datum.whole(V3, ONE)
    assert datum.settle() == to_client(ALICE, delta(V3, V3))


def test_a_client_with_a_version_that_no_primary_confirms_is_reset() -> None:
    datum = Datum(V1, ONE)
    subscriber = claiming(datum, V3, ONE)

    assert datum.settle() == to_client(ALICE, snapshot(V1, ONE, is_reset=True))

    datum.acknowledge(subscriber, V1)
    datum.change(V2, TWO)
    assert datum.settle() == to_client(ALICE, delta(V1, V2, TWO))


def test_a_claim_of_an_unseen_epoch_is_held_until_the_epoch_comes() -> None:
    datum = Datum(V1, ONE)
    subscriber = claiming(datum, V3, ONE)
    datum.pusher.hold_claim(subscriber)
    assert datum.settle() == []
    datum.pusher.wake(datum.followed, datum.now)
    assert datum.settle() == []

    assert datum.pusher.release_claims() == [subscriber]

    assert datum.pusher.release_claims() == []
    assert datum.settle() == to_client(ALICE, snapshot(V1, ONE, is_reset=True))


def test_an_epoch_that_comes_while_a_push_is_in_flight_sends_no_second_one() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.add(make_client())
    datum.settle()
    datum.pusher.hold_claim(subscriber)

    assert datum.pusher.release_claims() == [subscriber]

    assert datum.settle() == []


# --- unsure ---------------------------------------------------------------------------------------


def test_a_partial_copy_is_pushed_as_unreconciled_and_the_whole_follows() -> None:
    datum = Datum(None)
    subscriber = datum.add(make_client())
    datum.whole(V1, ONE, is_partial=True)
    assert datum.settle() == to_client(ALICE, snapshot(V1, ONE, is_unreconciled=True))
    datum.acknowledge(subscriber, V1)
    assert datum.settle() == []

    datum.change(V2, TWO)
    assert datum.settle() == to_client(ALICE, delta(V1, V2, TWO))
    datum.acknowledge(subscriber, V2)
    datum.whole(V3, ONE, TWO)

    assert datum.settle() == to_client(ALICE, snapshot(V3, ONE, TWO)), "although nothing changed"
    datum.acknowledge(subscriber, V3)
    assert datum.settle() == []


def test_the_whole_follows_a_partial_push_that_was_in_flight() -> None:
    datum = Datum(None)
    subscriber = datum.add(make_client())
    datum.whole(V1, ONE, is_partial=True)
    datum.settle()
    datum.whole(V2, ONE)
    assert datum.settle() == []

    datum.acknowledge(subscriber, V1)

    assert datum.settle() == to_client(ALICE, snapshot(V2, ONE))


def test_a_client_with_the_same_view_as_an_unsure_copy_is_told_that_it_is_unsure() -> None:
    datum = Datum(None)
    datum.whole(V1, ONE, is_partial=True)
    claiming(datum, V1, ONE)

    assert datum.settle() == to_client(ALICE, snapshot(V1, ONE, is_unreconciled=True))


def test_a_client_with_a_view_from_before_the_copy_became_unsure_still_gets_deltas() -> None:
    """Its view is that of this session, so a delta from there is exact."""
    datum = Datum(V1, ONE)
    subscriber = datum.acked(make_client())

    datum.whole(V2, TWO, is_partial=True)
    assert datum.settle() == to_client(ALICE, delta(V1, V2, TWO))
    datum.acknowledge(subscriber, V2)
    datum.whole(V3, TWO)

    assert datum.settle() == to_client(ALICE, delta(V2, V3, gone=[absent(ONE.publisher_id)]))


# --- the property ---------------------------------------------------------------------------------


class FakeClient:
    """A client's view of one datum: it takes pushes in order, and acknowledges its version."""

    def __init__(self, client: Client, scope: Scope) -> None:
        self.client = client
        self.scope = scope
        self.mirror = Mirror(PUBLISHERS)
        self.parts: list[Publisher] = []
        self.awaits_snapshot = False
        # Pushes on the way to it, and its acknowledgements on their way back.
        self.pushes: list[Push] = []
        self.acks: list[PushAck] = []
        # An acknowledgement was lost, so it has to replay.
        self.has_lost = False

    def take(self) -> None:
        """Take the next push."""
        push = self.pushes.pop(0)
        assert not push.is_reset
        version = self.mirror.version
        is_current = True
        if push.source_version is None:
            self.parts.extend(push.publishers)
            if push.parts_left:
                return
            parts, self.parts = self.parts, []
            self.mirror.snapshot(push.version, parts, is_partial=push.is_unreconciled)
        elif self.awaits_snapshot:
            return
        else:
            verdict = self.mirror.hint(
                push.source_version, push.version, push.publishers, push.removals
            )
            is_current = verdict is not Verdict.FETCH
        assert self.mirror.version >= version
        self.awaits_snapshot = not is_current
        self.acks.append(PushAck(PAY, self.scope, self.mirror.version, not is_current))

    def gather(self) -> None:
        """Take all pushes, and let the newest acknowledgement stand for all."""
        while self.pushes:
            self.take()
        if self.client.pushes_max > 1 and not any(ack.needs_snapshot for ack in self.acks):
            del self.acks[:-1]

    @property
    def claim(self) -> tuple[Version, int] | None:
        if not self.mirror.is_known:
            return None
        is_unsure = self.mirror.is_unsure
        digest = UNSURE_DIGEST if is_unsure else view_digest(self.mirror.content.values())
        return self.mirror.version, digest

    def looks(self, publishers: Sequence[Publisher]) -> dict[bytes, tuple[bytes, str, str]]:
        """Return those of these publishers that this client can see."""
        visibility = (self.scope, self.client.zone, self.client.data_center)
        return {
            p.publisher_id: (p.body, p.zone, p.data_center)
            for p in publishers
            if sees(visibility, p)
        }


class World:
    """A datum that moves at random, its subscribers, and faults between them."""

    ACTIONS = (
        *("change", "change", "change", "deliver", "deliver", "deliver", "carry", "ack"),
        *("snapshot", "lose", "repeat", "wait", "trim", "reconnect", "replay"),
        *("change", "change", "change", "gather", "gather", "start_over"),
    )

    def __init__(self, rng: Random, client: Client) -> None:
        self.rng = rng
        self.datum = Datum(None)
        self.counter = 0
        self.contents: dict[Version, list[Publisher]] = {}
        self.clients = [FakeClient(client, scope) for scope in Scope]
        for scope in Scope:
            self.datum.add(client, scope)

    def next_version(self) -> Version:
        self.counter += 1
        return Version(1, self.counter)

    def publisher(self) -> Publisher:
        choice = self.rng.choice
        return make_publisher(
            choice([1, 2, 3, 4]),
            version=self.counter + 1,
            zone=choice(["z1", "z1", "z2"]),
            data_center=choice(["dc1", "dc1", "dc2"]),
            body=choice([b"1", b"2"]),
        )

    def change(self) -> None:
        """Take a change; one in three changes nothing visible."""
        mirror = self.datum.followed.mirror
        if not mirror.is_known:
            self.snapshot()
            return
        publishers = [self.publisher() for _ in range(self.rng.randint(0, 2))]
        numbers = self.rng.sample([1, 2, 3, 4], self.rng.choice([0, 0, 1]))
        gone = [
            Removal(make_publisher(n).publisher_id, self.counter, Cause.UNPUBLISHED)
            for n in numbers
        ]
        mirror.hint(mirror.version, self.next_version(), publishers, gone)

    def snapshot(self) -> None:
        """Take a snapshot of the primary, which may be partial."""
        mirror = self.datum.followed.mirror
        kept = [p for p in mirror.content.values() if self.rng.random() < 0.7]
        is_partial = self.rng.random() < 0.5
        mirror.snapshot(self.next_version(), [*kept, self.publisher()], is_partial=is_partial)

    def act(self) -> None:
        """Let one thing happen, and the turn end."""
        datum, client = self.datum, self.rng.choice(self.clients)
        match self.rng.choice(self.ACTIONS):
            case "change" | "snapshot" as kind:
                self.change() if kind == "change" else self.snapshot()
            case "deliver" | "reconnect" | "replay" | "start_over" as kind:
                getattr(self, kind)(client)
            case "carry" if client.pushes:
                client.take()
            case "ack" if client.acks:
                self.acknowledge(client, client.acks.pop(0))
            case "gather":
                client.gather()
            case "lose" if client.acks:
                # Only with its connection, or if records were dropped: then the client replays.
                client.acks.pop(0)
                client.has_lost = True
            case "repeat" if client.acks:
                self.acknowledge(client, client.acks[0])
            case "trim":
                datum.followed.log.trim(datum.now, length_max=1, seconds_max=60.0)
            case "wait":
                self.datum.tick(RETRY)
        self.end_turn()

    def deliver(self, client: FakeClient) -> None:
        while client.pushes:
            client.take()
        while client.acks:
            self.acknowledge(client, client.acks.pop(0))

    def acknowledge(self, client: FakeClient, ack: PushAck) -> None:
        subscriber = self.datum.pusher.find(client.client, PAY, client.scope)
        assert subscriber is not None
        self.datum.pusher.on_push_ack(subscriber, ack, self.datum.now)

    def reconnect(self, client: FakeClient) -> None:
        client.pushes, client.acks, client.parts = [], [], []
        client.has_lost = client.awaits_snapshot = False
        self.replay(client)

    def replay(self, client: FakeClient) -> None:
        """Let a client subscribe again; pushes and acknowledgements under way still arrive."""
        client.has_lost = client.awaits_snapshot = False
        self.datum.add(client.client, client.scope).claim = client.claim

    def start_over(self, client: FakeClient) -> None:
        """Let a client unsubscribe and subscribe; pushes under way reach the new, empty view."""
        client.mirror, client.parts = Mirror(PUBLISHERS), []
        # What it acknowledged before, the session reads before the Unsubscribe.
        client.acks.clear()
        self.replay(client)

    def end_turn(self) -> None:
        mirror = self.datum.followed.mirror
        self.contents[mirror.version] = list(mirror.content.values())
        self.datum.log()
        for push in pushes(self.datum.settle()):
            client = next(c for c in self.clients if c.scope is push.scope)
            client.pushes.append(push)

    def check(self) -> None:
        """A view that is not unsure is what was in scope at its version."""
        for client in self.clients:
            mirror = client.mirror
            if mirror.is_known and not mirror.is_unsure:
                content = client.looks(list(mirror.content.values()))
                assert len(content) == len(mirror.content), "nothing out of scope"
                assert content == client.looks(self.contents[mirror.version])

    def come_to_rest(self) -> None:
        """Let all messages arrive, and the session get a whole snapshot."""
        mirror = self.datum.followed.mirror
        mirror.snapshot(self.next_version(), [*mirror.content.values(), self.publisher()])
        self.end_turn()
        for _ in range(8):
            for client in self.clients:
                self.deliver(client)
                if client.has_lost:
                    self.replay(client)
            self.end_turn()
        self.datum.tick(RETRY)


@settings(max_examples=120)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, Limits.pushes_in_flight_max]))
def test_a_client_always_ends_with_exactly_what_is_in_scope_and_never_goes_back(
    seed: int, pushes_max: int
) -> None:
    """Changes come at random; acknowledgements are lost, late or repeated, and clients replay."""
    client = make_client()
    client.pushes_max = pushes_max
    world = World(Random(seed), client)

    for _ in range(40):
        world.act()
        world.check()
    world.come_to_rest()
    world.check()

    content = list(world.datum.followed.mirror.content.values())
    for client in world.clients:
        assert client.looks(list(client.mirror.content.values())) == client.looks(content)
        assert not client.mirror.is_unsure
        subscriber = world.datum.pusher.find(client.client, PAY, client.scope)
        assert subscriber is not None
        assert subscriber.in_flight == ()
    assert world.datum.pusher.next_tick_at() is None, "and all is quiet"


def test_a_push_is_frozen_at_the_version_of_its_parts() -> None:
    """All parts of a snapshot carry one version, also if a change comes between them."""
    body = bytes(Limits.body_bytes_max)
    datum = Datum(V1, *[make_publisher(number, body=body) for number in range(10)])
    datum.add(make_client())

    parts = pushes(datum.settle())

    assert [p.parts_left for p in parts] == list(reversed(range(len(parts))))
    assert {p.version for p in parts} == {V1}
    assert all(len(msgspec.msgpack.encode(p)) < Limits.frame_bytes_max for p in parts)
