"""A node without meta addresses: the meta node of its machine, then those of the LAN."""

import logging
from random import Random

import pytest
from msgspec.structs import replace

from zreg.config import Config
from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.lan_search import LanSearch
from zreg.discovery.sightings import Browse, Sighted, Withdrawn
from zreg.effects import REFUSED, Connect, Effect, Emit, Link, Log, PeerLost, PeerUp
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
    found = [addresses.next(EMPTY_MEMBERSHIP, None, (ONE, TWO)) for _ in range(4)]

    assert found == [LOCAL_META_ADDRESS, ONE, TWO, LOCAL_META_ADDRESS]


def test_the_search_shows_what_it_believes() -> None:
    search = LanSearch(Config(), Role.META, is_allowed=True, events="meta")

    assert repr(search) == "<LanSearch browsing=False <AnnouncementTable []>>"
