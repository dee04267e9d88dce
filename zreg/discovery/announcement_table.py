"""What a node or client believes of the LAN: a bounded table of announcements.

Forged and flooding announcements cost bounded memory. When an interface has its share of the table,
a new announcement takes the place only of one whose addresses have all been tried in vain; the
addresses that answered stay candidates also when their announcement is taken back, since any
machine can send that too.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from zreg.discovery.announcement import Announcement, Interface, Wanted, short_id
from zreg.discovery.sightings import ANNOUNCED_SECONDS, Sighted, Withdrawn

# How many announcements are kept of one interface, and of all.
KEPT_PER_INTERFACE_MAX: Final = 64
KEPT_MAX: Final = 256
# An announcement that was not seen again for so long is forgotten, also if a forged record is to
# live for longer.
FORGET_SECONDS: Final = 2 * ANNOUNCED_SECONDS
# Meta has at most seven nodes, and a client needs few sessions.
_ANSWERED_MAX: Final = 16
# Of so many other clusters the name is remembered, so that each is logged once.
_FOREIGN_MAX: Final = 8

_Key = tuple[str, str]


class Believed(msgspec.Struct):
    """An announcement that can be used, where it was seen, and when last."""

    announcement: Announcement
    interface: Interface
    seen_at: float


class Seen(msgspec.Struct, frozen=True):
    """What became of a sighting: `objection` says why it is not used, None if it is."""

    objection: str | None = None
    # Whether the table has changed: a new announcement, or a known one with other content.
    is_new: bool = False
    # The other cluster of which this is the first announcement, for people; empty: of none.
    new_foreign_cluster: str = ""


class AnnouncementTable:
    """Announcements by interface and name, oldest first, and the results of their addresses.

    Invariants: at most `KEPT_PER_INTERFACE_MAX` announcements of an interface and `KEPT_MAX` in
    all; an address has a failure only while an announcement names it.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._kept: dict[_Key, Believed] = {}
        # The addresses that answered, the newest first.
        self._answered: tuple[str, ...] = ()
        self._failed: set[str] = set()
        self._foreign: dict[str, None] = {}
        # How many sightings were not used.
        self.refused_count = 0

    def __len__(self) -> int:
        """Return how many announcements are believed."""
        return len(self._kept)

    def __repr__(self) -> str:
        """Show the nodes."""
        return f"<AnnouncementTable {[each.announcement.node_id for each in self.believed()]}>"

    def believed(self) -> Iterator[Believed]:
        """Yield the announcements, the one that was first seen earliest first."""
        yield from self._kept.values()

    @property
    def answered(self) -> tuple[str, ...]:
        """The addresses that answered, the newest first."""
        return self._answered

    @property
    def foreign_clusters(self) -> tuple[str, ...]:
        """Some other clusters that were announced, for people."""
        return tuple(self._foreign)

    # --- sightings -----------------------------------------------------------------------------

    def see(self, sighted: Sighted, now: float) -> Seen:
        """Take an announcement, or say why it is not used."""
        self.forget_stale(now)
        key = (sighted.interface.name, sighted.name)
        announcement = sighted.announcement
        objection = self._wanted.objection(announcement)
        if objection is not None:
            self.refused_count += 1
            self._drop(key)
            return Seen(objection, new_foreign_cluster=self._new_foreign_cluster(announcement))
        known = self._kept.get(key)
        if known is not None and known.announcement == announcement:
            known.seen_at = now
            return Seen()
        if known is None and not self._make_room(sighted.interface):
            self.refused_count += 1
            return Seen("too many nodes are announced already, and none of them has failed")
        if known is not None:
            known.announcement, known.seen_at = announcement, now
            self._forget_failures()
        else:
            self._kept[key] = Believed(announcement, sighted.interface, now)
        return Seen(is_new=True)

    def withdraw(self, withdrawn: Withdrawn) -> None:
        """Forget an announcement that was taken back."""
        self._drop((withdrawn.interface.name, withdrawn.name))

    def forget_stale(self, now: float) -> None:
        """Forget what was not seen for `FORGET_SECONDS`."""
        stale = [key for key, kept in self._kept.items() if now - kept.seen_at >= FORGET_SECONDS]
        for key in stale:
            self._drop(key)

    def next_stale_at(self) -> float | None:
        """Return when `forget_stale` has work; None if there is nothing to forget."""
        return min((each.seen_at + FORGET_SECONDS for each in self._kept.values()), default=None)

    def narrow(self, cluster_id: bytes) -> None:
        """Believe only this cluster from now on, and nodes that know of no cluster yet.

        Without an id this changes nothing.
        """
        if cluster_id in (b"", self._wanted.cluster_id):
            return
        self._wanted = msgspec.structs.replace(self._wanted, cluster_id=cluster_id)
        for key, kept in list(self._kept.items()):
            if self._wanted.objection(kept.announcement) is not None:
                self._drop(key)

    # --- results -------------------------------------------------------------------------------

    def note_answered(self, address: str) -> None:
        """Note that the right node answered at an address."""
        self._failed.discard(address)
        others = (each for each in self._answered if each != address)
        self._answered = (address, *others)[:_ANSWERED_MAX]

    def note_failed(self, address: str) -> None:
        """Note that an attempt at an address was in vain."""
        self._answered = tuple(each for each in self._answered if each != address)
        if any(address in each.announcement.addresses for each in self._kept.values()):
            self._failed.add(address)

    # --- bounds --------------------------------------------------------------------------------

    def _make_room(self, interface: Interface) -> bool:
        """Drop an announcement that failed if the table is full; return whether there is room."""
        of_interface = [key for key in self._kept if key[0] == interface.name]
        if len(of_interface) < KEPT_PER_INTERFACE_MAX and len(self._kept) < KEPT_MAX:
            return True
        candidates = of_interface if len(of_interface) >= KEPT_PER_INTERFACE_MAX else self._kept
        victim = next((key for key in candidates if self._is_victim(key)), None)
        if victim is not None:
            self._drop(victim)
        return victim is not None

    def _is_victim(self, key: _Key) -> bool:
        return self._failed.issuperset(self._kept[key].announcement.addresses)

    def _drop(self, key: _Key) -> None:
        if self._kept.pop(key, None) is not None:
            self._forget_failures()

    def _forget_failures(self) -> None:
        """Forget the failures of addresses that no announcement names any more."""
        if self._failed:
            named = {
                address for each in self._kept.values() for address in each.announcement.addresses
            }
            self._failed &= named

    def _new_foreign_cluster(self, announcement: Announcement) -> str:
        """Note the other cluster of an announcement; return it if it is the first of it."""
        wanted, cluster = self._wanted, announcement.cluster
        is_same = announcement.cluster_id in (b"", wanted.cluster_id) or not wanted.cluster_id
        if announcement.role is not wanted.role or (cluster == wanted.cluster and is_same):
            return ""
        if cluster == wanted.cluster:
            cluster = f"{cluster} with the id {short_id(announcement.cluster_id)}"
        if cluster in self._foreign or len(self._foreign) >= _FOREIGN_MAX:
            return ""
        self._foreign[cluster] = None
        return cluster
