"""A node without meta addresses: the meta node of its machine, then those of the LAN."""

import logging
from itertools import pairwise
from random import Random

import pytest
from msgspec.structs import replace

from zreg.config import Config
from zreg.discovery.announced_dials import (
    DIAL_SECONDS_MAX,
    DIALS_MAX,
    RETRIES_MAX,
    START_SECONDS,
    AnnouncedDials,
)
from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.lan_search import LanSearch
from zreg.discovery.sightings import Browse, Sighted, Withdrawn
from zreg.effects import REFUSED, Connect, Disconnect, Effect, Emit, Link, Log, PeerLost, PeerUp
from zreg.errors import NotLeaderError
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.leader_link.meta_addresses import LOCAL_META_ADDRESS, MetaAddresses
from zreg.model import (
    EMPTY_MEMBERSHIP,
    Incarnation,
    Member,
    Membership,
    RingParameters,
    Role,
    Status,
)
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.membership_messages import MembershipReply

ETH = Interface("eth0")
CLUSTER, OTHER_CLUSTER = b"A" * 16, b"B" * 16
ME = Member("s1", Role.SESSION, 0, Status.INITIAL, "tcp://10.0.0.9:9600", process_id=b"p" * 16)
S1 = Incarnation(5, "s1")
ONE, TWO = "tcp://10.0.0.1:9610", "tcp://10.0.0.2:9610"
META = Announcement(
    role=Role.META, node_id="m1", cluster="zreg", cluster_id=CLUSTER, addresses=(ONE,)
)
BROWSE, STOP = Emit(Browse(is_wanted=True)), Emit(Browse(is_wanted=False))


def sighted(name: str = "one", announcement: Announcement = META) -> Sighted:
    return Sighted(name, ETH, announcement)


def make(config: Config | None = None, cached: Membership | None = None) -> ClusterMember:
    return ClusterMember(ME, config or Config(), rng=Random(1), now=0.0, cached=cached)


def fail(member: ClusterMember, address: str, now: float) -> list[Effect]:
    return member.receive(Link.LOCAL, "", PeerLost(Link.META, address, REFUSED), now).effects


def see(member: ClusterMember, event: Sighted | Withdrawn, now: float) -> list[Effect]:
    return member.receive(Link.LOCAL, "", event, now).effects


def dialled(member: ClusterMember, now: float) -> str:
    (effect,) = member.tick(now).effects
    assert isinstance(effect, Connect)
    return effect.address


def make_browsing() -> ClusterMember:
    member = make()
    assert dialled(member, 0.0) == LOCAL_META_ADDRESS
    assert BROWSE in fail(member, LOCAL_META_ADDRESS, 0.0)
    return member


def membership(cluster_id: bytes = CLUSTER) -> Membership:
    members = (
        replace(ME, incarnation_epoch=5, status=Status.WORKING),
        Member("m1", Role.META, 1, Status.WORKING, ONE, "tcp://10.0.0.1:9612"),
    )
    return Membership(cluster_id, 5, 0, RingParameters(), members)


def admit(member: ClusterMember, address: str, now: float) -> list[Effect]:
    member.receive(Link.LOCAL, "", PeerUp(Link.META, address), now)
    return member.receive(Link.META, address, MembershipReply(1, membership(), S1), now).effects


def test_the_meta_node_of_this_machine_comes_first_and_is_found_without_browsing() -> None:
    member = make()

    assert dialled(member, 0.0) == LOCAL_META_ADDRESS
    effects = admit(member, LOCAL_META_ADDRESS, 0.0)
    assert [each for each in effects if isinstance(each, Emit)] == []


def test_a_node_browses_when_its_machine_has_no_meta_node_and_tries_what_is_announced() -> None:
    member = make_browsing()

    assert see(member, sighted(), 1.0) == []
    assert member.next_tick_at() == pytest.approx(0.05, abs=0.05)
    assert dialled(member, 1.1) == ONE


def test_an_announcement_shortens_a_long_pause() -> None:
    member = make_browsing()
    for now in range(1, 100):
        due = member.next_tick_at()
        assert due is not None
        assert dialled(member, due) == LOCAL_META_ADDRESS
        fail(member, LOCAL_META_ADDRESS, due)
        if now > 90 and member.next_tick_at() - due > 0.5:
            break
    see(member, sighted(), due)

    assert member.next_tick_at() == due + 0.05


def test_the_log_says_which_meta_node_was_found_and_browsing_ends() -> None:
    member = make_browsing()
    see(member, sighted(), 0.0)
    see(member, sighted("two", replace(META, node_id="m2", addresses=(TWO,))), 0.0)
    assert dialled(member, 1.0) == ONE
    effects = admit(member, ONE, 1.0)

    assert STOP in effects
    reason = "m1 is announced on eth0; it is one of 2"
    found = Log(logging.INFO, "meta.discovered", {"address": ONE, "reason": reason})
    assert found in effects
    assert see(member, sighted("three"), 1.1) == []


