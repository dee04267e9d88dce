"""Meta decides who is a member: by requests and by leases."""

import logging
from collections.abc import Iterable
from random import Random

import pytest
from msgspec.structs import replace

from zreg.config import Config, Limits
from zreg.effects import (
    MEMBERSHIP_TOPIC,
    Broadcast,
    Disconnect,
    Effect,
    EpochSeen,
    Flush,
    Link,
    Local,
    Log,
    Peer,
    PeerLost,
    PeerSlow,
    Probe,
    Save,
    Send,
    Stop,
)
from zreg.errors import (
    DeniedError,
    ForeignClusterError,
    LimitError,
    MalformedError,
    NodeIdInUseError,
    UnknownMessageError,
    UnknownNodeError,
)
from zreg.meta.core import MetaCore
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.peers.identity import Identity, first_save, founders_of, persisted_of
from zreg.model import (
    ZERO,
    Incarnation,
    Member,
    Membership,
    RingParameters,
    Role,
    Status,
    data_info_id,
)
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Hello
from zreg.wire.records.common_messages import (
    Accepted,
    FetchStatistics,
    Ping,
    Pong,
    Refused,
    StatisticsReply,
)
from zreg.wire.records.data_messages import FetchChanges
from zreg.wire.records.membership_messages import (
    FetchMembership,
    Join,
    Leave,
    MembershipChanged,
    MembershipReply,
    Renew,
    Renewed,
)
from zreg.wire.records.settings_messages import SetSetting

CONFIG = Config()
LEASE = CONFIG.lease_seconds
GRACE = CONFIG.session_grace_seconds
OWN, OLD = b"own" * 5, b"old" * 5
META = Member("meta", Role.META, 1, Status.WORKING, "tcp://meta:1", "tcp://meta:2", process_id=b"m")


def make_core(*, now: float = 0.0) -> MetaCore:
    """Return a lone meta node, which leads at once."""
    founders = {"meta": ""}
    raft = new_raft("meta", persisted_of(first_save(founders)), Random(1))
    identity = Identity(
        node_id="meta", address="", journal_id="journal of meta", founders=founders_of(founders)
    )
    core = MetaCore(META, CONFIG, raft=raft, identity=identity, cluster_id=OWN, now=now)
    core.start(now)
    return core


def without_saves(effects: Iterable[Effect]) -> list[Effect]:
    """Return the effects that other nodes see."""
    return [e for e in effects if not isinstance(e, Save | Broadcast | Flush)]


def newcomer(node_id: str, life: int = 1) -> Member:
    """Return a node before it joins: a session if its id starts with `s`, else a data node."""
    role = Role.SESSION if node_id.startswith("s") else Role.DATA
    process_id = f"{node_id}/{life}".encode()
    return Member(node_id, role, 0, Status.INITIAL, f"tcp://{node_id}:1", process_id=process_id)


def working(node_id: str, epoch: int, life: int = 1) -> Member:
    return replace(newcomer(node_id, life), incarnation_epoch=epoch, status=Status.WORKING)


def departed(node_id: str, epoch: int, life: int = 1) -> Member:
    return replace(working(node_id, epoch, life), status=Status.DEPARTED)


def membership(
    *members: Member, epoch: int, ring_epoch: int = 0, cluster_id: bytes = OWN
) -> Membership:
    return Membership(
        cluster_id, epoch, ring_epoch, RingParameters(replica_count=3), (*members, META)
    )


def join(
    node_id: str,
    *,
    life: int = 1,
    cluster_id: bytes = b"",
    epoch: int = 0,
    reports_ready: bool = False,
) -> Join:
    return Join(7, newcomer(node_id, life), cluster_id, epoch, reports_ready)


def renew(incarnation: Incarnation, *, cluster_id: bytes = OWN, epoch: int = 1) -> Renew:
    return Renew(8, incarnation, cluster_id, epoch)


def peer_of(node_id: str, life: int = 1) -> bytes:
    return f"{node_id} over {life}".encode()


