"""Which announced addresses come first, and why."""

from msgspec.structs import replace

from zreg.discovery.announcement import Announcement, Interface, Wanted
from zreg.discovery.announcement_table import AnnouncementTable
from zreg.discovery.choice import Place, addresses_in_order, reason_for
from zreg.discovery.sightings import Sighted
from zreg.model import Role

META = Announcement(role=Role.META, node_id="m", cluster="zreg", cluster_id=b"A" * 16, addresses=())
HERE = Place("z1", "north")


def table_of(*announcements: Announcement) -> AnnouncementTable:
    table = AnnouncementTable(Wanted(role=Role.META, cluster="zreg"))
    for number, announcement in enumerate(announcements):
        table.see(Sighted(f"name-{number}", Interface(f"eth{number}"), announcement), 0.0)
    return table


def at(*hosts: str, zone: str = "", data_center: str = "", cluster_id: bytes = b"A" * 16):  # noqa: ANN201
    return replace(
        META,
        node_id=f"node-{hosts[0]}",
        addresses=tuple(f"tcp://10.0.0.{host}:1" for host in hosts),
        zone=zone,
        data_center=data_center,
        cluster_id=cluster_id,
    )


def order(table: AnnouncementTable, place: Place = HERE) -> list[str]:
    return [
        address.removeprefix("tcp://10.0.0.").removesuffix(":1")
        for address in addresses_in_order(table, place)
    ]


def test_near_nodes_come_first_and_nodes_without_a_cluster_alternate_with_others() -> None:
    table = table_of(
        at("1", zone="z1", data_center="north", cluster_id=b""),
        at("2"),
        at("3", zone="z2", data_center="north"),
        at("4", zone="z1", data_center="south"),
        at("5", zone="z1", data_center="north"),
    )

    assert order(table) == ["5", "1", "3", "2", "4"]
    assert order(table, Place()) == ["2", "1", "3", "4", "5"]


def test_lies_with_an_id_do_not_come_before_all_nodes_that_wait_and_interfaces_take_turns() -> None:
    table = AnnouncementTable(Wanted(role=Role.META, cluster="zreg"))
    for number in range(1, 21):
        table.see(Sighted(f"lie-{number}", Interface("eth0"), at(str(number))), 0.0)
    table.see(Sighted("real", Interface("eth0"), at("100", cluster_id=b"")), 0.0)
    table.see(Sighted("real", Interface("eth1"), at("101")), 0.0)

    assert order(table)[:4] == ["1", "100", "101", "2"]


def test_the_first_addresses_of_all_nodes_come_before_the_second_ones() -> None:
    assert order(table_of(at("1", "2", "3"), at("4"), at("5", "2"))) == ["1", "4", "5", "2", "3"]


def test_what_answered_comes_first_also_when_it_is_no_longer_announced() -> None:
    table = table_of(at("1"), at("2"))
    table.note_answered("tcp://10.0.0.9:1")
    table.note_answered("tcp://10.0.0.2:1")

    assert order(table) == ["2", "9", "1"]


def test_the_line_says_why() -> None:
    near = at("1", zone="z1", data_center="north")
    same = at("2", data_center="north")

    assert reason_for(table_of(near), HERE, "tcp://10.0.0.1:1") == (
        "node-1 in this zone is announced on eth0; it is the only one"
    )
    assert reason_for(table_of(near, same), HERE, "tcp://10.0.0.2:1") == (
        "node-2 in this data center is announced on eth1; it is one of 2"
    )
    assert reason_for(table_of(at("3")), HERE, "tcp://10.0.0.3:1") == (
        "node-3 is announced on eth0; it is the only one"
    )
    assert reason_for(table_of(near), HERE, "tcp://10.0.0.4:1") == ""
