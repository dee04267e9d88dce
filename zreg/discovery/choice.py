"""Which announced addresses to try, in which order, and the line that says why."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from zreg.discovery.announcement import Announcement
from zreg.discovery.announcement_table import AnnouncementTable, Believed

if TYPE_CHECKING:
    from random import Random


class Place(msgspec.Struct, frozen=True):
    """Where a node or client is: announcements of its zone and data center come first."""

    zone: str = ""
    data_center: str = ""


def addresses_in_order(
    table: AnnouncementTable, place: Place, *, rng: "Random | None" = None
) -> tuple[str, ...]:
    """Return the addresses to try, those that answered first.

    Those of the same zone and then of the same data center come before others. Equal ones of
    several interfaces alternate, and of an interface those that were seen first come first, so that
    a flood comes last. Nodes that know their cluster and nodes that wait for its foundation
    alternate, the former first: no lie of one kind comes before all nodes of the other kind. The
    first addresses of all nodes come before the second ones: what one announcement names cannot
    delay the others for long. The order changes only with the table, so that rounds over it leave
    out none; with `rng` equal nodes are in random order.
    """
    nodes = list(table.believed())
    if rng is not None:
        rng.shuffle(nodes)
    founded = [each for each in nodes if each.announcement.cluster_id]
    waiting = [each for each in nodes if not each.announcement.cluster_id]
    nodes = _alternating(_by_distance(founded, place), _by_distance(waiting, place))
    columns = zip_longest(*(each.announcement.addresses for each in nodes))
    announced = [address for column in columns for address in column if address is not None]
    return tuple(dict.fromkeys((*table.answered, *announced)))


def reason_for(table: AnnouncementTable, place: Place, address: str) -> str:
    """Return why an address was tried, for people; empty if no announcement names it."""
    nodes = list(table.believed())
    chosen = next((each for each in nodes if address in each.announcement.addresses), None)
    if chosen is None:
        return ""
    return f"{_described(chosen, place)}; {_count(nodes)}"


def _described(chosen: Believed, place: Place) -> str:
    announcement = chosen.announcement
    near = {2: "", 1: " in this data center", 0: " in this zone"}[_distance(announcement, place)]
    where = chosen.interface.name
    return f"{announcement.node_id}{near} is announced on {where}"


def _count(nodes: Iterable[Believed]) -> str:
    count = len({each.announcement.node_id for each in nodes})
    return "it is the only one" if count == 1 else f"it is one of {count}"


def _by_distance(nodes: Iterable[Believed], place: Place) -> list[Believed]:
    """Return the nearest nodes first; interfaces take turns among equally near ones."""
    lanes: dict[int, dict[str, list[Believed]]] = {}
    for each in nodes:
        lane = lanes.setdefault(_distance(each.announcement, place), {})
        lane.setdefault(each.interface.name, []).append(each)
    return [each for _, lane in sorted(lanes.items()) for each in _alternating(*lane.values())]


def _alternating(*lanes: list[Believed]) -> list[Believed]:
    return [each for turn in zip_longest(*lanes) for each in turn if each is not None]


def _distance(announcement: Announcement, place: Place) -> int:
    """Return 0 in the same zone, 1 in the same data center, else 2; an empty label is no place."""
    is_same_data_center = announcement.data_center == place.data_center
    if place.zone and announcement.zone == place.zone and is_same_data_center:
        return 0
    return 1 if place.data_center and is_same_data_center else 2