def ask(core: MetaCore, peer: Peer, message: Message, now: float = 0.0) -> list[Effect]:
    """Return what a request leads to, without what is logged of a refusal (test_meta_refusals)."""
    return [
        effect
        for effect in ask_and_log(core, peer, message, now)
        if not (isinstance(effect, Log) and effect.event == "member.refused")
    ]


def ask_and_log(core: MetaCore, peer: Peer, message: Message, now: float = 0.0) -> list[Effect]:
    effects = list(core.receive(Link.NODES, peer, message, now))
    return without_saves([*effects, *core.raft_driver.pump(now)])


def enter(
    core: MetaCore,
    node_id: str,
    *,
    life: int = 1,
    now: float = 0.0,
    reports_ready: bool = False,
) -> Incarnation:
    """Let a node join over a connection of its own."""
    request = join(node_id, life=life, reports_ready=reports_ready)
    ask(core, peer_of(node_id, life), request, now)
    member = core.membership.living(node_id)
    assert member is not None
    assert member.process_id == newcomer(node_id, life).process_id
    list(core.settle(now))
    return member.incarnation


def pass_time(
    core: MetaCore, start: float, end: float, *renewing: Incarnation
) -> list[tuple[float, Log]]:
    """Tick while some nodes renew; return what was logged, and when."""
    logged: list[tuple[float, Log]] = []
    now = start
    while now <= end:
        for incarnation in renewing:
            peer = peer_of(incarnation.node_id)
            (answer,) = ask(
                core, peer, renew(incarnation, cluster_id=core.membership.cluster_id), now
            )
            assert isinstance(answer, Send)
            assert isinstance(answer.message, Renewed)
            renewed = replace(answer.message, gone=())
            assert (answer.link, answer.peer, renewed) == (
                Link.NODES,
                peer,
                Renewed(8, core.epoch),
            )
        effects = [*core.tick(now), *core.settle(now)]
        logged += [(now, effect) for effect in effects if isinstance(effect, Log)]
        now += LEASE / 16
    return logged


def evictions(logged: list[tuple[float, Log]]) -> list[tuple[float, Log]]:
    """Return the departures of what was logged: other members are only silent."""
    return [(at, log) for at, log in logged if log.event == "member.departed"]


def reply_to(peer: Peer, core: MetaCore, incarnation: Incarnation) -> Effect:
    return Send(Link.NODES, peer, MembershipReply(7, core.membership, incarnation))


def refused(peer: Peer, request_id: int, code: int, detail: str) -> Effect:
    return Send(Link.NODES, peer, Refused(request_id, code, detail))


def announced(epoch: int, cluster_id: bytes = OWN) -> Effect:
    return Broadcast(Link.MEMBERSHIP, MEMBERSHIP_TOPIC, MembershipChanged(cluster_id, epoch))


def joined_log(incarnation: Incarnation, role: str, **more: str) -> Log:
    return Log(
        logging.INFO,
        "member.joined",
        {
            "incarnation": str(incarnation),
            "role": role,
            "address": f"tcp://{incarnation.node_id}:1",
            "epoch": incarnation.epoch,
            **more,
        },
    )


def silent_log(incarnation: Incarnation, role: str, epoch: int) -> Log:
    fields: dict[str, str | int | float] = {
        "incarnation": str(incarnation),
        "role": role,
        "epoch": epoch,
    }
    return Log(logging.WARNING, "member.silent", fields)


def departed_log(incarnation: Incarnation, role: str, reason: str, epoch: int) -> Log:
    return Log(
        logging.WARNING,
        "member.departed",
        {"incarnation": str(incarnation), "role": role, "reason": reason, "epoch": epoch},
    )


def forgotten_log(incarnation: Incarnation, epoch: int) -> Log:
    fields: dict[str, str | int | float] = {"incarnation": str(incarnation), "epoch": epoch}
    return Log(logging.INFO, "member.forgotten", fields)


