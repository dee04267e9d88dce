"""Followed views: snapshots, changes, confirmations, and the feeds that share a view."""

import msgspec
from client_fakes import (
    OTHER_CLUSTER,
    P1,
    P2,
    PAY,
    SESSION,
    V1,
    V2,
    WELCOME,
    acked,
    changed,
    connected,
    following,
    hear,
    local,
    make_core,
    publisher,
    reconnect,
    replayed,
    say,
    snapshot,
)

from zreg.client.core.commands import (
    AddSubscription,
    DropSubscription,
    SubscriptionRefused,
    ViewChanged,
)
from zreg.effects import Emit, Link, PeerUp
from zreg.errors import LimitError
from zreg.model import ZERO, Cause, Publisher, Removal, Scope, Version
from zreg.primitives.digest import UNSURE_DIGEST, view_digest
from zreg.wire.records.client_messages import (
    Push,
    ReplayDone,
    Subscribe,
    Unsubscribe,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Refused


def test_the_first_push_makes_the_view_known() -> None:
    core = connected()

    assert local(core, AddSubscription(1, PAY, Scope.GLOBAL)) == [
        say(Subscribe(1, PAY, Scope.GLOBAL, ZERO, 0))
    ]
    assert hear(core, Accepted((1,))) == []
    assert hear(core, snapshot(publisher())) == [say(acked()), changed(publisher())]


def test_an_empty_view_becomes_known_too() -> None:
    core = connected()
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))

    assert hear(core, snapshot()) == [say(acked()), changed()]


def test_a_change_that_starts_at_the_version_of_the_view_is_applied() -> None:
    core = following()
    gone = Removal(P1, 1, Cause.UNPUBLISHED)
    delta = Push(PAY, Scope.GLOBAL, V1, V2, (publisher(P2),), (gone,))

    assert hear(core, delta) == [
        say(acked(V2)),
        changed(
            publisher(P2),
            source=V1,
            version=V2,
            removals={P1: gone},
            former={P1: publisher()},
        ),
    ]
    assert hear(core, delta) == [say(acked(V2))]


def test_a_change_that_starts_at_another_version_is_answered_with_needs_snapshot() -> None:
    core = following()
    delta = Push(PAY, Scope.GLOBAL, Version(1, 5), Version(1, 6), (publisher(P2),))

    assert hear(core, delta) == [say(acked(needs_snapshot=True))]


def test_the_api_is_told_once_that_a_view_is_confirmed_after_a_reconnect() -> None:
    core = following()
    digest = view_digest([publisher()])
    assert reconnect(core) == [
        say(Subscribe(2, PAY, Scope.GLOBAL, V1, digest), "session-2"),
        say(ReplayDone(), "session-2"),
    ]
    current = Push(PAY, Scope.GLOBAL, V1, V1, ())

    assert hear(core, current, peer="session-2") == [
        say(acked(), "session-2"),
        changed(source=V1),
    ]
    assert hear(core, current, peer="session-2") == [say(acked(), "session-2")]


def test_a_view_of_another_cluster_is_only_replaced_by_a_snapshot() -> None:
    core = following()
    other = Welcome(1, SESSION, OTHER_CLUSTER, 3.0, 1.0)
    assert reconnect(core, other) == [
        say(Subscribe(2, PAY, Scope.GLOBAL, ZERO, 0), "session-2"),
        say(ReplayDone(), "session-2"),
    ]
    delta = Push(PAY, Scope.GLOBAL, V1, V2, ())

    assert hear(core, delta, peer="session-2") == [say(acked(needs_snapshot=True), "session-2")]
    lower = Version(0, 9)
    assert hear(core, snapshot(publisher(P2), version=lower), peer="session-2") == [
        say(acked(lower), "session-2"),
        changed(publisher(P2), version=lower, removals={P1: None}, former={P1: publisher()}),
    ]


def test_a_reset_replaces_the_view_even_at_a_lower_version() -> None:
    core = following()
    lower = Version(0, 1)
    reset = msgspec.structs.replace(snapshot(publisher(), version=lower), is_reset=True)

    effects = hear(core, reset)

    assert effects[0] == say(acked(lower))
    assert isinstance(effects[1], Emit)
    assert isinstance(effects[1].event, ViewChanged)
    assert effects[1].event.difference.removals == {}


