"""How a node without meta addresses finds meta on its LAN.

It tries the meta node of its own machine first, and what its membership names. When a round over
these was in vain it browses, until the leader admits it. What is announced only suggests addresses:
the cluster is checked on each connection.
"""

from zreg.config import Config
from zreg.discovery.announcement import Wanted
from zreg.discovery.announcement_table import AnnouncementTable
from zreg.discovery.choice import Place, addresses_in_order, reason_for
from zreg.discovery.sightings import Browse, Sighted, Withdrawn
from zreg.effects import INFO, WARNING, Effect, Emit, Log
from zreg.model import Role


class LanSearch:
    """What is announced, and whether this node browses; nothing if it has meta addresses.

    A node with addresses never emits `Browse`, and ignores announcements.
    """

    def __init__(self, config: Config) -> None:
        self._is_allowed = not config.meta_addresses
        self._cluster = config.cluster
        self._place = Place(config.zone, config.data_center)
        self._table = AnnouncementTable(Wanted(role=Role.META, cluster=config.cluster))
        self._is_browsing = False

    def __repr__(self) -> str:
        """Show what is believed."""
        return f"<LanSearch browsing={self._is_browsing} {self._table!r}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The announced addresses, in the order in which to try them."""
        return addresses_in_order(self._table, self._place)

    @property
    def note(self) -> str:
        """What the LAN announces although no meta node of this cluster, for people; or empty."""
        others = self._table.foreign_clusters
        if not others or len(self._table):
            return ""
        return (
            f"the LAN announces meta nodes of other clusters only ({', '.join(others)}), and this "
            f"node is of {self._cluster!r}"
        )

    @property
    def refused_count(self) -> int:
        """How many announcements were not used."""
        return self._table.refused_count

    def on_round_over(self, now: float) -> list[Effect]:
        """Begin to browse: no known meta node admits this node."""
        self._table.forget_stale(now)
        if self._is_browsing or not self._is_allowed:
            return []
        self._is_browsing = True
        return [Emit(Browse(is_wanted=True))]

    def on_failed(self, address: str) -> None:
        """Note that an address did not lead to the leader."""
        self._table.note_failed(address)

    def on_admitted(self, address: str) -> list[Effect]:
        """Stop browsing, and say how the leader was found if the LAN announced it."""
        if not self._is_browsing:
            return []
        self._is_browsing = False
        effects: list[Effect] = [Emit(Browse(is_wanted=False))]
        if reason := reason_for(self._table, self._place, address):
            self._table.note_answered(address)
            effects.append(Log(INFO, "meta.discovered", {"address": address, "reason": reason}))
        return effects

    def narrow(self, cluster_id: bytes) -> None:
        """Believe only what is announced of this cluster."""
        self._table.narrow(cluster_id)

    def see(self, event: Sighted | Withdrawn, now: float) -> tuple[list[Effect], bool]:
        """Take an announcement; return effects, and whether there are new addresses to try."""
        if isinstance(event, Withdrawn):
            self._table.withdraw(event)
            return [], False
        if not self._is_browsing:
            return [], False
        seen = self._table.see(event, now)
        if not seen.new_foreign_cluster:
            return [], seen.is_new
        fields: dict[str, str | int | float] = {
            "cluster": seen.new_foreign_cluster,
            "interface": event.interface.name,
        }
        return [Log(WARNING, "meta.announcement.foreign", fields)], False