def in_use(member: Member) -> str:
    role = member.role.name.lower()
    return (
        f"node id {member.node_id!r} is in use by the {role} node at {member.address}: "
        "stop that one, or start this one with another node id"
    )


def gone(incarnation: Incarnation) -> str:
    return f"{incarnation} is not a member (any more): join again"


# --- joining ------------------------------------------------------------------------------------


def test_a_join_makes_a_member_of_a_new_epoch_and_is_announced() -> None:
    core = make_core()
    assert core.start(0.0) == []

    effects = ask(core, b"p", join("s1"))

    assert core.membership == membership(working("s1", 2), epoch=2)
    s1 = Incarnation(2, "s1")
    assert effects == [joined_log(s1, "session"), reply_to(b"p", core, s1)]
    assert list(core.settle(0.0)) == [announced(2)]
    assert list(core.settle(0.0)) == []


def test_the_join_of_a_data_node_changes_the_ring() -> None:
    core = make_core()

    effects = ask(core, b"p", join("d1"))

    assert core.membership == membership(working("d1", 2), epoch=2, ring_epoch=2)
    d1 = Incarnation(2, "d1")
    assert effects == [joined_log(d1, "data"), reply_to(b"p", core, d1)]


def test_a_repeated_join_is_answered_the_same_and_changes_nothing() -> None:
    """The first answer may have been lost with its connection."""
    core = make_core()
    s1 = enter(core, "s1")

    assert ask(core, b"other", join("s1")) == [reply_to(b"other", core, s1)]
    assert list(core.settle(0.0)) == []


def test_a_second_process_is_refused_while_the_first_lives() -> None:
    core = make_core()
    s1 = enter(core, "s1")

    effects = ask(core, b"second", join("s1", life=2))

    assert effects == [
        Probe(Link.NODES, peer_of("s1")),
        refused(b"second", 7, NodeIdInUseError.code, in_use(working("s1", 2))),
    ]
    assert core.membership.has_living(s1)
    assert list(core.settle(0.0)) == []


def test_a_second_process_is_admitted_once_the_connection_of_the_first_is_lost() -> None:
    """A restarted process does not wait for the lease; its former incarnation has a grace."""
    core = make_core()
    enter(core, "s1")
    assert core.receive(Link.LOCAL, "", PeerLost(Link.NODES, peer_of("s1")), 0.1) == []

    effects = ask(core, b"second", join("s1", life=2), 0.2)

    s1 = Incarnation(3, "s1")
    assert core.membership == membership(departed("s1", 2), working("s1", 3, life=2), epoch=3)
    log = joined_log(s1, "session", replaces="s1@2")
    assert effects == [log, reply_to(b"second", core, s1)]


def test_a_second_process_is_admitted_once_the_lease_of_the_first_expired() -> None:
    """If its host is dead, the connection is never lost; and the last session never departs."""
    core = make_core()
    enter(core, "s1")
    (silent,) = pass_time(core, 0.0, LEASE)
    assert silent == (LEASE, silent_log(Incarnation(2, "s1"), "session", 2))

    effects = ask(core, b"second", join("s1", life=2), LEASE)

    s1 = Incarnation(3, "s1")
    log = joined_log(s1, "session", replaces="s1@2")
    assert effects == [log, reply_to(b"second", core, s1)]


def test_the_loss_of_a_replaced_connection_leaves_the_new_one_in_place() -> None:
    core = make_core()
    s1 = enter(core, "s1")
    ask(core, b"new", renew(s1), 0.1)

    core.receive(Link.LOCAL, "", PeerLost(Link.NODES, peer_of("s1")), 0.2)

    assert ask(core, b"second", join("s1", life=2), 0.3)[0] == Probe(Link.NODES, b"new")


