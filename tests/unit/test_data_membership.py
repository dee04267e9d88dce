"""A data node takes a new membership: what it drops, evicts and holds as unreconciled."""

import logging

from msgspec.structs import replace
from strategies import make_publisher
from test_data_core import (
    BOTH,
    CONFIG,
    ME,
    MOVED,
    NAME,
    NOT_PRIMARY,
    ONE,
    OTHER,
    P1,
    P2,
    S1,
    S2,
    TWO,
    TWO_NODES,
    ask,
    beat,
    follow,
    hear,
    held,
    hint,
    make_core,
    make_reconciled,
    membership,
    publish,
    refused,
    session,
    tell,
    to,
    v,
)

from zreg.data.core import DataCore
from zreg.effects import INFO, Broadcast, Connect, Effect, Link, Log
from zreg.errors import NotPrimaryError, UnknownNodeError
from zreg.model import ZERO, Cause, Incarnation, Removal, Status
from zreg.primitives.mirror import PUBLISHERS, Mirror
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.data_messages import CompareDigest, FetchChanges, PublishDatum, Snapshot
from zreg.wire.records.membership_messages import MembershipReply


def test_a_membership_without_changes_for_this_node_has_no_effects() -> None:
    core = make_core()
    publish(core)
    core.settle(0.0)

    assert follow(core, membership(*BOTH, session(Incarnation(8, "s3")), epoch=8)) == []
    assert core.epoch == 8
    assert P1 in held(core)


def test_datums_of_another_primary_are_dropped() -> None:
    core = make_reconciled()
    publish(core, name=MOVED)
    publish(core, name=NAME)
    core.settle(0.0)

    effects = follow(core, membership(*BOTH, epoch=9, ring_epoch=9, data=TWO_NODES))

    assert effects == [beat(S1, S2, sequences={NAME: 1, MOVED: 1})]
    assert held(core, MOVED) == {}
    assert P1 in held(core, NAME)


def test_ids_that_came_back_to_this_node_are_unreconciled_and_those_it_kept_are_not() -> None:
    core = make_reconciled()
    follow(core, membership(*BOTH, epoch=8, ring_epoch=8, data=TWO_NODES))
    follow(core, membership(*BOTH, epoch=9, ring_epoch=9))
    one = publish(core, name=NAME)
    core.settle(0.0)

    assert ask(core, FetchChanges(3, MOVED, ZERO)) == [
        to(ONE, Snapshot(3, MOVED, v(1, 9), (), 0, 0, is_known=False, is_unreconciled=True))
    ]
    assert ask(core, FetchChanges(4, NAME, ZERO)) == [
        to(ONE, Snapshot(4, NAME, v(1, 9), (one,), 0, 1))
    ]


def test_after_a_ring_that_the_node_did_not_see_all_ids_are_unreconciled() -> None:
    """Another node may have been the primary of an id meanwhile, and have taken a publisher."""
    core = make_reconciled()

    follow(core, membership(*BOTH, epoch=10, ring_epoch=10))

    assert ask(core, FetchChanges(3, NAME, ZERO)) == [
        to(ONE, Snapshot(3, NAME, v(0, 10), (), 0, 0, is_known=False, is_unreconciled=True))
    ]


def test_writes_merged_before_a_new_membership_get_versions_of_the_former_epoch() -> None:
    """The writes are hinted and accepted as if the turn had ended there, and then dropped."""
    core = make_reconciled()
    moved = publish(core, name=MOVED, request_id=1)
    kept = publish(core, name=NAME, request_id=2)

    effects = follow(core, membership(*BOTH, epoch=9, ring_epoch=9, data=TWO_NODES))

    assert effects == [
        hint(MOVED, ZERO, v(1), 1, moved),
        hint(NAME, ZERO, v(2), 1, kept),
        to(ONE, Accepted((1, 2))),
        beat(S1, S2, sequences={NAME: 1, MOVED: 1}),
    ]
    assert core.settle(0.0) == []
    later = publish(core, P2, name=NAME, request_id=3)
    assert core.settle(0.0) == [hint(NAME, v(2), v(3, 9), 2, later), to(ONE, Accepted((3,)))]


