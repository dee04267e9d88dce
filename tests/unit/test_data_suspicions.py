"""A removal that a session concluded from silence waits while the client may live elsewhere."""

import pytest
from data_fakes import calls_of, settle_answered
from strategies import make_publisher
from test_data_core import (
    BOTH,
    CONFIG,
    EPOCH,
    MOVED,
    NAME,
    ONE,
    P1,
    P2,
    S1,
    S2,
    TWO,
    TWO_NODES,
    ask,
    follow,
    held,
    make_reconciled,
    membership,
    publish,
    session,
    to,
    unpublish,
)

from zreg.data.core import DataCore
from zreg.data.sessions.contacts import SessionContacts
from zreg.effects import CLOSED, TIMED_OUT, EpochSeen, Link, PeerLost
from zreg.errors import NotPrimaryError, UnknownNodeError
from zreg.model import Cause, Incarnation, Removal, Role, Status
from zreg.primitives.digest import DigestSum
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.data_messages import (
    CompareDigest,
    DigestCompared,
    NodeHello,
    Present,
    PublishDatum,
    UnpublishDatum,
    WritesWait,
)

GRACE = CONFIG.session_grace_seconds
S3 = Incarnation(8, "s3")


def make_core() -> DataCore:
    """Return a reconciled core that holds a publisher of S1."""
    core = make_reconciled()
    publish(core)
    core.settle(0.0)
    return core


def suspect(core: DataCore, cause: Cause = Cause.CLOSED, now: float = 0.0) -> None:
    removal = Removal(P1, 1, cause, S1)
    assert ask(core, UnpublishDatum(7, NAME, (removal,)), now) == []


def lose(core: DataCore, peer: bytes, now: float = 0.0) -> None:
    core.receive(Link.LOCAL, "", PeerLost(Link.REQUESTS, peer, TIMED_OUT), now)


def is_removed(core: DataCore, now: float) -> bool:
    """End a turn; return whether the suspicion was accepted in it."""
    accepted = to(ONE, Accepted((7,))) in settle_answered(core, now)
    assert accepted is (P1 not in held(core))
    return accepted


def test_a_suspicion_removes_once_all_sessions_have_answered() -> None:
    core = make_core()
    suspect(core)

    assert is_removed(core, 0.0)


@pytest.mark.parametrize("cause", [Cause.CLOSED, Cause.SILENT])
def test_a_suspicion_waits_while_a_session_that_may_hold_the_client_is_not_heard(
    cause: Cause,
) -> None:
    core = make_core()
    lose(core, TWO)
    suspect(core, cause)

    assert not is_removed(core, 0.0)
    assert core.statistics()["suspicions"] == 1
    ask(core, NodeHello(S2), 1.0, peer=b"again")
    assert is_removed(core, 1.0)


def test_the_client_that_published_again_elsewhere_is_not_removed() -> None:
    core = make_core()
    lose(core, TWO)
    suspect(core)
    settle_answered(core, 0.0)

    ask(core, NodeHello(S2), 1.0, peer=b"again")
    moved = publish(core, version=2, session=S2, peer=b"again")

    assert to(ONE, Accepted((7,))) in settle_answered(core, 1.0)
    assert held(core) == {P1: moved}


def test_a_suspicion_waits_while_this_node_has_not_seen_the_newest_membership() -> None:
    """The client may have moved to a session that joined at an epoch not seen here."""
    core = make_core()
    core.receive(Link.LOCAL, "", EpochSeen(8), 0.0)
    suspect(core)
    assert not is_removed(core, 0.0)

    follow(core, membership(*BOTH, session(S3), epoch=8), 0.1)
    assert not is_removed(core, 0.1), "the new session is not heard yet"
    ask(core, NodeHello(S3), 0.2, peer=b"three")
    assert is_removed(core, 0.2)


def test_a_suspicion_waits_while_a_session_has_writes_that_it_may_not_send_yet() -> None:
    """One of them may register the client again. Seed 30014 of the chaos workload found it."""
    core = make_core()
    ask(core, WritesWait(), peer=TWO)
    suspect(core)
    assert not is_removed(core, 0.0)

    moved = publish(core, version=2, session=S2, peer=TWO)
    assert to(ONE, Accepted((7,))) not in settle_answered(core, 0.1), "more may come"
    ask(core, CompareDigest(EPOCH, 1, 1), 0.2, peer=TWO)
    assert to(ONE, Accepted((7,))) in settle_answered(core, 0.2)
    assert held(core) == {P1: moved}


