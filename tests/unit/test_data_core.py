"""A data node: its writes, its answers to followers, and what a new membership changes."""

from collections.abc import Sequence
from random import Random

import pytest
from data_fakes import settle_answered
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import make_publisher, publisher_ids, seen

from zreg.config import Config, Limits
from zreg.data.core import DataCore
from zreg.effects import (
    BEAT_TOPIC,
    INFO,
    MEMBERSHIP_TOPIC,
    Broadcast,
    Connect,
    Disconnect,
    Effect,
    Emit,
    EpochSeen,
    HandedOver,
    HandOver,
    Link,
    Listen,
    Local,
    Log,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
    Stop,
)
from zreg.errors import (
    NotPrimaryError,
    NotReadyError,
    RefusedError,
    SessionGoneError,
    UnknownMessageError,
    UnknownNodeError,
)
from zreg.model import (
    ZERO,
    Cause,
    Change,
    DataInfoId,
    Incarnation,
    Member,
    Membership,
    Publisher,
    Removal,
    RingParameters,
    Role,
    Status,
    Version,
    data_info_id,
)
from zreg.primitives.mirror import PUBLISHERS, Mirror, Verdict
from zreg.primitives.ring import bucket_of, bucket_topic, ring_of
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Hello
from zreg.wire.records.common_messages import (
    Accepted,
    FetchHops,
    HopKind,
    HopsReply,
    Ping,
    Pong,
    Refused,
)
from zreg.wire.records.data_messages import (
    Beat,
    Changed,
    Changes,
    CompareDigest,
    ComparePublishers,
    CompareVersions,
    DatumsListed,
    DatumSummary,
    DigestCompared,
    FetchChanges,
    ListDatums,
    NodeHello,
    PublishDatum,
    PublishersCompared,
    Snapshot,
    UnpublishDatum,
    Versions,
)
from zreg.wire.records.membership_messages import FetchMembership, Join, Leave, MembershipReply

META = "tcp://meta:9610"
CONFIG = Config(meta_addresses=(META,))
ME = Member("d1", Role.DATA, 0, Status.INITIAL, "tcp://d1:1", "tcp://d1:2", process_id=b"p" * 16)
D1 = Incarnation(5, "d1")
S1, S2 = Incarnation(3, "s1"), Incarnation(4, "s2")
P1, P2 = b"\x01" * 16, b"\x02" * 16
ONE, TWO = b"peer of s1", b"peer of s2"
EPOCH = 7


class NoJitter(Random):
    """Draws the upper end, so that a pause is the present bound of its backoff."""

    def random(self) -> float:
        return 1.0


def session(incarnation: Incarnation, status: Status = Status.WORKING) -> Member:
    return Member(incarnation.node_id, Role.SESSION, incarnation.epoch, status, "tcp://s:1")


def membership(
    *sessions: Member,
    epoch: int = EPOCH,
    ring_epoch: int = 5,
    data: Sequence[Incarnation] = (D1,),
) -> Membership:
    """Return a membership without a meta node, so that there are no announcements."""
    nodes = [
        replace(ME, node_id=node.node_id, incarnation_epoch=node.epoch, status=Status.WORKING)
        for node in data
    ]
    ring = RingParameters(virtual_node_count=8)
    return Membership(b"A" * 16, epoch, ring_epoch, ring, (*sessions, *nodes))


BOTH = (session(S1), session(S2))
TWO_NODES = (D1, Incarnation(6, "d2"))


def names_of(node_id: str, count: int) -> list[DataInfoId]:
    """Return ids that a node owns when `d1` and `d2` share them."""
    ring = ring_of(membership(data=TWO_NODES))
    names = (data_info_id(f"service-{number}") for number in range(1000))
    return [name for name in names if ring.primary(name) == node_id][:count]


NAME, OTHER = names_of("d1", 2)
(MOVED,) = names_of("d2", 1)


def make_starting() -> DataCore:
    """Return a core that has just sent its first join, as request 1."""
    core = DataCore(ME, CONFIG, rng=NoJitter(), now=0.0)
    assert core.start(0.0) == [Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC)]
    assert core.tick(0.0) == [Connect(Link.META, META, META)]
    assert core.receive(Link.LOCAL, "", PeerUp(Link.META, META), 0.0) == [
        Send(Link.META, META, Join(1, ME, b"", 0, reports_ready=True))
    ]
    return core