def test_an_older_snapshot_changes_nothing_and_confirms_nothing() -> None:
    core = following()
    reconnect(core)

    assert hear(core, snapshot(version=Version(1, 0)), peer="session-2") == [
        say(acked(), "session-2")
    ]


def test_a_snapshot_of_an_unreconciled_primary_drops_nothing_and_is_never_called_current() -> None:
    core = following()
    partial = msgspec.structs.replace(snapshot(publisher(P2), version=V2), is_unreconciled=True)

    assert hear(core, partial) == [
        say(acked(V2)),
        changed(publisher(P2), source=V1, version=V2),
    ]
    subscribe = Subscribe(2, PAY, Scope.GLOBAL, V2, UNSURE_DIGEST)
    assert reconnect(core)[0] == say(subscribe, "session-2")


def part(*publishers: Publisher, left: int, version: Version = V2) -> Push:
    return msgspec.structs.replace(snapshot(*publishers, version=version), parts_left=left)


def test_a_snapshot_in_parts_is_applied_after_its_last_part() -> None:
    core = following()

    assert hear(core, part(publisher(), left=2)) == []
    assert hear(core, part(publisher(P2), left=1)) == []
    assert hear(core, part(left=0)) == [
        say(acked(V2)),
        changed(publisher(P2), source=V1, version=V2),
    ]


def test_a_snapshot_that_lacks_a_part_is_not_applied() -> None:
    core = following()
    hear(core, part(publisher(), left=3))

    assert hear(core, part(left=1)) == []
    assert hear(core, part(left=0)) == [say(acked(needs_snapshot=True))]


def test_the_parts_of_a_newer_snapshot_replace_those_of_an_unfinished_one() -> None:
    core = following()
    hear(core, part(publisher(P2), left=2))
    hear(core, part(publisher(P2), left=1, version=Version(1, 3)))

    assert hear(core, part(publisher(), left=1, version=Version(1, 3))) == []
    assert hear(core, part(left=0, version=Version(1, 3))) == [
        say(acked(Version(1, 3))),
        changed(source=V1, version=Version(1, 3)),
    ]


def test_the_parts_of_a_snapshot_do_not_survive_their_connection() -> None:
    core = following()
    hear(core, part(publisher(), left=1))
    reconnect(core)

    assert hear(core, part(publisher(P2), left=0), peer="session-2") == [
        say(acked(V2), "session-2"),
        changed(
            publisher(P2),
            source=V1,
            version=V2,
            removals={P1: None},
            former={P1: publisher()},
        ),
    ]


def test_feeds_of_one_datum_share_a_view_and_the_last_one_ends_it() -> None:
    core = following()

    assert local(core, AddSubscription(2, PAY, Scope.GLOBAL)) == [changed(publisher(), feed_id=2)]
    assert local(core, DropSubscription(1)) == []
    assert local(core, DropSubscription(2)) == [say(Unsubscribe(2, PAY, Scope.GLOBAL))]
    assert local(core, DropSubscription(2)) == []


def test_a_feed_of_a_view_that_is_not_known_is_told_with_the_first_push() -> None:
    core = connected()
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))

    assert local(core, AddSubscription(2, PAY, Scope.GLOBAL)) == []
    assert hear(core, snapshot()) == [say(acked()), changed(), changed(feed_id=2)]


def test_a_subscription_that_ends_without_a_session_is_not_replayed() -> None:
    core = make_core()
    core.start(0.0)
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))

    assert local(core, DropSubscription(1)) == []
    local(core, PeerUp(Link.SESSION, "session-1"))
    assert replayed(hear(core, WELCOME)) == [say(ReplayDone())]


def test_a_push_of_a_datum_that_is_not_followed_is_answered_with_unsubscribe() -> None:
    assert hear(connected(), snapshot()) == [say(Unsubscribe(1, PAY, Scope.GLOBAL))]


def test_a_push_before_the_welcome_is_ignored() -> None:
    core = following()
    hear(core, WhoAreYou())

    assert hear(core, snapshot(publisher(P2), version=V2)) == []


def test_a_refusal_of_a_subscription_is_told_to_all_its_feeds() -> None:
    core = connected()
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))
    local(core, AddSubscription(2, PAY, Scope.GLOBAL))

    assert hear(core, Refused(1, LimitError.code, "full")) == [
        Emit(SubscriptionRefused(1, LimitError.code, "full", is_final=True)),
        Emit(SubscriptionRefused(2, LimitError.code, "full", is_final=True)),
    ]