def test_a_digest_that_says_that_writes_wait_lets_no_suspicion_be_judged() -> None:
    """A client of that session has more to replay. Seed 50 of the chaos workload found it."""
    core = make_core()
    ask(core, CompareDigest(EPOCH, 0, 0, do_writes_wait=True), peer=TWO)
    suspect(core)
    assert not is_removed(core, 0.0)
    ask(core, CompareDigest(EPOCH, 0, 0, do_writes_wait=True), 1.0, peer=TWO)
    assert not is_removed(core, 1.0)

    ask(core, CompareDigest(EPOCH, 0, 0), 2.0, peer=TWO)
    assert is_removed(core, 2.0)


def test_a_session_that_rejoins_has_the_same_writes_to_send() -> None:
    core = make_core()
    ask(core, WritesWait(), peer=TWO)
    follow(core, membership(*BOTH, session(S3), epoch=8), 0.0)
    ask(core, NodeHello(S3), peer=TWO)
    lose(core, b"none")
    ask(core, NodeHello(S2), peer=b"again")
    suspect(core)
    assert not is_removed(core, 0.0)

    ask(core, CompareDigest(8, 1, 1), 0.2, peer=TWO)
    assert is_removed(core, 0.2)


@pytest.mark.parametrize("how", ["grace", "lost", "stranger"])
def test_writes_that_never_come_delay_a_suspicion_for_a_bounded_time(how: str) -> None:
    core = make_core()
    if how == "stranger":
        refused = Refused(0, UnknownNodeError.code, "say NodeHello first", EPOCH)
        assert ask(core, WritesWait(), peer=b"stranger") == [to(b"stranger", refused)]
    else:
        assert ask(core, WritesWait(), peer=TWO) == []
    suspect(core)
    assert is_removed(core, 0.0) is (how == "stranger")
    if how == "grace":
        assert is_removed(core, GRACE)
    elif how == "lost":
        lose(core, TWO)
        ask(core, NodeHello(S2), 1.0, peer=b"again")
        assert is_removed(core, 1.0)


@pytest.mark.parametrize("next_word", ["write", "digest"])
def test_a_suspicion_waits_for_the_writes_that_were_refused_while_this_node_was_behind(
    next_word: str,
) -> None:
    """The session of the refused write is heard and known by now, and sends the write again."""
    core = make_core()
    again = make_publisher(P1, version=2, session=S3)
    ask(core, NodeHello(S3), peer=b"three")
    ask(core, PublishDatum(5, NAME, again), peer=b"three")
    suspect(core)
    follow(core, membership(*BOTH, session(S3), epoch=8), 0.1)
    assert not is_removed(core, 0.1)

    if next_word == "write":
        ask(core, PublishDatum(6, NAME, again), 0.2, peer=b"three")
        assert to(ONE, Accepted((7,))) in settle_answered(core, 0.2)
        assert held(core) == {P1: again}
    else:
        ask(core, CompareDigest(5, 0, 0), 0.2, peer=b"three")
        assert is_removed(core, 0.2), "the session has nothing to send again"


@pytest.mark.parametrize("is_behind", [True, False])
def test_a_write_that_was_refused_for_its_primary_comes_again_if_this_node_was_behind(
    *, is_behind: bool
) -> None:
    core = make_core()
    follow(core, membership(*BOTH, epoch=8, ring_epoch=8, data=TWO_NODES), 0.0)
    ask(core, CompareDigest(8, 0, 0), peer=TWO)
    if is_behind:
        core.receive(Link.LOCAL, "", EpochSeen(9), 0.0)
    ask(core, PublishDatum(5, MOVED, make_publisher(P1, version=1, session=S1)), peer=TWO)
    suspect(core)
    follow(core, membership(*BOTH, epoch=9, ring_epoch=8, data=TWO_NODES), 0.1)

    settle_answered(core, 0.1)
    assert (P1 in held(core)) is is_behind


def test_a_publisher_whose_removal_waits_is_no_difference_between_the_digests() -> None:
    """The session counts it no longer; else both would compare again and again."""
    core = make_core()
    two = publish(core, P2)
    settle_answered(core, 0.0)
    lose(core, TWO)
    suspect(core)
    settle_answered(core, 0.0)
    digest = DigestSum()
    digest.add(two.publisher_id, two.version)

    assert ask(core, CompareDigest(5, digest.count, digest.value), 1.0) == [
        to(ONE, DigestCompared(5, is_equal=True))
    ]
    assert ask(core, CompareDigest(5, 0, 0), 1.0) == [to(ONE, DigestCompared(5, is_equal=False))]


