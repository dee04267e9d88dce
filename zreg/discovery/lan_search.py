"""How a node without meta addresses finds meta on its LAN, and a client without a url a session.

It tries what runs on its own machine first, and what it knows from others. When a round over these
was in vain it browses, until it is admitted. What is announced only suggests addresses: the cluster
is checked on each connection.
"""

from typing import TYPE_CHECKING

from zreg.config import Config
from zreg.discovery.announcement import Wanted
from zreg.discovery.announcement_table import AnnouncementTable
from zreg.discovery.choice import Place, addresses_in_order, reason_for
from zreg.discovery.sightings import Browse, BrowseFailed, LanEvent, Withdrawn
from zreg.effects import INFO, WARNING, Effect, Emit, Log
from zreg.model import Role

if TYPE_CHECKING:
    from random import Random


class LanSearch:
    """What is announced of one role, and whether the node or client browses.

    Without `is_allowed`, as with configured addresses, it never emits `Browse` and ignores
    announcements. `events` is the beginning of the names of its log events. With `rng` the order of
    equal nodes is random, so that clients spread over the sessions.
    """

    def __init__(
        self,
        config: Config,
        role: Role,
        *,
        is_allowed: bool,
        events: str,
        rng: "Random | None" = None,
    ) -> None:
        self._is_allowed = is_allowed
        self._role = role
        self._events = events
        self._rng = rng
        self._cluster = config.cluster
        self._place = Place(config.zone, config.data_center)
        self._table = AnnouncementTable(Wanted(role=role, cluster=config.cluster))
        self._is_browsing = False
        # Why the LAN cannot be looked at; empty if it can.
        self._failure = ""

    def __repr__(self) -> str:
        """Show what is believed."""
        return f"<LanSearch browsing={self._is_browsing} {self._table!r}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The announced addresses, in the order in which to try them."""
        return addresses_in_order(self._table, self._place, rng=self._rng)

    @property
    def note(self) -> str:
        """Why the LAN does not help, for people; empty if it does, or if that is not known."""
        if self._failure:
            return self._failure
        others = self._table.foreign_clusters
        if not others or len(self._table):
            return ""
        kind = self._role.name.lower()
        return (
            f"the LAN announces {kind} nodes of other clusters only ({', '.join(others)}), and "
            f"this is {self._cluster!r}"
        )

    def __len__(self) -> int:
        """Return how many announcements are believed."""
        return len(self._table)

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
            effects.append(
                Log(INFO, f"{self._events}.discovered", {"address": address, "reason": reason})
            )
        return effects

    def narrow(self, cluster_id: bytes) -> None:
        """Believe only what is announced of this cluster."""
        self._table.narrow(cluster_id)

    def see(self, event: LanEvent, now: float) -> tuple[list[Effect], bool]:
        """Take an announcement; return effects, and whether there are new addresses to try."""
        if isinstance(event, BrowseFailed):
            self._failure = event.reason
            return [], False
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
        return [Log(WARNING, f"{self._events}.announcement.foreign", fields)], False