def test_after_a_renewal_over_a_new_connection_the_id_is_taken_again() -> None:
    core = make_core()
    s1 = enter(core, "s1")
    core.receive(Link.LOCAL, "", PeerLost(Link.NODES, peer_of("s1")), 0.1)
    ask(core, b"again", renew(s1), 0.2)

    assert ask(core, b"second", join("s1", life=2), 0.3)[0] == Probe(Link.NODES, b"again")


def test_the_id_of_a_meta_node_is_taken() -> None:
    core = make_core()

    effects = ask(core, b"p", join("meta"))

    assert effects == [refused(b"p", 7, NodeIdInUseError.code, in_use(META))]
    assert core.membership == membership(epoch=1)


def test_a_process_that_joins_again_over_its_connection_leaves_no_former_incarnation() -> None:
    core = make_core()
    s1 = enter(core, "s1")
    enter(core, "s2")
    ask(core, peer_of("s1"), Leave(9, s1))

    again = enter(core, "s1")

    assert core.membership.living("s1") == working("s1", again.epoch)
    s2, holders = Incarnation(3, "s2"), core._leader.lease_holders
    assert holders._peers == {s2: peer_of("s2"), again: peer_of("s1")}
    assert holders._incarnations == {peer_of("s2"): s2, peer_of("s1"): again}


def test_a_connection_belongs_to_the_incarnation_that_renewed_last() -> None:
    core = make_core()
    s1, s2 = enter(core, "s1"), enter(core, "s2")

    ask(core, peer_of("s1"), renew(s2))

    assert core._leader.lease_holders._peers == {s2: peer_of("s1")}
    assert core._leader.lease_holders._incarnations == {peer_of("s1"): s2}
    assert core.membership.has_living(s1)


# --- renewing and departing ---------------------------------------------------------------------


def test_a_renewal_is_answered_with_the_epoch() -> None:
    core = make_core()
    s1 = enter(core, "s1")
    enter(core, "s2")

    assert ask(core, peer_of("s1"), renew(s1)) == [
        Send(Link.NODES, peer_of("s1"), Renewed(8, epoch=3))
    ]


@pytest.mark.parametrize(
    "incarnation", [Incarnation(2, "s9"), Incarnation(1, "s1"), Incarnation(9, "s1")]
)
def test_a_renewal_of_an_unknown_incarnation_is_refused(incarnation: Incarnation) -> None:
    core = make_core()
    enter(core, "s1")

    effects = ask(core, b"p", renew(incarnation))

    assert effects == [refused(b"p", 8, UnknownNodeError.code, gone(incarnation))]


def test_a_silent_session_departs_after_a_lease_and_is_refused_then() -> None:
    """A session stays as DEPARTED, so that its publishers have their grace."""
    core = make_core()
    s1, s2 = enter(core, "s1"), enter(core, "s2")

    logged = pass_time(core, 0.0, LEASE, s2)

    assert logged == [(LEASE, departed_log(s1, "session", "silent", 4))]
    assert core.membership == membership(departed("s1", 2), working("s2", 3), epoch=4)
    assert ask(core, peer_of("s1"), renew(s1), LEASE) == [
        refused(peer_of("s1"), 8, UnknownNodeError.code, gone(s1))
    ]


def test_a_silent_data_node_leaves_the_ring() -> None:
    core = make_core()
    d1, d2 = enter(core, "d1"), enter(core, "d2")

    logged = pass_time(core, 0.0, LEASE, d2)

    assert logged == [(LEASE, departed_log(d1, "data", "silent", 4))]
    assert core.membership == membership(working("d2", 3), epoch=4, ring_epoch=4)


def test_a_departure_is_announced_at_the_end_of_the_turn() -> None:
    core = make_core()
    s1, s2 = enter(core, "s1"), enter(core, "s2")
    pass_time(core, 0.0, LEASE - 0.1, s2)
    core._announcer._beat_at = LEASE + 1.0

    core.tick(LEASE)
    assert without_saves(core.raft_driver.pump(LEASE)) == [departed_log(s1, "session", "silent", 4)]
    assert list(core.settle(LEASE)) == [announced(4)]