def test_a_refused_write_that_is_withdrawn_delays_suspicions_until_the_next_digest() -> None:
    """Nothing comes again, which the digest shows although the removal waits."""
    core = make_core()
    core.receive(Link.LOCAL, "", EpochSeen(8), 0.0)
    ask(core, PublishDatum(5, NAME, make_publisher(P2, version=1, session=S3)))
    suspect(core)
    follow(core, membership(*BOTH, epoch=8), 0.1)
    assert not is_removed(core, 0.1)

    ask(core, CompareDigest(5, 0, 0), 0.5)

    assert is_removed(core, 0.5)


def test_a_suspicion_waits_no_longer_than_the_session_grace() -> None:
    core = make_core()
    core.receive(Link.LOCAL, "", EpochSeen(8), 0.0)
    suspect(core)

    assert not is_removed(core, GRACE - 0.1)
    assert is_removed(core, GRACE)


def test_a_suspicion_waits_its_whole_time_for_a_session_that_was_lost_some_time_before() -> None:
    """The client moved there just now, and what it registers waits for the connection."""
    core = make_core()
    lose(core, TWO)
    suspect(core, now=GRACE - 1.0)

    assert not is_removed(core, GRACE)
    core.receive(Link.LOCAL, "", EpochSeen(EPOCH + 1), GRACE + 1.0)
    follow(core, membership(*BOTH, epoch=EPOCH + 1), GRACE + 1.0)
    assert not is_removed(core, GRACE + 1.0)
    assert not is_removed(core, 2 * GRACE - 1.1)
    assert is_removed(core, 2 * GRACE - 1.0)


def test_a_session_that_was_not_heard_for_the_grace_delays_nothing() -> None:
    core = make_core()
    lose(core, TWO)

    suspect(core, now=GRACE)

    assert is_removed(core, GRACE)


@pytest.mark.parametrize("status", [Status.LEAVING, Status.DEPARTED])
def test_a_session_that_takes_no_clients_in_delays_nothing(status: Status) -> None:
    core = make_core()
    lose(core, TWO)
    follow(core, membership(session(S1), session(S2, status), epoch=8))
    suspect(core)

    assert is_removed(core, 0.0)


def test_what_a_client_says_itself_does_not_wait() -> None:
    core = make_core()
    lose(core, TWO)

    unpublish(core, P1, 1, request_id=7)

    assert is_removed(core, 0.0)


def test_a_suspicion_of_a_session_that_departs_meanwhile_removes_nothing() -> None:
    core = make_core()
    lose(core, TWO)
    suspect(core)
    follow(core, membership(session(S1, Status.DEPARTED), epoch=8), 0.1)

    assert to(ONE, Accepted((7,))) in settle_answered(core, 0.1)
    assert P1 in held(core)


def make_heir(cause: Cause = Cause.CLOSED) -> DataCore:
    """Return a core that has just become the primary of `MOVED`, and was told a removal."""
    core = make_core()
    follow(core, membership(*BOTH, epoch=8, ring_epoch=8, data=TWO_NODES), 0.0)
    follow(core, membership(*BOTH, epoch=9, ring_epoch=9), 0.0)
    assert ask(core, UnpublishDatum(7, MOVED, (Removal(P2, 1, cause, S1),)), 0.0) == []
    return core


@pytest.mark.parametrize("cause", [Cause.CLOSED, Cause.NOT_REPLAYED])
def test_a_new_primary_waits_for_each_session_that_may_hold_the_client(cause: Cause) -> None:
    """The other one learns later that this node is the primary now, and registers again."""
    core = make_heir(cause)
    accepted = to(ONE, Accepted((7,)))

    assert accepted not in settle_answered(core, 0.0)
    ask(core, CompareDigest(9, 0, 0), 0.1, peer=TWO)
    assert accepted not in settle_answered(core, 0.1)
    digest = core._store.buckets.by_session.of(S1)
    ask(core, CompareDigest(9, digest.count, digest.value), 0.2, peer=ONE)
    assert accepted in settle_answered(core, 0.2)


def test_a_new_primary_waits_for_no_session_longer_than_the_grace() -> None:
    core = make_heir()
    accepted = to(ONE, Accepted((7,)))

    assert accepted not in settle_answered(core, GRACE - 0.1)
    assert accepted in settle_answered(core, GRACE)