def make_core(*sessions: Member) -> DataCore:
    """Return a member that knows the sessions of `ONE` and `TWO`, and is unreconciled with them."""
    core = make_starting()
    hear(core, MembershipReply(1, membership(*(sessions or BOTH)), D1))
    assert core.epoch == EPOCH
    assert ask(core, NodeHello(S1)) == []
    assert ask(core, NodeHello(S2), peer=TWO) == []
    return core


def make_reconciled() -> DataCore:
    core = make_core()
    for peer in (ONE, TWO):
        ask(core, CompareDigest(5, 0, 0), peer=peer)
    return core


def hear(core: DataCore, message: Message, now: float = 0.0) -> list[Effect]:
    """Let meta send a message."""
    return list(core.receive(Link.META, META, message, now))


def follow(core: DataCore, to: Membership, now: float = 0.0) -> list[Effect]:
    return hear(core, MembershipReply(99, to), now)


def ask(core: DataCore, message: Message, now: float = 0.0, *, peer: bytes = ONE) -> list[Effect]:
    return list(core.receive(Link.REQUESTS, peer, message, now))


def publish(
    core: DataCore,
    key: bytes = P1,
    *,
    name: DataInfoId = NAME,
    version: int = 1,
    session: Incarnation = S1,
    request_id: int = 1,
    peer: bytes = ONE,
) -> Publisher:
    """Publish without ending the turn; return the publisher."""
    publisher = make_publisher(key, version=version, session=session)
    assert ask(core, PublishDatum(request_id, name, publisher), peer=peer) == []
    return publisher


def unpublish(
    core: DataCore, key: bytes, version: int, *, request_id: int = 2, name: DataInfoId = NAME
) -> Removal:
    removal = Removal(key, version, Cause.UNPUBLISHED)
    assert ask(core, UnpublishDatum(request_id, name, (removal,))) == []
    return removal


def to(peer: bytes, message: Message) -> Effect:
    return Send(Link.REQUESTS, peer, message)


def refused(request_id: int, error: type[RefusedError], detail: str, epoch: int = EPOCH) -> Effect:
    return to(ONE, Refused(request_id, error.code, detail, epoch))


def hint(
    name: DataInfoId,
    source: Version,
    version: Version,
    sequence: int,
    *what: Publisher | Removal,
) -> Effect:
    upserts = tuple(item for item in what if isinstance(item, Publisher))
    removals = tuple(item for item in what if isinstance(item, Removal))
    changed = Changed(name, source, version, sequence, upserts, removals)
    return Broadcast(Link.CHANGES, bucket_topic(bucket_of(name)), changed)


def beat(*unreconciled: Incarnation, sequences: dict[DataInfoId, int] | None = None) -> Effect:
    counts = [0] * Limits.bucket_count
    for name, sequence in (sequences or {}).items():
        counts[bucket_of(name)] = sequence
    return Broadcast(Link.CHANGES, BEAT_TOPIC, Beat(D1, tuple(counts), unreconciled))


def v(counter: int, epoch: int = EPOCH) -> Version:
    return Version(epoch, counter)


def held(core: DataCore, name: DataInfoId = NAME) -> dict[bytes, Publisher]:
    datum = core._store.find(name)
    return {} if datum is None else datum.publishers


NOT_PRIMARY = "this data node is not the primary of that id: compare epochs, then ask the primary"


# --- writes ---------------------------------------------------------------------------------------


def test_a_publish_is_hinted_and_then_accepted_at_the_end_of_the_turn() -> None:
    core = make_core()

    one = publish(core)

    assert core.settle(0.0) == [hint(NAME, ZERO, v(1), 1, one), to(ONE, Accepted((1,)))]
    assert core.settle(0.0) == []


def test_all_writes_of_one_turn_to_a_datum_are_one_hint() -> None:
    core = make_core()
    one = publish(core, P1, request_id=1)
    two = publish(core, P2, request_id=2, session=S2, peer=TWO)
    other = publish(core, P1, name=OTHER, request_id=3)

    assert core.settle(0.0) == [
        hint(NAME, ZERO, v(1), 1, one, two),
        hint(OTHER, ZERO, v(2), 1, other),
        to(ONE, Accepted((1, 3))),
        to(TWO, Accepted((2,))),
    ]


def test_hints_of_a_bucket_are_numbered() -> None:
    core = make_core()
    publish(core)
    core.settle(0.0)
    two = publish(core, P2, request_id=2)

    assert core.settle(0.0) == [hint(NAME, v(1), v(2), 2, two), to(ONE, Accepted((2,)))]


