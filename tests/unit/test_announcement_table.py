"""What is believed of the LAN: bounded, forgotten when stale, and hard to displace."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from zreg.discovery.announcement import Announcement, Interface, Wanted
from zreg.discovery.announcement_table import (
    FORGET_SECONDS,
    KEPT_MAX,
    KEPT_PER_INTERFACE_MAX,
    AnnouncementTable,
    Seen,
)
from zreg.discovery.sightings import Sighted, Withdrawn
from zreg.model import Role

ETH = Interface("eth0")
META = Announcement(
    role=Role.META, node_id="meta-1", cluster="shop", addresses=("tcp://10.0.0.1:9610",)
)
MY_ID, OTHER_ID = b"m" * 16, b"o" * 16
WANTED = Wanted(role=Role.META, cluster="shop")


def sighted(number: int = 1, interface: Interface = ETH, **changes: Any) -> Sighted:
    fields = {"node_id": f"meta-{number}", "addresses": (f"tcp://10.0.0.{number}:9610",)}
    return Sighted(f"name-{number}", interface, replace(META, **(fields | changes)))


def names(table: AnnouncementTable) -> list[str]:
    return [each.announcement.node_id for each in table.believed()]


def test_an_announcement_is_believed_until_it_is_withdrawn() -> None:
    table = AnnouncementTable(WANTED)

    assert table.see(sighted(), 0) == Seen(is_new=True)
    assert table.see(sighted(), 1) == Seen()
    assert names(table) == ["meta-1"]
    table.withdraw(Withdrawn("name-1", ETH))
    table.withdraw(Withdrawn("name-1", ETH))
    assert len(table) == 0


def test_an_announcement_that_changed_is_new_and_keeps_its_place() -> None:
    table = AnnouncementTable(WANTED)
    for number in (1, 2):
        table.see(sighted(number), 0)

    assert table.see(sighted(1, cluster_id=MY_ID), 1) == Seen(is_new=True)
    assert names(table) == ["meta-1", "meta-2"]


def test_an_announcement_that_is_not_seen_again_is_forgotten() -> None:
    table = AnnouncementTable(WANTED)
    table.see(sighted(1), 0)
    table.see(sighted(2), 0)
    table.see(sighted(2), 10)

    assert table.next_stale_at() == FORGET_SECONDS
    table.forget_stale(FORGET_SECONDS)
    assert names(table) == ["meta-2"]
    table.forget_stale(FORGET_SECONDS + 10)
    assert table.next_stale_at() is None


def test_what_cannot_be_used_is_refused_and_counted() -> None:
    table = AnnouncementTable(replace(WANTED, cluster_id=MY_ID))
    refused = [
        table.see(sighted(1, role=Role.SESSION), 0),
        table.see(sighted(1, protocol_version=2), 0),
        table.see(sighted(1, addresses=()), 0),
    ]

    assert [each.objection for each in refused] == [
        "it is a session node",
        "it speaks protocol version 2, and this side speaks 1",
        "no address of it can be reached from here",
    ]
    assert table.refused_count == 3
    assert len(table) == 0


def test_each_other_cluster_is_named_once() -> None:
    table = AnnouncementTable(replace(WANTED, cluster_id=MY_ID))
    seen = [
        table.see(sighted(1, cluster="bank"), 0),
        table.see(sighted(2, cluster="bank"), 0),
        table.see(sighted(3, cluster_id=OTHER_ID), 0),
        table.see(sighted(4, role=Role.SESSION, cluster="inn"), 0),
    ]

    assert [each.new_foreign_cluster for each in seen] == [
        "bank",
        "",
        "shop with the id 6f6f6f6f",
        "",
    ]
    assert table.foreign_clusters == ("bank", "shop with the id 6f6f6f6f")


def test_few_other_clusters_are_remembered() -> None:
    table = AnnouncementTable(WANTED)
    for number in range(1000):
        table.see(sighted(1, cluster=f"bank-{number}"), 0)

    assert len(table.foreign_clusters) == 8


def test_an_announcement_that_turns_foreign_is_no_longer_believed() -> None:
    table = AnnouncementTable(WANTED)
    table.see(sighted(1), 0)
    table.see(sighted(1, cluster="bank"), 1)

    assert len(table) == 0


def test_a_node_without_a_cluster_can_be_of_mine() -> None:
    table = AnnouncementTable(WANTED)
    for number, cluster_id in ((1, b""), (2, MY_ID), (3, OTHER_ID)):
        table.see(sighted(number, cluster_id=cluster_id), 0)
    table.narrow(MY_ID)

    assert names(table) == ["meta-1", "meta-2"]


def test_a_flood_displaces_only_what_failed() -> None:
    table = AnnouncementTable(WANTED)
    for number in range(1, KEPT_PER_INTERFACE_MAX + 1):
        table.see(sighted(number), 0)
    full = "too many nodes are announced already, and none of them has failed"

    assert table.see(sighted(99), 1) == Seen(full)
    table.note_failed("tcp://10.0.0.7:9610")
    assert table.see(sighted(99), 2) == Seen(is_new=True)
    assert "meta-7" not in names(table)
    assert table.see(sighted(100), 3) == Seen(full)
    table.note_failed("tcp://10.0.0.8:9610")
    table.note_answered("tcp://10.0.0.8:9610")
    assert table.see(sighted(100), 3) == Seen(full)


def test_a_flood_on_one_interface_leaves_room_for_the_others() -> None:
    table = AnnouncementTable(WANTED)
    for number in range(1, 200):
        table.see(sighted(number), 0)

    assert table.see(sighted(200, Interface("eth1")), 1) == Seen(is_new=True)


def test_the_whole_table_is_bounded() -> None:
    table = AnnouncementTable(WANTED)
    for interface in range(10):
        for number in range(1, 100):
            table.see(sighted(number, Interface(f"eth{interface}")), 0)

    assert len(table) == KEPT_MAX
    table.note_failed("tcp://10.0.0.3:9610")
    assert table.see(sighted(1, Interface("eth11")), 0) == Seen(is_new=True)


def test_an_address_that_answered_outlives_its_announcement() -> None:
    table = AnnouncementTable(WANTED)
    for number in range(30):
        table.note_answered(f"tcp://10.0.0.{number}:9610")
    table.note_answered("tcp://10.0.0.20:9610")

    assert table.answered[:3] == (
        "tcp://10.0.0.20:9610",
        "tcp://10.0.0.29:9610",
        "tcp://10.0.0.28:9610",
    )
    assert len(table.answered) == 16
    table.note_failed("tcp://10.0.0.20:9610")
    assert table.answered[0] == "tcp://10.0.0.29:9610"


def test_the_table_shows_its_nodes() -> None:
    table = AnnouncementTable(WANTED)
    table.see(sighted(), 0)

    assert repr(table) == "<AnnouncementTable ['meta-1']>"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["see", "withdraw", "fail", "answer", "narrow"]),
            st.integers(1, 250),
            st.sampled_from([b"", MY_ID, OTHER_ID]),
        ),
        max_size=400,
    )
)
def test_no_order_of_events_breaks_the_bounds(steps: list[tuple[str, int, bytes]]) -> None:
    table = AnnouncementTable(WANTED)
    for now, (step, number, cluster_id) in enumerate(steps):
        address = f"tcp://10.0.0.{number}:9610"
        match step:
            case "see":
                table.see(sighted(number, cluster_id=cluster_id), now / 10)
            case "withdraw":
                table.withdraw(Withdrawn(f"name-{number}", ETH))
            case "fail":
                table.note_failed(address)
                assert address not in table.answered
            case "answer":
                table.note_answered(address)
            case _:
                table.narrow(cluster_id or MY_ID)
        named = {a for each in table.believed() for a in each.announcement.addresses}
        assert len(table) <= KEPT_PER_INTERFACE_MAX
        assert table._failed <= named