def depart_before_it_compares(core: DataCore) -> None:
    """Let S2 depart, and S1 compare with this new primary."""
    departed = session(S2, Status.DEPARTED)
    follow(core, membership(session(S1), departed, epoch=10, ring_epoch=9), 0.1)
    digest = core._store.buckets.by_session.of(S1)
    ask(core, CompareDigest(9, digest.count, digest.value), 0.2, peer=ONE)


@pytest.mark.parametrize("cause", [Cause.CLOSED, Cause.NOT_REPLAYED])
def test_a_new_primary_waits_for_clients_of_a_departed_session_until_it_is_forgotten(
    cause: Cause,
) -> None:
    """It may have had the client, and can tell nothing any more."""
    core = make_heir(cause)
    depart_before_it_compares(core)
    accepted = to(ONE, Accepted((7,)))

    assert accepted not in settle_answered(core, 5.0)
    follow(core, membership(session(S1), epoch=11, ring_epoch=9), 6.0)
    digest = core._store.buckets.by_session.of(S1)
    ask(core, CompareDigest(9, digest.count, digest.value), 6.1, peer=ONE)
    assert accepted in settle_answered(core, 6.1)


def test_a_new_primary_waits_for_no_departed_session_longer_than_the_grace() -> None:
    core = make_heir()
    depart_before_it_compares(core)
    accepted = to(ONE, Accepted((7,)))

    assert accepted not in settle_answered(core, GRACE - 0.1)
    assert accepted in settle_answered(core, GRACE)


def test_a_suspicion_is_refused_if_the_id_has_another_primary_when_it_is_judged() -> None:
    core = make_core()
    lose(core, TWO)
    suspect(core)
    elsewhere = Incarnation(6, "d2")
    follow(core, membership(session(S1), epoch=8, ring_epoch=8, data=(elsewhere,)), 0.1)

    (refusal,) = [e.message for e in settle_answered(core, 0.1) if isinstance(e.message, Refused)]  # type: ignore[union-attr]

    assert (refusal.request_id, refusal.code) == (7, NotPrimaryError.code)


@pytest.mark.parametrize("reason", [CLOSED, TIMED_OUT])
def test_suspicions_of_a_connection_that_is_gone_are_dropped(reason: str) -> None:
    core = make_core()
    lose(core, TWO)
    suspect(core)

    core.receive(Link.LOCAL, "", PeerLost(Link.REQUESTS, ONE, reason), 1.0)

    assert core.statistics()["suspicions"] == 0
    assert settle_answered(core, 2 * GRACE) == []
    assert P1 in held(core)


def test_a_publish_is_taken_while_a_suspicion_waits() -> None:
    core = make_core()
    lose(core, TWO)
    suspect(core)

    newer = publish(core, version=2, request_id=8)

    assert to(ONE, Accepted((8,))) in settle_answered(core, 0.0)
    ask(core, NodeHello(S2), 1.0, peer=b"again")
    settle_answered(core, 1.0)
    assert held(core) == {P1: newer}


def test_a_connection_that_says_it_is_another_session_is_that_one() -> None:
    contacts = SessionContacts(CONFIG)
    contacts.follow(membership(*BOTH), 0.0)
    contacts.on_node_hello(ONE, S1, 0.0)
    contacts.on_node_hello(ONE, S2, 1.0)

    assert contacts.of_peer(ONE) == S2
    assert contacts.has_unheard(1.0)
    contacts.on_node_hello(TWO, S1, 2.0)
    assert not contacts.has_unheard(2.0)


@pytest.mark.parametrize("is_said", [True, False])
def test_a_write_that_was_refused_is_not_awaited_from_a_session_that_departs(
    is_said: bool,  # noqa: FBT001
) -> None:
    """It comes again only from a member."""
    core = make_core()
    ask(core, NodeHello(S3), peer=b"three")
    refused = ask(core, PublishDatum(8, NAME, make_publisher(P2, session=S3)), peer=b"three")
    assert refused[-1].message.request_id == 8
    suspect(core)
    for peer, number in [(c.peer, c.message.number) for c in calls_of(core.settle(0.0))]:
        ask(core, Present(number), 0.1, peer=peer)
    assert P1 in held(core)

    if is_said:
        ask(core, NodeHello(S3, Role.SESSION, is_member=False), 0.2, peer=b"three")
    follow(core, membership(*BOTH, epoch=8), 0.2)
    for peer, number in [(c.peer, c.message.number) for c in calls_of(core.settle(0.2))]:
        ask(core, Present(number), 0.3, peer=peer)
    core.settle(0.4)
    assert P1 not in held(core)