@pytest.mark.parametrize(("count", "in_a_lease"), [(2, 1), (3, 1), (7, 1), (8, 2), (12, 3)])
def test_at_most_a_quarter_of_a_role_is_evicted_within_a_lease(count: int, in_a_lease: int) -> None:
    """If more than a quarter is silent, the fault is more likely meta's own."""
    core = make_core()
    for number in range(count):
        enter(core, f"d{number:02}")

    logged = pass_time(core, 0.0, LEASE * 1.9)

    names = [str(log.fields["incarnation"]) for _, log in evictions(logged)]
    assert names == [f"d{number:02}@{number + 2}" for number in range(in_a_lease)]


def test_the_last_of_a_role_is_never_evicted_for_silence() -> None:
    core = make_core()
    for node_id in ("s1", "s2", "d1", "d2"):
        enter(core, node_id)

    pass_time(core, 0.0, 5 * LEASE)

    living = [m.node_id for m in core.membership.members if m.status is Status.WORKING]
    assert living == ["s2", "d2", "meta"]


def test_the_next_eviction_comes_a_lease_after_the_last_one() -> None:
    core = make_core()
    for node_id in ("s1", "s2", "s3"):
        enter(core, node_id)

    logged = pass_time(core, 0.0, 5 * LEASE)

    assert [(at, log.fields["incarnation"]) for at, log in evictions(logged)] == [
        (LEASE, "s1@2"),
        (2 * LEASE, "s2@3"),
    ]


def test_a_silent_node_that_was_not_evicted_may_renew_and_stays() -> None:
    core = make_core()
    d1 = enter(core, "d1")
    pass_time(core, 0.0, 2 * LEASE)

    assert ask(core, peer_of("d1"), renew(d1), 2 * LEASE) == [
        Send(Link.NODES, peer_of("d1"), Renewed(8, 2))
    ]
    assert pass_time(core, 2 * LEASE, 4 * LEASE, d1) == []


def test_a_lost_connection_alone_evicts_no_node() -> None:
    core = make_core()
    s1, s2 = enter(core, "s1"), enter(core, "s2")
    core.receive(Link.LOCAL, "", PeerLost(Link.NODES, peer_of("s1")), 0.0)

    logged = pass_time(core, 0.0, LEASE, s2)

    assert logged == [(LEASE, departed_log(s1, "session", "silent", 4))]


def test_after_a_stall_of_meta_every_node_has_a_whole_lease() -> None:
    """During the stall no node could renew its lease."""
    core = make_core()
    s1, s2 = enter(core, "s1"), enter(core, "s2")
    pass_time(core, 0.0, 1.0, s1, s2)
    woke = 100.0

    assert pass_time(core, woke, woke + LEASE * 0.9) == []
    assert core.statistics()["stalls"] == 1
    assert pass_time(core, woke + LEASE, woke + LEASE, s2) == [
        (woke + LEASE, departed_log(s1, "session", "silent", 4))
    ]


def test_the_lease_of_a_former_incarnation_does_not_evict_the_new_one() -> None:
    core = make_core()
    enter(core, "s1")
    enter(core, "s2")
    core.receive(Link.LOCAL, "", PeerLost(Link.NODES, peer_of("s1")), 0.0)
    again = enter(core, "s1", life=2, now=0.1)

    pass_time(core, 0.1, 1.1 * LEASE, again, Incarnation(3, "s2"))

    assert core.membership.living("s1") == working("s1", 4, life=2)
    assert core.statistics()["leases"] == 2


def test_a_node_that_leaves_departs_at_once_and_may_leave_twice() -> None:
    core = make_core()
    s1, d1 = enter(core, "s1"), enter(core, "d1")

    assert ask(core, b"p", Leave(9, s1)) == [
        departed_log(s1, "session", "left", 4),
        Send(Link.NODES, b"p", Accepted((9,))),
    ]
    assert ask(core, b"p", Leave(9, s1)) == [Send(Link.NODES, b"p", Accepted((9,)))]
    assert ask(core, b"q", Leave(9, d1)) == [
        departed_log(d1, "data", "left", 5),
        Send(Link.NODES, b"q", Accepted((9,))),
    ]
    assert core.membership == membership(departed("s1", 2), epoch=5, ring_epoch=5)


