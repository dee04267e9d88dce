"""All that the LAN announces, for people: also what cannot be used or read, and why."""

from typing import Final

import msgspec

from zreg.discovery.announcement import Announcement, Interface, Wanted
from zreg.discovery.sightings import Sighted, Withdrawn
from zreg.model import Role

# A flood of announcements costs bounded memory, and leaves what was seen first.
ENTRIES_MAX: Final = 1000


class ListedAnnouncement(msgspec.Struct, frozen=True, kw_only=True):
    """One announcement on one interface; `announcement` is None if it cannot be read."""

    role: Role
    interface: Interface
    announcement: Announcement | None
    # Why it cannot be used; empty if it can.
    objection: str
    first_seen_at: float


class AnnouncementListing:
    """What was announced and not taken back, the first first; bounded by `ENTRIES_MAX`."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._entries: dict[tuple[str, str], ListedAnnouncement] = {}
        # How many announcements found no room.
        self.omitted_count = 0

    def entries(self) -> list[ListedAnnouncement]:
        """Return all entries, those of meta nodes first, by node id."""
        return sorted(self._entries.values(), key=_order)

    def see(self, sighted: Sighted, now: float) -> ListedAnnouncement | None:
        """Take an announcement; return its entry if it is new or has changed."""
        announcement = sighted.announcement
        objection = Wanted(role=announcement.role, cluster=self._cluster).objection(announcement)
        entry = ListedAnnouncement(
            role=announcement.role,
            interface=sighted.interface,
            announcement=announcement,
            objection=objection or "",
            first_seen_at=now,
        )
        return self._take(sighted.name, entry)

    def see_unreadable(
        self, name: str, interface: Interface, role: Role, reason: str, now: float
    ) -> ListedAnnouncement | None:
        """Take an announcement that cannot be read; return its entry if it is new."""
        entry = ListedAnnouncement(
            role=role,
            interface=interface,
            announcement=None,
            objection=f"it cannot be read: {reason}",
            first_seen_at=now,
        )
        return self._take(name, entry)

    def withdraw(self, withdrawn: Withdrawn) -> ListedAnnouncement | None:
        """Drop an announcement that was taken back; return its entry if there was one."""
        return self._entries.pop((withdrawn.interface.name, withdrawn.name), None)

    def _take(self, name: str, entry: ListedAnnouncement) -> ListedAnnouncement | None:
        key = (entry.interface.name, name)
        known = self._entries.get(key)
        if known is None and len(self._entries) >= ENTRIES_MAX:
            self.omitted_count += 1
            return None
        if known is not None:
            entry = msgspec.structs.replace(entry, first_seen_at=known.first_seen_at)
        self._entries[key] = entry
        return None if entry == known else entry


def _order(entry: ListedAnnouncement) -> tuple[int, str, str]:
    node_id = "" if entry.announcement is None else entry.announcement.node_id
    return -entry.role, node_id, entry.interface.name