def test_a_large_change_is_hinted_without_its_content() -> None:
    core = make_core()
    body = bytes(Limits.inline_change_bytes_max)
    ask(core, PublishDatum(1, NAME, make_publisher(P1, session=S1, body=body)))

    changed = Changed(NAME, ZERO, v(1), 1)
    assert core.settle(0.0) == [
        Broadcast(Link.CHANGES, bucket_topic(bucket_of(NAME)), changed),
        to(ONE, Accepted((1,))),
    ]


def test_a_replay_through_another_session_is_accepted_without_a_hint() -> None:
    core = make_core()
    publish(core, version=2)
    core.settle(0.0)
    publish(core, version=3, session=S2, request_id=4, peer=TWO)

    assert core.settle(0.0) == [to(TWO, Accepted((4,)))]


def test_a_late_or_repeated_write_is_accepted_and_changes_nothing() -> None:
    core = make_core()
    two = publish(core, version=2)
    core.settle(0.0)
    publish(core, version=2, request_id=2)
    publish(core, version=1, request_id=3)

    assert core.settle(0.0) == [to(ONE, Accepted((2, 3)))]
    assert held(core) == {P1: two}


def test_an_unpublish_is_hinted_and_accepted_and_a_late_publish_does_not_undo_it() -> None:
    core = make_core()
    publish(core, version=2)
    core.settle(0.0)
    removal = unpublish(core, P1, 2, request_id=5)

    assert core.settle(0.0) == [hint(NAME, v(1), v(2), 2, removal), to(ONE, Accepted((5,)))]
    publish(core, version=2, request_id=6)
    assert core.settle(0.0) == [to(ONE, Accepted((6,)))]
    assert held(core) == {}


def test_an_unpublish_of_an_unknown_publisher_is_hinted_too() -> None:
    core = make_core()
    removal = unpublish(core, P1, 2, request_id=5)

    assert core.settle(0.0) == [hint(NAME, ZERO, v(1), 1, removal), to(ONE, Accepted((5,)))]


def test_a_write_for_another_primary_is_refused() -> None:
    """A session that missed a membership learns the epoch up to which it has to fetch."""
    core = make_core()
    follow(core, membership(*BOTH, epoch=9, ring_epoch=9, data=TWO_NODES))

    effects = ask(core, PublishDatum(1, MOVED, make_publisher(P1, session=S1)))
    effects += ask(core, UnpublishDatum(2, MOVED, (Removal(P1, 1, Cause.BYE),)))
    effects += ask(core, FetchChanges(3, MOVED, ZERO))

    assert effects == [refused(number, NotPrimaryError, NOT_PRIMARY, 9) for number in (1, 2, 3)]
    assert core.settle(0.0) == []


def test_a_node_that_meta_has_not_admitted_refuses_all_requests() -> None:
    core = make_starting()

    effects = ask(core, PublishDatum(1, NAME, make_publisher(P1, session=S1)))
    effects += ask(core, UnpublishDatum(2, NAME, (Removal(P1, 1, Cause.BYE),)))
    effects += ask(core, FetchChanges(3, NAME, ZERO))

    assert effects == [refused(number, NotPrimaryError, NOT_PRIMARY, 0) for number in (1, 2, 3)]


def test_a_session_from_a_later_epoch_makes_the_node_fetch_the_membership() -> None:
    core = make_core()
    newer = Incarnation(EPOCH + 1, "s3")

    effects = ask(core, PublishDatum(1, NAME, make_publisher(P1, session=newer)))

    detail = "s3@8 joined at an epoch that this node has not seen yet: send again"
    assert effects == [
        Send(Link.META, META, FetchMembership(2, b"A" * 16, EPOCH)),
        refused(1, NotReadyError, detail),
    ]
    follow(core, membership(*BOTH, session(newer), epoch=8))
    publish(core, session=newer)
    assert core.settle(0.0)[-1] == to(ONE, Accepted((1,)))


@pytest.mark.parametrize("session", [Incarnation(2, "s1"), Incarnation(7, "s9")])
def test_a_publisher_of_a_session_that_is_not_in_the_membership_is_refused(
    session: Incarnation,
) -> None:
    core = make_core()

    effects = ask(core, PublishDatum(1, NAME, make_publisher(P1, session=session)))

    detail = f"{session} is not a member (any more): join again, then have the clients replay"
    assert effects == [refused(1, SessionGoneError, detail)]
    assert core.settle(0.0) == []


def test_a_data_node_cannot_register_publishers() -> None:
    core = make_core()

    (effect,) = ask(core, PublishDatum(1, NAME, make_publisher(P1, session=D1)))

    assert isinstance(effect, Send)
    assert isinstance(effect.message, Refused)
    assert effect.message.code == SessionGoneError.code


