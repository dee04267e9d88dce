"""What a data node is told, when: a window, resends, pauses after refusals, and digests."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from session_fakes import (
    BOB_ID,
    CONFIG,
    D1,
    D2,
    ONE,
    PAY,
    S1,
    S1_AGAIN,
    TWO,
    RegistrationsBench,
    accepted,
    digest_of,
    make_membership,
    make_publisher,
    names_at,
    to_data,
)

from zreg.effects import Effect, Link, PeerUp, Send
from zreg.model import NO_INCARNATION, Cause
from zreg.primitives.digest import DigestSum
from zreg.wire.records.data_messages import (
    CompareDigest,
    PublishDatum,
    UnpublishDatum,
    WritesWait,
)

WINDOW = 512


def test_only_the_newest_state_waits_for_a_connection() -> None:
    bench = RegistrationsBench(D1, is_up=False)
    for version in (1, 2, 3):
        bench.publish(make_publisher(1, version=version))
        assert bench.settle(0.0) == []

    bench.come_up()

    newest = make_publisher(1, version=3)
    assert bench.settle(1.0) == to_data(D1, PublishDatum(1, PAY, newest), digest_of(newest))


def test_a_request_whose_answer_is_late_is_not_sent_again_and_the_answer_counts() -> None:
    """A slow data node must not get more requests for being slow."""
    bench = RegistrationsBench(D1)
    bench.tick(10.0)
    bench.publish(ONE)
    bench.settle(10.2)

    for now in range(11, 20):
        sent = [e.message for e in bench.tick(float(now)) if isinstance(e, Send)]
        assert [m for m in sent if isinstance(m, PublishDatum)] == []

    assert bench.registrations.on_accepted(D1, accepted([1])) == [bench.registration(ONE)]


def test_what_a_data_node_forgot_is_sent_again_over_the_same_connection() -> None:
    bench = RegistrationsBench(D1)
    bench.tick(10.0)
    bench.publish(ONE)
    bench.settle(10.2)

    bench.queues.resend_all(D1)

    assert bench.settle(10.3) == to_data(D1, PublishDatum(2, PAY, ONE))


def test_requests_under_way_are_bounded_and_the_rest_follows_the_answers() -> None:
    bench = RegistrationsBench(D1)
    publishers = [make_publisher(number) for number in range(WINDOW + 2)]

    effects = bench.started(*publishers)

    requests = [PublishDatum(n + 1, PAY, p) for n, p in enumerate(publishers)]
    assert effects == to_data(D1, WritesWait(), *requests[:WINDOW]), "and no digest yet"
    assert not bench.registrations.is_accepted(bench.registration(publishers[-1]))
    bench.registrations.on_accepted(D1, accepted([1, 2]))
    assert bench.settle(0.0) == to_data(D1, *requests[WINDOW:], digest_of(*publishers))


def refuse(bench: RegistrationsBench, now: float) -> float:
    """Refuse what was sent last; return the pause before it is sent again."""
    request_id = bench.registration(ONE).request_id
    assert bench.registrations.on_refused(
        D1, request_id, now, is_final=False
    ) is bench.registration(ONE)
    return bench.next_tick_at() - now


def test_a_registration_that_is_refused_for_now_is_sent_again_after_a_pause() -> None:
    bench = RegistrationsBench(D1)
    bench.tick(10.0)
    bench.publish(ONE)
    bench.settle(10.0)

    pause = refuse(bench, 10.0)

    assert 0.05 <= pause <= 0.1
    assert bench.settle(10.0) == []
    bench.publish(TWO)
    bench.settle(10.0 + pause / 2)
    assert not bench.registration(TWO).request_id, "it waits, too"
    assert not bench.registrations.is_accepted(bench.registration(ONE))
    again = [PublishDatum(2, PAY, ONE), PublishDatum(3, PAY, TWO)]
    assert bench.tick(10.0 + pause) == to_data(D1, *again, digest_of(ONE, TWO))


def test_a_data_node_is_told_of_writes_that_wait_for_the_end_of_a_pause() -> None:
    """They may be of a client that moved here: its former session suspects it meanwhile."""
    bench = RegistrationsBench(D1)
    bench.tick(10.0)
    bench.publish(ONE)
    bench.settle(10.0)
    pause = refuse(bench, 10.0)

    bench.publish(TWO)
    assert bench.settle(10.0 + pause / 3) == to_data(D1, WritesWait())
    bench.publish(make_publisher(3))
    assert bench.settle(10.0 + pause / 2) == [], "it is told once"


def test_another_incarnation_does_not_wait_for_the_pause_of_the_former() -> None:
    """Chaos campaign on processes, seed 329: a session joined again and took its clients back.

    What it had sent before was refused, and so the replays waited for the pause. Meanwhile the
    session that the clients had left withdrew two of them.
    """
    bench = RegistrationsBench(D1)
    bench.tick(10.0)
    bench.publish(ONE, TWO)
    bench.settle(10.0)
    refuse(bench, 10.0)

    bench.registrations.on_incarnation(S1_AGAIN)
    bench.tick(10.0)
    bench.registrations.on_refused(D1, 2, 10.0, is_final=False)
    again = replace(ONE, session=S1_AGAIN)
    bench.publish(again)

    assert bench.settle(10.01) == to_data(D1, PublishDatum(3, PAY, again))


def test_pauses_grow_while_a_node_refuses_and_begin_again_when_it_accepts() -> None:
    bench = RegistrationsBench(D1)
    bench.publish(ONE)
    bench.settle(0.0)
    pauses: list[float] = []
    now = 0.0
    for _ in range(8):
        now += 2.0  # longer than any pause
        bench.tick(now)
        pauses.append(refuse(bench, now))

    assert all(pause <= 2 * pauses[0] * 2**4 for pause in pauses)
    assert max(pauses) > 4 * pauses[0]
    now += 2.0
    bench.tick(now)
    bench.accept_all()
    bench.publish(make_publisher(1, version=2))
    bench.settle(now)
    assert refuse(bench, now) <= 0.1


def test_many_refusals_at_once_cause_one_pause() -> None:
    bench = RegistrationsBench(D1)
    bench.tick(0.0)
    bench.publish(ONE, TWO)
    bench.settle(0.0)

    bench.registrations.on_refused(D1, 1, 0.0, is_final=False)
    due = bench.next_tick_at()
    bench.registrations.on_refused(D1, 2, 0.0, is_final=False)

    assert bench.next_tick_at() == due


def test_a_request_under_way_when_a_connection_broke_is_sent_over_the_next() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE, TWO)
    bench.registrations.on_accepted(D1, accepted([1]))

    bench.lose()
    assert bench.settle(0.0) == []
    assert bench.registrations.on_accepted(D1, accepted([2])) == [], "an answer of before"
    bench.come_up()

    again = PublishDatum(3, PAY, TWO)
    assert bench.settle(0.0) == to_data(D1, again, digest_of(ONE, TWO))


def test_a_broken_connection_to_an_unknown_data_node_changes_nothing() -> None:
    bench = RegistrationsBench(D1)
    bench.started(ONE)

    bench.queues.on_node_lost("d9@9")

    assert bench.settle(0.0) == []


def test_a_session_without_incarnation_sends_no_digest() -> None:
    bench = RegistrationsBench(D1, session=NO_INCARNATION)

    assert bench.tick(0.0) == []


def test_digests_are_sent_once_in_a_while_and_when_a_connection_stands() -> None:
    bench = RegistrationsBench(D1)
    assert bench.tick(10.0) == to_data(D1, digest_of())
    assert bench.next_tick_at() == 10.0 + CONFIG.digest_seconds

    assert bench.tick(10.5) == []
    assert bench.tick(11.0) == to_data(D1, digest_of())
    bench.lose()
    assert bench.tick(12.0) == []
    bench.come_up()
    assert bench.settle(12.1) == to_data(D1, digest_of())


def test_a_data_node_that_comes_up_before_the_ring_names_it_gets_a_digest() -> None:
    bench = RegistrationsBench(D1, is_up=False)
    bench.links.follow(make_membership(D1, D2, epoch=4))
    bench.links.connections.on_peer_up(PeerUp(Link.DATA, D2))

    bench.queues.request_digest(D2)

    assert bench.settle(0.0) == to_data(D2, digest_of(ring_epoch=4))


class FakeDataNode:
    """Applies requests in order, and checks each digest against what it holds."""

    def __init__(self) -> None:
        self.held: dict[bytes, int] = {}
        self.digest_count = 0

    def take(self, effects: list[Effect]) -> list[int]:
        """Apply requests; return their ids."""
        accepted: list[int] = []
        for effect in effects:
            assert isinstance(effect, Send)
            match effect.message:
                case PublishDatum(request_id=request_id, publisher=publisher):
                    assert publisher.session == S1
                    self.held[publisher.publisher_id] = publisher.version
                    accepted.append(request_id)
                case UnpublishDatum(request_id=request_id, removals=removals):
                    for each in removals:
                        self.held.pop(each.publisher_id, None)
                    accepted.append(request_id)
                case CompareDigest() as compare:
                    digest = DigestSum()
                    for publisher_id, version in self.held.items():
                        digest.add(publisher_id, version)
                    assert (compare.count, compare.digest) == (digest.count, digest.value)
                    self.digest_count += 1
        return accepted


class Life:
    """Clients, a session and a data node at random; messages may arrive late or never."""

    ACTIONS = ("publish", "publish", "withdraw", "carry", "carry", "answer", "lose", "wait")

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.bench = RegistrationsBench(D1)
        self.node = FakeDataNode()
        self.now = 0.0
        self.raised = 0
        self.under_way: list[Effect] = []
        self.answers: list[int] = []

    def act(self) -> None:
        """Let one thing happen, and the turn end."""
        registrations = self.bench.registrations
        publisher = make_publisher(self.rng.randint(1, 3), version=self.raised + 1)
        registration = registrations.find(publisher.publisher_id)
        match self.rng.choice(self.ACTIONS):
            case "publish":
                self.raised += 1
                self.bench.publish(publisher)
            case "withdraw" if registration is not None:
                registrations.withdraw(registration, Cause.UNPUBLISHED)
            case "carry":
                self.answers += self.node.take(self.under_way)
                self.under_way = []
            case "answer":
                registrations.on_accepted(D1, accepted(self.answers))
                self.answers = []
            case "lose":
                self.lose()
            case "wait":
                self.now += self.rng.choice([0.1, 1.0])
                self.under_way += self.bench.tick(self.now)
        self.under_way += self.bench.settle(self.now)

    def lose(self) -> None:
        """Break the connection: messages on it are lost, and the next one stands at once."""
        self.under_way, self.answers = [], []
        self.bench.lose()
        self.bench.come_up()


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_a_digest_always_counts_what_was_sent_before_it_on_the_connection(seed: int) -> None:
    """Publishes, withdrawals, late answers, broken connections and resends come at random."""
    life = Life(Random(seed))
    for _ in range(40):
        life.act()
    bench, node = life.bench, life.node

    life.lose()
    bench.registrations.on_accepted(D1, accepted(node.take(bench.settle(life.now))))

    assert node.held == {
        registration.publisher.publisher_id: registration.publisher.version
        for registration in bench.registrations
        if bench.registrations.is_answered_for_at(registration, D1)
    }
    assert node.digest_count > 0
    assert bench.queues.pending_count == 0


def test_nothing_is_sent_to_a_data_node_that_leaves_before_the_turn_ends() -> None:
    bench = RegistrationsBench(D1, D2)
    bench.registrations.publish(names_at(bench.links, D1)[0], ONE, 7)

    bench.follow(D2)

    name = bench.registration(ONE).name
    sent = [PublishDatum(1, name, ONE), digest_of(ONE, ring_epoch=4)]
    assert bench.settle(0.0) == to_data(D2, *sent)


def test_a_queue_beyond_its_window_goes_on_when_half_of_the_window_is_free() -> None:
    """Each look at a long queue costs some time, so it is not looked at for each acceptance."""
    bench = RegistrationsBench(D1)
    bench.publish(*(make_publisher(number) for number in range(3 * WINDOW)))
    assert len(bench.settle(0.0)) == 1 + WINDOW, "the data node is told once that more waits"

    bench.registrations.on_accepted(D1, accepted(range(1, WINDOW // 2)))
    assert bench.settle(0.0) == []
    bench.registrations.on_accepted(D1, accepted([WINDOW // 2]))
    assert len(bench.settle(0.0)) == WINDOW // 2


def test_a_data_node_is_told_that_writes_wait_although_none_of_them_fits() -> None:
    bench = RegistrationsBench(D1)
    bench.started(*(make_publisher(number) for number in range(WINDOW)))

    bench.publish(make_publisher(WINDOW))
    assert bench.settle(0.1) == to_data(D1, WritesWait())
    bench.publish(make_publisher(WINDOW + 1))
    assert bench.settle(0.2) == []

    bench.registrations.on_accepted(D1, accepted(range(1, WINDOW + 1)))
    kinds = [type(effect.message) for effect in bench.settle(0.3) if isinstance(effect, Send)]
    assert kinds == [PublishDatum, PublishDatum, CompareDigest]


def test_a_data_node_is_told_again_in_place_of_each_digest_that_is_due() -> None:
    """One that has forgotten the session says so; its answers will never come."""
    bench = RegistrationsBench(D1)
    bench.publish(*(make_publisher(number) for number in range(2 * WINDOW)))
    bench.settle(0.0)

    for now in (1.0, 2.0):
        bench.queues.request_digests()
        assert bench.tick(now) == to_data(D1, WritesWait())
        assert bench.tick(now + 0.5) == []


def test_the_next_connection_is_told_again_that_writes_wait() -> None:
    bench = RegistrationsBench(D1)
    bench.publish(*(make_publisher(number) for number in range(WINDOW + 1)))
    bench.settle(0.0)
    bench.queues.on_node_lost(D1)
    bench.queues.touched[D1] = None

    assert bench.settle(0.1)[0] == Send(Link.DATA, D1, WritesWait())


REPLAYING = b"r" * 16


def test_a_data_node_is_told_that_writes_wait_while_a_client_replays() -> None:
    """It removes nothing on suspicion meanwhile: the client may publish that again in a moment."""
    bench = RegistrationsBench(D1)
    bench.started()
    bench.queues.note_replaying(REPLAYING, 20.0)
    bench.publish(ONE)

    assert bench.settle(0.1) == to_data(D1, WritesWait(), PublishDatum(1, PAY, ONE))
    bench.publish(TWO)
    assert bench.settle(0.2) == to_data(D1, PublishDatum(2, PAY, TWO)), "it is told once"

    bench.queues.end_replaying(REPLAYING)
    assert bench.settle(0.3) == to_data(D1, digest_of(ONE, TWO))
    assert bench.settle(0.4) == []


def test_a_replay_that_ends_in_its_turn_is_not_told() -> None:
    bench = RegistrationsBench(D1)
    bench.started()
    bench.queues.note_replaying(REPLAYING, 20.0)
    bench.publish(ONE)
    bench.queues.end_replaying(REPLAYING)

    assert bench.settle(0.1) == to_data(D1, PublishDatum(1, PAY, ONE))


def test_digests_go_on_while_a_client_replays_and_say_that_writes_wait() -> None:
    bench = RegistrationsBench(D1)
    bench.tick(10.0)
    bench.queues.note_replaying(REPLAYING, 30.0)
    assert bench.settle(10.1) == to_data(D1, WritesWait())

    waiting = replace(digest_of(), do_writes_wait=True)
    assert bench.tick(11.0) == to_data(D1, waiting)
    assert bench.tick(12.0) == to_data(D1, waiting)


def test_a_replay_that_never_ends_is_forgotten_after_a_time() -> None:
    bench = RegistrationsBench(D1)
    bench.tick(10.0)
    bench.queues.note_replaying(REPLAYING, 12.5)
    bench.settle(10.1)

    bench.queues.note_replaying(REPLAYING, 99.0)
    assert bench.tick(12.0) == to_data(D1, replace(digest_of(), do_writes_wait=True))
    assert bench.tick(13.0) == to_data(D1, digest_of())


def test_writes_that_wait_here_and_a_replay_are_told_together() -> None:
    bench = RegistrationsBench(D1)
    crowd = [make_publisher(number) for number in range(WINDOW + 1)]
    bench.queues.note_replaying(REPLAYING, 20.0)
    assert bench.started(*crowd)[0] == Send(Link.DATA, D1, WritesWait())

    bench.queues.end_replaying(REPLAYING)
    assert bench.settle(0.1) == [], "writes wait here still"
    bench.registrations.on_accepted(D1, accepted(range(1, WINDOW + 1)))
    last = PublishDatum(WINDOW + 1, PAY, crowd[-1])
    assert bench.settle(0.2) == to_data(D1, last, digest_of(*crowd))


def test_a_bystander_does_not_wait_for_all_registrations_of_another_client() -> None:
    bench = RegistrationsBench(D1)
    bench.publish(*(make_publisher(number) for number in range(4 * WINDOW)))
    bench.settle(0.0)
    bystander = make_publisher(4 * WINDOW, client_id=BOB_ID)
    bench.publish(bystander)

    bench.registrations.on_accepted(D1, accepted(range(1, WINDOW + 1)))

    assert bystander in [
        effect.message.publisher
        for effect in bench.settle(0.1)
        if isinstance(effect, Send) and isinstance(effect.message, PublishDatum)
    ]


def test_removals_on_suspicion_take_no_room_of_the_window() -> None:
    """A data node may answer them late; other clients publish meanwhile."""
    bench = RegistrationsBench(D1)
    crowd = [make_publisher(number) for number in range(WINDOW)]
    bench.publish(*crowd)
    bench.settle(0.0)
    bench.registrations.on_accepted(D1, accepted(range(1, WINDOW + 1)))
    for publisher in crowd:
        bench.registrations.withdraw(bench.registration(publisher), Cause.CLOSED)
    assert len(bench.settle(0.1)) == WINDOW

    living = make_publisher(WINDOW + 1)
    bench.publish(living)

    assert PublishDatum(2 * WINDOW + 1, PAY, living) in [
        effect.message for effect in bench.settle(0.2) if isinstance(effect, Send)
    ]
    queue = bench.queues.by_peer[D1]
    assert queue.suspicion_count == WINDOW
    bench.registrations.on_accepted(D1, accepted(range(WINDOW + 1, 2 * WINDOW + 2)))
    assert queue.suspicion_count == 0


def test_the_count_of_suspicions_follows_refusals_returns_and_lost_connections() -> None:
    bench = RegistrationsBench(D1)
    bench.publish(ONE, TWO)
    bench.settle(0.0)
    bench.registrations.on_accepted(D1, accepted([1, 2]))
    queue = bench.queues.by_peer[D1]
    for publisher in (ONE, TWO):
        bench.registrations.withdraw(bench.registration(publisher), Cause.SILENT)
    bench.settle(0.1)
    assert queue.suspicion_count == 2

    bench.registrations.on_refused(D1, 3, 0.2, is_final=False)
    assert queue.suspicion_count == 1
    bench.publish(make_publisher(2, version=2))
    assert queue.suspicion_count == 0
    bench.settle(1.0)
    assert queue.suspicion_count == 1
    bench.queues.on_node_lost(D1)
    assert queue.suspicion_count == 0