def test_publishers_of_a_departed_session_stay() -> None:
    core = make_reconciled()
    publish(core)
    core.settle(0.0)

    assert follow(core, membership(session(S1, Status.DEPARTED), session(S2), epoch=8)) == []
    assert P1 in held(core)


def reconcile(core: DataCore, of: Incarnation, peer: bytes) -> list[Effect]:
    """Let a session compare with an equal digest."""
    digest = core._store.buckets.by_session.of(of)
    compare = CompareDigest(core._placement.ring_epoch, digest.count, digest.value)
    return ask(core, compare, peer=peer)


def test_publishers_of_a_forgotten_session_are_evicted_when_all_living_sessions_are_equal() -> None:
    """That meta has forgotten a session proves nothing about where its clients are now."""
    core = make_reconciled()
    publish(core, P1, session=S1)
    two = publish(core, P2, session=S2)
    core.settle(0.0)

    assert follow(core, membership(session(S2), epoch=8)) == [beat(S2, sequences={NAME: 1})]
    assert P1 in held(core)
    effects = reconcile(core, S2, TWO)

    assert effects[1:] == [
        Log(INFO, "data.reconciled", {"ring_epoch": 5}),
        hint(NAME, v(1), v(2, 8), 2, Removal(P1, 1, Cause.EVICTED, S1)),
        beat(sequences={NAME: 2}),
    ]
    assert held(core) == {P2: two}


def test_a_publisher_of_a_session_long_gone_that_came_back_is_evicted_with_the_next_beat() -> None:
    """An old copy may have brought it back after the eviction."""
    core = make_reconciled()
    follow(core, membership(session(S2), epoch=8))
    reconcile(core, S2, TWO)
    core._store.put(NAME, make_publisher(P1, session=S1))
    core.settle(0.0)
    assert P1 in held(core)

    core.tick(1.0)

    assert held(core) == {}


def test_a_client_that_reaches_another_session_after_the_forgetting_is_not_evicted() -> None:
    core = make_reconciled()
    publish(core, P1, session=S1)
    core.settle(0.0)
    follow(core, membership(session(S2), epoch=8))

    publish(core, P1, version=2, session=S2, peer=TWO)
    core.settle(0.0)
    reconcile(core, S2, TWO)

    assert P1 in held(core)


def test_without_a_living_session_no_publisher_is_evicted() -> None:
    core = make_reconciled()
    publish(core, P1, session=S1)
    core.settle(0.0)

    follow(core, membership(epoch=8))

    assert P1 in held(core)


def test_a_publisher_that_moved_to_another_session_in_time_is_not_evicted() -> None:
    core = make_reconciled()
    publish(core, version=2, session=S1)
    core.settle(0.0)
    publish(core, version=3, session=S2, peer=TWO)
    core.settle(0.0)

    follow(core, membership(session(S2), epoch=8))
    reconcile(core, S2, TWO)
    assert P1 in held(core)


def test_a_publisher_of_a_session_that_this_node_has_not_seen_yet_is_not_evicted() -> None:
    """A replica that is ahead of its primary may have offered the publisher."""
    core = make_reconciled()
    later = make_publisher(P1, session=Incarnation(9, "s9"))
    core._store.put(NAME, later)
    core.settle(0.0)

    assert follow(core, membership(*BOTH, epoch=8)) == []
    assert held(core) == {P1: later}
    follow(core, membership(*BOTH, epoch=9))

    assert held(core) == {}, "at epoch 9 it is known to be no member"