def test_a_departed_session_registers_no_publisher_but_keeps_those_that_it_has() -> None:
    """They would be evicted with it, however little of its grace is left."""
    core = make_core()
    kept = publish(core)
    core.settle(0.0)
    follow(core, membership(session(S1, Status.DEPARTED), session(S2), epoch=8))

    (effect,) = ask(core, PublishDatum(2, NAME, make_publisher(P2, session=S1)))

    detail = f"{S1} is not a member (any more): join again, then have the clients replay"
    assert effect == to(ONE, Refused(2, SessionGoneError.code, detail, 8))
    assert held(core) == {P1: kept}


def test_a_session_that_is_gone_may_still_unpublish() -> None:
    """A removal is true, whichever session reports it."""
    core = make_core()
    publish(core)
    core.settle(0.0)
    follow(core, membership(session(S2), epoch=8))
    removal = unpublish(core, P2, 3)

    assert core.settle(0.0) == [hint(NAME, v(1), v(2, 8), 2, removal), to(ONE, Accepted((2,)))]


@pytest.mark.parametrize("cause", [Cause.CLOSED, Cause.SILENT])
@pytest.mark.parametrize("status", [Status.DEPARTED, None], ids=["departed", "forgotten"])
def test_a_suspicion_of_a_departed_session_removes_nothing(
    cause: Cause, status: Status | None
) -> None:
    """The session was stopped or cut off itself; its clients left it and live elsewhere."""
    core = make_reconciled()
    kept = publish(core)
    core.settle(0.0)
    members = [session(S2), *([session(S1, status)] if status is not None else [])]
    follow(core, membership(*members, epoch=8))

    removal = Removal(P1, 1, cause, S1)
    assert ask(core, UnpublishDatum(7, NAME, (removal,))) == []

    assert settle_answered(core) == [to(ONE, Accepted((7,)))]
    assert held(core) == {P1: kept}


def test_a_publisher_id_of_another_client_is_refused() -> None:
    core = make_core()
    publish(core)
    core.settle(0.0)
    other = replace(make_publisher(P1, version=2, session=S2), client_id=b"o" * 16)

    effects = ask(core, PublishDatum(2, NAME, other), peer=TWO)

    detail = "this publisher id belongs to another client: publish under a new id"
    refusal = Refused(2, RefusedError.code, detail, EPOCH)
    assert effects == [to(TWO, refusal)]
    assert core.settle(0.0) == []


def test_very_many_acceptances_are_cut_into_records() -> None:
    core = make_core()
    for _ in range(Limits.ids_per_record_max + 1):
        publish(core, request_id=6)

    accepted = [e.message for e in core.settle(0.0) if isinstance(e, Send)]

    assert accepted == [Accepted((6,) * Limits.ids_per_record_max), Accepted((6,))]


# --- fetches --------------------------------------------------------------------------------------


def test_a_fetch_is_answered_with_the_changes_since_the_followers_version() -> None:
    core = make_reconciled()
    publish(core)
    core.settle(0.0)
    two = publish(core, P2)
    core.settle(0.0)

    effects = ask(core, FetchChanges(3, NAME, v(1), v(2)))

    assert effects == [to(ONE, Changes(3, NAME, (Change(v(1), v(2), (two,), ()),), 2))]


def test_a_fetch_without_a_copy_is_answered_with_a_snapshot() -> None:
    core = make_reconciled()
    one = publish(core)
    core.settle(0.0)

    assert ask(core, FetchChanges(3, NAME, ZERO)) == [
        to(ONE, Snapshot(3, NAME, v(1), (one,), 0, 1))
    ]


def test_a_fetch_in_the_middle_of_a_turn_sees_the_writes_before_it() -> None:
    core = make_reconciled()
    one = publish(core)

    assert ask(core, FetchChanges(3, NAME, ZERO), peer=TWO) == [
        hint(NAME, ZERO, v(1), 1, one),
        to(TWO, Snapshot(3, NAME, v(1), (one,), 0, 1)),
    ]
    assert core.settle(0.0) == [to(ONE, Accepted((1,)))]


def test_a_follower_with_a_higher_version_gets_a_version_above_its_own() -> None:
    """It saw another history; the copies of other followers do not change by that."""
    core = make_reconciled()
    one = publish(core)
    core.settle(0.0)

    effects = ask(core, FetchChanges(3, NAME, Version(6, 80), v(1)))
    assert effects == [to(ONE, Snapshot(3, NAME, v(1), (one,), 0, 1))]

    follow(core, membership(*BOTH, epoch=9))
    effects = ask(core, FetchChanges(5, NAME, v(1), Version(8, 80)))
    change = Change(v(1), v(2, 9), (), ())
    assert effects == [
        hint(NAME, v(1), v(2, 9), 2),
        to(ONE, Changes(5, NAME, (change,), 2)),
    ]