@pytest.mark.parametrize(
    "incarnation", [Incarnation(1, "meta"), Incarnation(1, "s1"), Incarnation(7, "s9")]
)
def test_a_goodbye_for_meta_or_an_unknown_incarnation_changes_nothing(
    incarnation: Incarnation,
) -> None:
    core = make_core()
    enter(core, "s1")

    assert ask(core, b"p", Leave(9, incarnation)) == [Send(Link.NODES, b"p", Accepted((9,)))]
    assert core.epoch == 2


# --- grace and forgetting -----------------------------------------------------------------------


def test_a_departed_session_is_forgotten_after_its_grace_and_not_before() -> None:
    core = make_core()
    s1, s2 = enter(core, "s1"), enter(core, "s2")
    ask(core, b"p", Leave(9, s1))

    assert pass_time(core, 0.0, GRACE - 0.1, s2) == []
    assert core.membership == membership(departed("s1", 2), working("s2", 3), epoch=4)

    assert pass_time(core, GRACE, GRACE, s2) == [(GRACE, forgotten_log(s1, 5))]
    assert core.membership == membership(working("s2", 3), epoch=5)
    assert list(core.settle(GRACE)) == []


def test_the_grace_of_a_silent_session_counts_from_its_departure() -> None:
    core = make_core()
    s1, s2 = enter(core, "s1"), enter(core, "s2")

    logged = pass_time(core, 0.0, 1.1 * LEASE + GRACE, s2)

    assert logged == [
        (LEASE, departed_log(s1, "session", "silent", 4)),
        (pytest.approx(LEASE + GRACE, abs=LEASE / 16), forgotten_log(s1, 5)),
    ]


def test_a_session_that_joins_again_keeps_the_grace_of_its_former_incarnation() -> None:
    core = make_core()
    former, s2 = enter(core, "s1"), enter(core, "s2")
    ask(core, b"p", Leave(9, former))
    pass_time(core, 0.0, 1.0, s2)
    again = enter(core, "s1", now=1.0)

    logged = pass_time(core, 1.0, GRACE + 1.0, s2, again)

    assert [log for _, log in logged] == [forgotten_log(former, 6)]
    assert core.membership == membership(working("s1", 5), working("s2", 3), epoch=6)


# --- announcements and other messages -----------------------------------------------------------


def test_meta_beats_with_its_epoch() -> None:
    core = make_core()

    assert core.tick(0.0) == [announced(1)]
    assert list(core.settle(0.0)) == []
    assert core.tick(CONFIG.beat_seconds / 2) == []
    assert core.tick(CONFIG.beat_seconds) == [announced(1)]


def test_changes_of_settings_in_a_row_are_announced_together() -> None:
    """Each announcement makes every node fetch the membership, and settings are not in it."""
    core = make_core()
    core.tick(0.4)

    def changed(now: float) -> list[Effect]:
        ask(core, b"admin", SetSetting(1, "a", str(now)), now)
        return [effect for effect in core.settle(now) if isinstance(effect, Broadcast)]

    assert changed(0.5) == [announced(2)]
    assert changed(0.51) == []
    assert changed(0.52) == []
    assert core.next_tick_at() == 0.55
    assert list(core.settle(0.549)) == []
    assert list(core.settle(0.55)) == [announced(4)]
    assert list(core.settle(0.7)) == []


def test_a_change_of_members_is_announced_at_once() -> None:
    core = make_core()
    list(core.settle(0.0))
    ask(core, b"admin", SetSetting(1, "a", "1"), 0.5)
    assert list(core.settle(0.5)) == [announced(2)]

    ask(core, b"p", join("s1"), 0.51)

    assert list(core.settle(0.51)) == [announced(3)]