def test_a_node_whose_leader_is_lost_browses_again_after_a_round() -> None:
    member = make_browsing()
    see(member, sighted(), 0.0)
    dialled(member, 1.0)
    admit(member, ONE, 1.0)
    assert BROWSE not in fail(member, ONE, 2.0)
    emitted: list[Effect] = []
    for _ in range(3):
        due = member.next_tick_at()
        assert due is not None
        emitted += fail(member, dialled(member, due), due)

    assert emitted.count(BROWSE) == 1


def test_a_node_with_meta_addresses_never_browses_and_ignores_announcements() -> None:
    member = make(Config(meta_addresses=(TWO,)))
    for now in range(10):
        due = member.next_tick_at()
        assert due is not None
        assert dialled(member, due) == TWO
        see(member, sighted(), now)
        assert BROWSE not in fail(member, TWO, due)


def test_another_cluster_is_ignored_and_named_once() -> None:
    member = make_browsing()
    foreign = sighted("two", replace(META, cluster="bank"))
    fields: dict[str, str | int | float] = {"cluster": "bank", "interface": "eth0"}

    assert see(member, foreign, 1.0) == [Log(logging.WARNING, "meta.announcement.foreign", fields)]
    assert see(member, foreign, 1.0) == []
    assert dialled(member, 1.1) == LOCAL_META_ADDRESS
    problem = member.outage.problem(9.0, "it works", is_urgent=True)
    assert problem is not None
    assert (
        "the LAN announces meta nodes of other clusters only (bank), and this is 'zreg'"
        in problem.detail
    )
    assert member.statistics()["announcements_refused"] == 2


def test_a_node_that_knows_its_cluster_ignores_another_one_of_the_same_name() -> None:
    member = make(cached=membership())
    for address in (LOCAL_META_ADDRESS, ONE):
        due = member.next_tick_at()
        assert due is not None
        assert dialled(member, due) == address
        effects = fail(member, address, due)
    assert BROWSE in effects
    see(member, sighted("two", replace(META, cluster_id=OTHER_CLUSTER, addresses=(TWO,))), 1.0)
    tried = set()
    for _ in range(6):
        due = member.next_tick_at()
        assert due is not None
        address = dialled(member, max(due, 1.0))
        tried.add(address)
        fail(member, address, max(due, 1.0))

    assert tried == {LOCAL_META_ADDRESS, ONE}


def test_what_is_withdrawn_is_not_tried() -> None:
    member = make_browsing()
    see(member, sighted(), 1.0)
    see(member, Withdrawn("one", ETH), 1.0)

    assert dialled(member, 1.1) == LOCAL_META_ADDRESS


def test_announcements_that_are_not_seen_again_are_forgotten() -> None:
    member = make_browsing()
    see(member, sighted(), 1.0)
    tried = []
    for now in (130.0, 140.0, 150.0):
        tried.append(dialled(member, now))
        fail(member, tried[-1], now)

    assert tried == [ONE, LOCAL_META_ADDRESS, LOCAL_META_ADDRESS]


def test_a_round_has_the_announced_addresses_last() -> None:
    addresses = MetaAddresses(())
    found = [addresses.next(EMPTY_MEMBERSHIP, None, is_any_announced=True) for _ in range(3)]

    assert found == [LOCAL_META_ADDRESS, None, LOCAL_META_ADDRESS]


def lie(number: int, cluster_id: bytes = OTHER_CLUSTER) -> Sighted:
    address = f"tcp://10.0.1.{number}:9610"
    changes = {"node_id": f"lie-{number}", "cluster_id": cluster_id, "addresses": (address,)}
    return sighted(f"lie-{number}", replace(META, **changes))


def run_until_dialled(member: ClusterMember, address: str, now: float) -> tuple[float, list[str]]:
    """Return when an address is dialled, and what was given up before; no other one answers."""
    given_up: list[str] = []
    while True:
        due = member.next_tick_at()
        assert due is not None
        now = max(now, due)
        effects = member.tick(now).effects
        given_up += [each.peer for each in effects if isinstance(each, Disconnect)]
        dialled = [each.address for each in effects if isinstance(each, Connect)]
        if LOCAL_META_ADDRESS in dialled:
            fail(member, LOCAL_META_ADDRESS, now)
        if address in dialled:
            return now, given_up