@pytest.mark.parametrize(
    "fetch",
    [FetchChanges(3, NAME, ZERO, Version(9, 1)), FetchChanges(3, NAME, Version(9, 1))],
    ids=["seen", "copy"],
)
def test_a_follower_from_a_later_epoch_makes_the_node_fetch_the_membership(
    fetch: FetchChanges,
) -> None:
    core = make_reconciled()
    publish(core)
    core.settle(0.0)

    assert ask(core, fetch) == [
        Send(Link.META, META, FetchMembership(2, b"A" * 16, EPOCH)),
        refused(
            3, NotReadyError, "this data node has not seen the epoch of that version yet: ask again"
        ),
    ]


def test_the_answer_that_there_is_no_datum_carries_the_present_version() -> None:
    core = make_reconciled()
    publish(core, name=OTHER)
    core.settle(0.0)

    assert ask(core, FetchChanges(3, NAME, ZERO)) == [
        to(ONE, Snapshot(3, NAME, v(1), (), 0, 0, is_known=False))
    ]


@pytest.mark.parametrize(
    "fetch",
    [
        FetchChanges(3, NAME, v(1)),
        FetchChanges(3, NAME, ZERO, v(1)),
        FetchChanges(3, NAME, ZERO, ZERO, is_unsure=True),
    ],
)
def test_the_answer_that_there_is_no_datum_has_a_version_above_all_that_the_follower_saw(
    fetch: FetchChanges,
) -> None:
    core = make_reconciled()
    publish(core, name=OTHER)
    core.settle(0.0)

    assert ask(core, fetch) == [to(ONE, Snapshot(3, NAME, v(2), (), 0, 0, is_known=False))]


def test_an_unsure_follower_gets_a_snapshot_with_a_new_version() -> None:
    core = make_reconciled()
    one = publish(core)
    core.settle(0.0)

    assert ask(core, FetchChanges(3, NAME, v(1), v(1), is_unsure=True)) == [
        hint(NAME, v(1), v(2), 2),
        to(ONE, Snapshot(3, NAME, v(2), (one,), 0, 2)),
    ]


def test_all_unsure_followers_share_one_new_version() -> None:
    """Each of them fetches again when it hears of the new version of the first one."""
    core = make_reconciled()
    one = publish(core)
    core.settle(0.0)
    ask(core, FetchChanges(3, NAME, v(1), v(1), is_unsure=True))

    for saw in map(v, (1, 2)):
        assert ask(core, FetchChanges(4, NAME, v(1), saw, is_unsure=True), peer=TWO) == [
            to(TWO, Snapshot(4, NAME, v(2), (one,), 0, 2))
        ]


def test_a_change_that_crosses_the_fetch_of_an_unsure_follower_hides_no_removal() -> None:
    """Its hint moves the unsure copy to the version of the answer, which drops a publisher there.

    Without a new version nothing of that would be pushed (seed 43 of the cluster workload).
    """
    core = make_reconciled()
    one = publish(core)
    core.settle(0.0)
    two = publish(core, P2, session=S2, peer=TWO)
    core.settle(0.0)

    assert ask(core, FetchChanges(3, NAME, v(1), v(1), is_unsure=True)) == [
        hint(NAME, v(2), v(3), 3),
        to(ONE, Snapshot(3, NAME, v(3), (one, two), 0, 3)),
    ]


def test_answers_say_that_the_node_is_unreconciled() -> None:
    """A missing publisher may still exist, so a new version would promise too much."""
    core = make_core()
    one = publish(core)
    core.settle(0.0)

    assert ask(core, FetchChanges(3, NAME, v(1), v(1), is_unsure=True)) == [
        to(ONE, Snapshot(3, NAME, v(1), (one,), 0, 1, is_unreconciled=True))
    ]
    assert ask(core, FetchChanges(4, OTHER, ZERO)) == [
        to(ONE, Snapshot(4, OTHER, v(1), (), 0, 0, is_known=False, is_unreconciled=True))
    ]


def test_an_empty_datum_is_known() -> None:
    core = make_reconciled()
    unpublish(core, P1, 1)
    core.settle(0.0)

    assert ask(core, FetchChanges(3, NAME, ZERO)) == [to(ONE, Snapshot(3, NAME, v(1), (), 0, 1))]