def test_the_next_tick_is_the_beat_or_a_look_at_the_leases() -> None:
    core = make_core()
    assert core.next_tick_at() == 0.0

    core.tick(0.0)

    assert core.next_tick_at() == LEASE / 16


@pytest.mark.parametrize("link", [Link.NODES, Link.META])
def test_the_membership_is_sent_over_both_links(link: Link) -> None:
    core = make_core()

    effects = core.receive(link, b"p", FetchMembership(5), 0.0)

    assert effects == [Send(link, b"p", MembershipReply(5, core.membership))]


def test_a_ping_is_answered() -> None:
    assert ask(make_core(), b"p", Ping()) == [Send(Link.NODES, b"p", Pong())]


@pytest.mark.parametrize("message", [Pong(), Stop(), EpochSeen(9)])
def test_messages_that_ask_for_nothing_get_no_answer(message: Message | Local) -> None:
    assert make_core().receive(Link.NODES, b"p", message, 0.0) == []


@pytest.mark.parametrize(
    "message",
    [Hello(1, b"c" * 16), FetchChanges(3, data_info_id("pay"), ZERO)],
    ids=["client", "session"],
)
def test_clients_and_sessions_at_the_wrong_node_are_told_where_to_go(message: Message) -> None:
    name = type(message).__name__
    detail = f"meta does not take {name}: ask a session (--url, by default port 9600)"

    assert ask(make_core(), b"p", message) == [refused(b"p", 0, UnknownMessageError.code, detail)]


def test_a_node_that_does_not_read_is_disconnected_and_its_id_is_free() -> None:
    core = make_core()
    enter(core, "s1")

    effects = core.receive(Link.LOCAL, "", PeerSlow(Link.NODES, peer_of("s1")), 0.1)

    assert effects == [Disconnect(Link.NODES, peer_of("s1"))]
    assert ask(core, b"second", join("s1", life=2), 0.2)[-1] == reply_to(
        b"second", core, Incarnation(3, "s1")
    )


def test_the_loss_of_an_unidentified_peer_changes_nothing() -> None:
    assert make_core().receive(Link.LOCAL, "", PeerLost(Link.NODES, b"who"), 0.0) == []


def test_the_core_shows_itself() -> None:
    core = make_core()
    for node_id in ("s1", "s2", "d1"):
        enter(core, node_id)
    ask(core, b"p", Leave(9, Incarnation(2, "s1")))

    raft = "<RaftCore meta leader term=2 commit=8 last=8>"
    assert repr(core) == f"<MetaCore epoch=5 members=4 {raft}>"
    assert core.statistics() == {
        "epoch": 5,
        "ring_epoch": 4,
        "sessions": 1,
        "data_nodes": 1,
        "departed": 1,
        "settings": 0,
        "leases": 2,
        "renewals": 3,
        "stalls": 0,
        "raft_role": "leader",
        "raft_term": 2,
        "raft_leader": "meta",
        "raft_commit_index": 8,
        "raft_last_index": 8,
        "raft_peers_up": 0,
        "strange_messages": 0,
    }


# --- which cluster a node has seen ----------------------------------------------------------------

S1 = Incarnation(7, "s1")
FOREIGN = (
    "this node has been a member of another cluster: give it the addresses of its own "
    "meta nodes, or restart it to join this cluster as a new node"
)


@pytest.mark.parametrize(
    "request_", [renew(S1, cluster_id=OLD, epoch=57), join("s1", cluster_id=OLD, epoch=57)]
)
def test_a_node_of_another_cluster_is_refused(request_: Join | Renew) -> None:
    core = make_core()
    present = core.membership

    effects = ask(core, b"p", request_)

    assert effects == [refused(b"p", request_.request_id, ForeignClusterError.code, FOREIGN)]
    assert core.membership == present