def test_an_older_copy_in_the_turn_of_an_eviction_does_not_hide_the_eviction() -> None:
    core = make_reconciled()
    evicted = publish(core, version=8, session=S1)
    core.settle(0.0)
    mirror = Mirror(PUBLISHERS)
    mirror.snapshot(v(1), [evicted])

    effects = follow(core, membership(session(S2), epoch=8))
    effects += reconcile(core, S2, TWO)
    older = publish(core, version=2, session=S2, peer=TWO)
    effects += core.settle(0.0)

    assert tell(mirror, effects)
    assert mirror.content == held(core) == {P1: older}


def test_the_node_beats_at_once_when_it_is_unreconciled_with_fewer_sessions() -> None:
    """Followers fetch again what they took under the longer list."""
    core = make_core()

    assert follow(core, membership(session(S2), epoch=8)) == [beat(S2)]


def test_losing_the_incarnation_drops_all_datums_and_refuses_all_requests() -> None:
    """Its datums may become stale while it is no member; the sessions send them again."""
    core = make_reconciled()
    publish(core)
    core.settle(0.0)

    effects = hear(core, Refused(2, UnknownNodeError.code, "join again"))

    gone = Log(logging.WARNING, "node.incarnation.gone", {"detail": "join again"})
    assert effects == [gone]
    assert core.statistics()["publishers"] == 0
    assert ask(core, FetchChanges(3, NAME, ZERO)) == [refused(3, NotPrimaryError, NOT_PRIMARY)]
    assert all(not isinstance(e, Broadcast) for e in core.tick(CONFIG.beat_seconds))


def test_writes_merged_before_the_incarnation_was_lost_are_still_accepted() -> None:
    core = make_reconciled()
    one = publish(core)

    effects = hear(core, Refused(2, UnknownNodeError.code, ""))

    assert effects[1:] == [hint(NAME, ZERO, v(1), 1, one), to(ONE, Accepted((1,)))]
    assert core.settle(0.0) == []


def test_a_new_incarnation_starts_empty_and_its_versions_go_on() -> None:
    """It compares with all sessions again; its versions go on, so none is given twice."""
    core = make_reconciled()
    publish(core)
    core.settle(0.0)
    hear(core, Refused(2, UnknownNodeError.code, ""))
    again = Incarnation(9, "d1")
    reply = MembershipReply(3, membership(*BOTH, epoch=9, ring_epoch=9, data=(again,)), again)

    hear(core, reply)

    assert repr(core) == "<DataCore d1@9 epoch=9 datums=0>"
    assert core.statistics()["unreconciled"] == 2
    one = publish(core)
    assert core.settle(0.0) == [hint(NAME, ZERO, v(2, 9), 2, one), to(ONE, Accepted((1,)))]
    assert ask(core, FetchChanges(3, OTHER, ZERO)) == [
        to(ONE, Snapshot(3, OTHER, v(2, 9), (), 0, 0, is_known=False, is_unreconciled=True))
    ]


def test_a_node_whose_id_another_process_took_refuses_writes_once_it_sees_that() -> None:
    """Two nodes that write at one epoch could give one version to two contents."""
    core = make_reconciled()
    successor = Incarnation(9, "d1")

    follow(core, membership(*BOTH, epoch=9, ring_epoch=9, data=(successor,)))

    assert ask(core, PublishDatum(1, NAME, make_publisher(P1, session=S1))) == [
        refused(1, NotPrimaryError, NOT_PRIMARY, 9)
    ]


def test_a_node_that_joins_gets_the_changes_of_what_it_will_own_under_the_same_ring() -> None:
    """It is a guest: `ring_epoch` stays, and nothing is compared again with sessions."""
    core = make_reconciled()
    guest = replace(ME, node_id="d2", incarnation_epoch=9)
    before = membership(*BOTH, epoch=9, ring_epoch=5)

    effects = follow(core, replace(before, members=(*before.members, guest)))

    assert effects == [Connect(Link.DATA, "d2@9", guest.address)]
    assert core.statistics()["unreconciled"] == 0
    assert core.statistics()["copies_wanted"] == 0