# --- comparisons and other requests ---------------------------------------------------------------


def test_versions_are_compared_with_the_sequence_of_the_bucket() -> None:
    core = make_core()
    publish(core)
    core.settle(0.0)
    bucket = bucket_of(NAME)

    assert ask(core, CompareVersions(4, bucket, ((NAME, Version(6, 9)),))) == [
        to(ONE, Versions(4, bucket, ((NAME, v(1)),), 1))
    ]


def test_publishers_are_compared_with_those_that_the_session_registered() -> None:
    core = make_core()
    publish(core, P1, session=S1)
    publish(core, P2, session=S2)

    effects = ask(core, ComparePublishers(0, 255, ((P2, 1),)))

    assert effects == [to(ONE, PublishersCompared((P2,), ((NAME, P1, 1),)))]


def test_a_peer_without_a_hello_is_asked_for_one_before_its_publishers_are_compared() -> None:
    core = make_starting()

    effects = ask(core, ComparePublishers(0, 255, ()))

    assert effects == [refused(0, UnknownNodeError, "say NodeHello first", 0)]


def test_a_digest_is_compared_with_that_of_the_session() -> None:
    core = make_core()
    publish(core, P1, session=S1)
    held_digest = core._store.buckets.by_session.of(S1)

    equal = ask(core, CompareDigest(5, 1, held_digest.value))
    other_count = ask(core, CompareDigest(5, 2, held_digest.value))
    other_value = ask(core, CompareDigest(5, 1, held_digest.value ^ 1))

    assert equal == [to(ONE, DigestCompared(5, is_equal=True))]
    assert other_count == other_value == [to(ONE, DigestCompared(5, is_equal=False))]


def test_the_last_equal_digest_reconciles_the_node_and_it_beats_at_once() -> None:
    core = make_core()

    assert ask(core, CompareDigest(5, 1, 0)) == [to(ONE, DigestCompared(5, is_equal=False))]
    assert ask(core, CompareDigest(5, 0, 0)) == [to(ONE, DigestCompared(5, is_equal=True))]
    assert core.statistics()["unreconciled"] == 1
    assert ask(core, CompareDigest(5, 0, 0), peer=TWO) == [
        to(TWO, DigestCompared(5, is_equal=True)),
        Log(INFO, "data.reconciled", {"ring_epoch": 5}),
        beat(),
    ]
    assert ask(core, CompareDigest(5, 0, 0), peer=TWO) == [
        to(TWO, DigestCompared(5, is_equal=True))
    ]


def test_a_digest_of_another_ring_is_not_answered_and_an_unidentified_peer_is_asked_who_it_is() -> (
    None
):
    core = make_core()

    assert ask(core, CompareDigest(4, 0, 0)) == []
    assert ask(core, CompareDigest(6, 0, 0)) == []
    asked = Refused(0, UnknownNodeError.code, "say NodeHello first", EPOCH)
    assert ask(core, CompareDigest(5, 0, 0), peer=b"peer of none") == [to(b"peer of none", asked)]
    assert core.statistics()["unreconciled"] == 2


def test_a_session_that_rejoined_is_known_by_its_new_incarnation() -> None:
    core = make_core()
    ask(core, NodeHello(Incarnation(9, "s1")))

    assert ask(core, CompareDigest(5, 0, 0)) == [to(ONE, DigestCompared(5, is_equal=True))]
    assert core.statistics()["unreconciled"] == 2


def test_datums_are_listed() -> None:
    core = make_core()
    publish(core)
    core.settle(0.0)

    # It has not compared with the sessions yet, so it may lack some.
    listed = DatumsListed(5, (DatumSummary(NAME, v(1), 1),), is_unsure=True, ring_epoch=5)
    assert ask(core, ListDatums(5, "*")) == [to(ONE, listed)]


def test_a_ping_is_answered_and_a_pong_is_not() -> None:
    core = make_core()

    assert ask(core, Ping()) == [to(ONE, Pong())]
    assert ask(core, Pong()) == []


def test_a_client_at_a_data_node_is_told_to_connect_to_a_session() -> None:
    core = make_core()

    detail = (
        "a data node does not take Hello: ask a session (--url, by default port 9600), or meta for "
        "nodes and settings (--meta, 9610)"
    )
    assert ask(core, Hello(1, b"c" * 16)) == [refused(0, UnknownMessageError, detail)]