def test_an_epoch_that_no_cluster_can_have_reached_is_refused() -> None:
    core = make_core()
    s1 = enter(core, "s1")
    present = core.membership

    effects = ask(core, peer_of("s1"), renew(s1, epoch=1 << 50), LEASE)

    assert effects[0].message.code == ForeignClusterError.code
    assert core.membership == present


@pytest.mark.parametrize("kind", ["meta", "no process id"])
def test_a_node_that_cannot_be_a_member_is_refused(kind: str) -> None:
    core = make_core()
    request = join("s1")
    wrong = replace(
        request.member, **({"role": Role.META} if kind == "meta" else {"process_id": b""})
    )

    effects = ask(core, b"p", replace(request, member=wrong))

    assert [effect.message.code for effect in effects] == [MalformedError.code]
    assert core.membership == membership(epoch=1)


def test_a_cluster_that_is_full_says_so() -> None:
    core = make_core()
    members = core.membership.members * Limits.members_max
    core.state.membership = replace(core.membership, members=members)

    effects = ask(core, b"p", join("s1"))

    assert [effect.message.code for effect in effects] == [LimitError.code]


def test_a_node_whose_addresses_and_labels_are_too_long_is_told_to_shorten_them() -> None:
    """A membership is one record: 2,000 members of the largest size fit into a frame."""
    core = make_core()
    request = join("s1")
    large = replace(request.member, zone="\U0001f98a" * 64, data_center="\U0001f98a" * 64)

    (effect,) = ask(core, b"p", replace(request, member=large))

    assert effect.message.code == LimitError.code
    assert effect.message.detail == (
        "id, addresses and labels of a node take at most 512 bytes together: give this node "
        "shorter ones"
    )


def test_a_newcomer_that_has_seen_no_cluster_is_admitted_at_once() -> None:
    core = make_core()

    assert ask(core, b"p", join("s1"))[-1] == reply_to(b"p", core, Incarnation(2, "s1"))


def test_meta_goes_above_a_higher_epoch_of_its_cluster_at_once() -> None:
    core = make_core()
    s1 = enter(core, "s1")

    effects = ask(core, peer_of("s1"), renew(s1, epoch=57), LEASE)

    assert effects == [Send(Link.NODES, peer_of("s1"), Renewed(8, 58))]
    assert list(core.settle(LEASE)) == [announced(58)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"node_id": "d@1"}, "node id 'd@1' cannot be used: give 1 to 64 printable characters"),
        ({"node_id": "d\u200b"}, r"node id 'd\u200b' cannot be used: give 1 to 64 printable"),
        ({"zone": "east "}, "zone 'east ' cannot be used: give a printable text"),
        ({"address": "tcp://[h:80]:1"}, "'tcp://[h:80]:1' is no address of a node: leave out"),
        ({"address": "tcp://0.0.0.0:1"}, "'tcp://0.0.0.0:1' is no address of a node: it stands"),
        ({"changes_address": "tcp://h:0"}, "'tcp://h:0' is no address of a node: give a port"),
        ({"data_center": "\u202e"}, r"data_center '\u202e' cannot be used: give a printable"),
    ],
)
def test_a_node_with_a_name_that_is_not_allowed_is_refused(
    changes: dict[str, str], said: str
) -> None:
    core = make_core()
    request = replace(join("d"), member=replace(newcomer("d"), **changes))

    (effect,) = ask(core, b"d", request)

    assert isinstance(effect, Send)
    assert isinstance(effect.message, Refused)
    assert effect.message.code == DeniedError.code
    assert effect.message.detail.startswith(said)


def test_any_meta_node_answers_for_itself() -> None:
    """Also one that follows, and one without a leader."""
    (sent,) = ask(make_core(), b"p", FetchStatistics(7))

    assert isinstance(sent, Send)
    assert isinstance(sent.message, StatisticsReply)
    assert {"epoch"} <= {each.name for each in sent.message.statistics}