@pytest.mark.parametrize("cluster_id", [b"", OTHER_CLUSTER])
@pytest.mark.parametrize("lie_count", [1, 20, 63])
def test_each_lie_delays_a_meta_node_that_was_seen_later_by_one_start(
    cluster_id: bytes, lie_count: int
) -> None:
    member = make_browsing()
    for number in range(lie_count):
        see(member, lie(number, cluster_id), 0.0)
    see(member, sighted(), 0.0)
    began_at = member.next_tick_at()
    assert began_at is not None
    dialled_at, given_up = run_until_dialled(member, ONE, began_at)

    assert dialled_at - began_at <= (lie_count + 1) * START_SECONDS
    effects = admit(member, ONE, dialled_at + 0.01)
    ended = [each.peer for each in effects if isinstance(each, Disconnect)]
    assert sorted([*given_up, *ended]) == sorted(set(given_up) | set(ended))
    assert member.leader == ONE
    assert len(ended) <= 4


def test_a_meta_node_that_waits_for_its_foundation_comes_second_among_lies_with_an_id() -> None:
    member = make_browsing()
    for number in range(20):
        see(member, lie(number), 0.0)
    see(member, sighted("real", replace(META, cluster_id=b"")), 0.0)
    began_at = member.next_tick_at()
    assert began_at is not None

    assert run_until_dialled(member, ONE, began_at)[0] == began_at + START_SECONDS


def test_a_meta_node_that_is_seen_after_lies_failed_comes_before_them() -> None:
    member = make_browsing()
    for number in range(20):
        see(member, lie(number), 0.0)
    # Some rounds.
    now, _ = run_until_dialled(member, "tcp://10.0.1.7:9610", 0.0)
    for _ in range(3):
        now, _ = run_until_dialled(member, "tcp://10.0.1.7:9610", now)
    see(member, sighted(), now)

    assert run_until_dialled(member, ONE, now)[0] <= now + 2 * START_SECONDS


def test_a_meta_node_without_a_leader_is_asked_in_each_round() -> None:
    """It is not behind all lies again: a round has few attempts at what failed."""
    member = make_browsing()
    for number in range(40):
        see(member, lie(number), 0.0)
    see(member, sighted(), 0.0)
    now, asked_at = 0.0, []
    for request_id in range(1, 6):
        now, _ = run_until_dialled(member, ONE, now)
        asked_at.append(now)
        member.receive(Link.LOCAL, "", PeerUp(Link.META, ONE), now)
        refused = Refused(request_id, NotLeaderError.code, "no leader")
        member.receive(Link.META, ONE, refused, now)

    pauses = [later - earlier for earlier, later in pairwise(asked_at)]
    assert max(pauses[1:]) <= 4 * START_SECONDS + DIAL_SECONDS_MAX + 0.5


def test_known_addresses_have_their_turn_in_a_flood() -> None:
    member = make_browsing()
    now, number, dialled = 0.0, 0, 0
    while now < 60.0:
        for _ in range(10):
            number += 1
            see(member, lie(number), now)
        due = member.next_tick_at()
        assert due is not None
        now = max(now, due)
        for effect in member.tick(now).effects:
            if isinstance(effect, Connect) and effect.address == LOCAL_META_ADDRESS:
                dialled += 1
                fail(member, LOCAL_META_ADDRESS, now)

    assert dialled >= 60 / (128 * START_SECONDS + DIAL_SECONDS_MAX + 2.0)


def test_attempts_are_bounded_and_shorter_ones_have_places_of_their_own() -> None:
    dials = AnnouncedDials()
    lies = [f"tcp://10.0.1.{number}:9610" for number in range(30)]
    now, most = 0.0, 0
    for count in range(6):
        dials.begin_round(now)
        dials.offer(lies)
        started = []
        while not dials.is_round_over:
            due = dials.next_at()
            assert due is not None
            now = max(now, due)
            for address in dials.overdue(now):
                dials.note_failed(address)
            if (address := dials.start(now)) is not None:
                started.append(address)
            most = max(most, sum(map(dials.is_under_way, lies)))
        assert len(set(started)) == len(started) == (30 if count == 0 else RETRIES_MAX)

    assert most <= DIALS_MAX
    assert repr(dials) == "<AnnouncedDials [] then []>"


def test_an_announced_address_that_accepts_and_is_lost_lets_the_round_go_on() -> None:
    member = make_browsing()
    for number in range(3):
        see(member, lie(number), 0.0)
    first, second = (f"tcp://10.0.1.{number}:9610" for number in range(2))
    now, _ = run_until_dialled(member, second, 0.0)
    member.receive(Link.LOCAL, "", PeerUp(Link.META, first), now)
    fail(member, first, now)

    now, _ = run_until_dialled(member, second, now)
    assert now <= 3 * START_SECONDS + 0.1
    assert fail(member, second, now) == []
    see(member, Withdrawn("lie-2", ETH), now)
    # Nothing is left of the round.
    due = member.next_tick_at()
    assert due is not None
    assert dialled(member, due) == LOCAL_META_ADDRESS


def test_the_search_shows_what_it_believes() -> None:
    search = LanSearch(Config(), Role.META, is_allowed=True, events="meta")

    assert repr(search) == "<LanSearch browsing=False <AnnouncementTable []>>"