def test_a_lost_connection_is_forgotten_and_its_writes_stay() -> None:
    core = make_core()
    one = publish(core)

    assert core.receive(Link.LOCAL, "", PeerLost(Link.REQUESTS, ONE), 0.0) == []

    assert core.settle(0.0) == [hint(NAME, ZERO, v(1), 1, one)]
    assert ask(core, CompareDigest(5, 0, 0)) == [
        refused(0, UnknownNodeError, "say NodeHello first")
    ]
    assert core.statistics()["sessions"] == 1


def test_a_session_that_does_not_read_is_disconnected() -> None:
    """It connects again and compares; its acceptances are lost with the connection."""
    core = make_core()
    one = publish(core)

    assert core.receive(Link.LOCAL, "", PeerSlow(Link.REQUESTS, ONE), 0.0) == [
        Disconnect(Link.REQUESTS, ONE)
    ]

    assert core.settle(0.0) == [hint(NAME, ZERO, v(1), 1, one)]
    assert core.statistics()["sessions"] == 1


@pytest.mark.parametrize("event", [PeerLost(Link.REQUESTS, b"who"), EpochSeen(3)])
def test_events_of_unidentified_peers_change_nothing(event: Local) -> None:
    assert make_core().receive(Link.LOCAL, "", event, 0.0) == []


def test_a_node_that_stops_leaves_the_membership() -> None:
    core = make_core()

    assert core.receive(Link.LOCAL, "", Stop(), 0.0) == [Send(Link.META, META, Leave(2, D1))]


def test_a_node_that_never_joined_hands_nothing_over() -> None:
    core = make_starting()

    effects = [*core.receive(Link.LOCAL, "", HandOver(), 0.0), *core.settle(0.0)]
    assert effects == [Emit(HandedOver())]


def test_repr_and_statistics_show_the_sizes() -> None:
    core = make_core()
    publish(core)
    core.settle(0.0)
    ask(core, Hello(1, b"c" * 16))

    assert repr(core) == "<DataCore d1@5 epoch=7 datums=1>"
    assert core.statistics() == {
        "epoch": 7,
        "incarnation": "d1@5",
        "meta": META,
        "announcements": 0,
        "announcements_refused": 0,
        "ring_epoch": 5,
        "datums": 1,
        "publishers": 1,
        "copied_publishers": 0,
        "sessions": 2,
        "unreconciled": 2,
        "hints": 1,
        "beats": 0,
        "refusals": 1,
        "suspicions": 0,
        "publishers_refused": 0,
        "copies_in_sync": 0,
        "copies_wanted": 0,
        "waiting_for_replicas": 0,
        "replicas_late": 0,
        "repairs": 0,
        "copies_fetched": 0,
        "copies_offered": 0,
    }


# --- time -----------------------------------------------------------------------------------------


def test_a_session_whose_clients_have_to_replay_is_not_reconciled_with() -> None:
    """All data nodes died meanwhile: what the clients have not named yet exists nowhere else."""
    core = make_core()
    ask(core, CompareDigest(5, 0, 0), peer=ONE)

    waiting = CompareDigest(5, 0, 0, do_writes_wait=True)
    assert to(TWO, DigestCompared(5, is_equal=True)) in ask(core, waiting, peer=TWO)
    assert core.statistics()["unreconciled"] == 1

    ask(core, CompareDigest(5, 0, 0), peer=TWO)
    assert core.statistics()["unreconciled"] == 0


def test_a_member_beats_with_its_sequences_and_the_sessions_it_is_unreconciled_with() -> None:
    core = make_core()
    publish(core)
    core.settle(0.0)
    now = CONFIG.beat_seconds

    effects = core.tick(now)

    assert effects[-1] == beat(S1, S2, sequences={NAME: 1})
    assert all(not isinstance(effect, Broadcast) for effect in core.tick(now + 0.5))


def test_a_node_that_is_no_member_does_not_beat() -> None:
    core = make_starting()

    assert core.tick(CONFIG.beat_seconds) == [
        Send(Link.META, META, Join(2, ME, b"", 0, reports_ready=True))
    ]


def test_the_next_tick_is_the_earliest_due_time() -> None:
    core = DataCore(ME, CONFIG, rng=NoJitter(), now=1.0)
    assert core.next_tick_at() == 1.0

    core.tick(1.0)  # connecting: only the own beat and sweep are due
    assert core.next_tick_at() == 1.0 + CONFIG.beat_seconds

    core.receive(Link.LOCAL, "", PeerUp(Link.META, META), 1.5)
    assert core.next_tick_at() == 1.5 + CONFIG.renew_seconds


def test_the_sweep_drops_expired_tombstones() -> None:
    core = make_reconciled()
    unpublish(core, P1, 1)
    core.settle(0.0)

    core.tick(CONFIG.tombstone_seconds - 1.0)
    assert core.statistics()["datums"] == 1

    core.tick(CONFIG.tombstone_seconds + 10.0)
    assert core.statistics()["datums"] == 0
    (effect,) = ask(core, FetchChanges(3, NAME, v(1)))
    assert effect == to(ONE, Snapshot(3, NAME, v(2), (), 0, 1, is_known=False))


# --- what followers have in the end ---------------------------------------------------------------


def tell(mirror: Mirror[bytes, Publisher], effects: Sequence[Effect]) -> bool:
    """Give a follower the hints among some effects; return whether all of them fit its copy."""
    fits = True
    for effect in effects:
        if isinstance(effect, Broadcast) and isinstance(effect.message, Changed):
            m = effect.message
            verdict = mirror.hint(m.source_version, m.version, m.publishers, m.removals)
            fits = fits and verdict is Verdict.APPLIED
    return fits


def fetched(core: DataCore, mirror: Mirror[bytes, Publisher]) -> list[Effect]:
    """Let a follower fetch; return the hints that others get by that."""
    version = mirror.version if mirror.is_known else ZERO
    effects = ask(core, FetchChanges(3, NAME, version, mirror.highest_seen, mirror.is_unsure))
    for effect in effects:
        message = effect.message if isinstance(effect, Send) else None
        if isinstance(message, Snapshot):
            mirror.snapshot(message.version, message.publishers, is_partial=message.is_unreconciled)
        elif isinstance(message, Changes):
            for change in message.changes:
                mirror.hint(
                    change.source_version, change.version, change.publishers, change.removals
                )
    return [effect for effect in effects if not isinstance(effect, Send)]


happenings = st.one_of(
    st.tuples(st.just("publish"), publisher_ids, st.integers(1, 4), st.sampled_from([S1, S2])),
    st.tuples(st.just("unpublish"), publisher_ids, st.integers(1, 4), st.just(S1)),
    st.tuples(st.just("settle"), st.just(b""), st.just(0), st.just(S1)),
    st.tuples(st.just("forget"), st.just(b""), st.just(0), st.sampled_from([S1, S2])),
    st.tuples(st.just("fetch"), st.just(b""), st.just(0), st.just(S1)),
)


@given(st.lists(happenings, max_size=14))
def test_followers_by_hints_and_followers_by_fetches_have_what_the_node_has(
    steps: list[tuple[str, bytes, int, Incarnation]],
) -> None:
    """For any writes, and sessions that are forgotten in the middle of a turn."""
    core = make_reconciled()
    listener, fetcher = Mirror(PUBLISHERS), Mirror(PUBLISHERS)
    fetched(core, listener)
    living = [S1, S2]
    for kind, key, version, registering in steps:
        effects: list[Effect] = []
        if kind == "publish" and registering in living:
            publish(core, key, version=version, session=registering)
        elif kind == "unpublish":
            unpublish(core, key, version)
        elif kind == "settle":
            effects += core.settle(0.0)
        elif kind == "forget" and registering in living:
            living.remove(registering)
            members = [session(incarnation) for incarnation in living]
            effects += follow(core, membership(*members, epoch=core.epoch + 1))
        elif kind == "fetch":
            effects += fetched(core, fetcher)
        assert tell(listener, effects)
    assert tell(listener, core.settle(0.0))
    fetched(core, fetcher)

    assert seen(listener.content) == seen(fetcher.content) == seen(held(core))


def test_a_session_gets_the_membership_and_a_stranger_does_not() -> None:
    """A session that is cut off from meta learns in this way that it has departed."""
    core = make_core()
    reply = MembershipReply(4, membership(*BOTH))

    assert ask(core, FetchMembership(4)) == [to(ONE, reply)]
    (refusal,) = ask(core, FetchMembership(4), peer=b"stranger")
    assert isinstance(refusal, Send)
    assert isinstance(refusal.message, Refused)
    assert refusal.message.code == UnknownMessageError.code


def test_the_hops_of_a_change_are_told_and_a_lone_node_names_no_replica() -> None:
    core = make_reconciled()
    publish(core)
    core.settle(1.0)

    (answer,) = ask(core, FetchHops(9, NAME), 2.0)

    assert isinstance(answer, Send)
    assert isinstance(answer.message, HopsReply)
    assert answer.message.request_id == 9
    kinds = [hop.kind for hop in answer.message.hops]
    assert kinds == [HopKind.MERGED, HopKind.HINTED, HopKind.ACCEPTED]
    assert not any(hop.peer for hop in answer.message.hops)
