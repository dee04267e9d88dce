"""Whether each datum of a primary has the copies that it should have, for health and people."""

from typing import Final

from zreg.data.placement import Placement
from zreg.data.replication.replication import Replication
from zreg.effects import INFO, Effect, Log

# A new replica is filled in less time, and a late one counts again.
_PATIENCE_SECONDS: Final = 10.0
# A replica that cannot keep up is in sync again and again, and late with the next change. So copies
# are complete again only when they have been so for this time.
_CALM_SECONDS: Final = 3.0


class CopyWatch:
    """Looks once in a while at how many copies there are, and remembers since when some lack."""

    def __init__(self, placement: Placement, replication: Replication) -> None:
        self._placement = placement
        self._replication = replication
        self._lacking_since: float | None = None
        self._lacking_count = 0
        # Since when none lacks; None if some do.
        self._complete_since: float | None = None
        # The most copies that a datum could have in the life of this process, and can have now.
        self._most = 0
        self._present = 0

    def look(self, now: float) -> list[Effect]:
        """Count the copies; log that they are complete again."""
        effects: list[Effect] = []
        in_sync, wanted = self._replication.copy_counts()
        if wanted > in_sync:
            self._lacking_count = wanted - in_sync
            self._complete_since = None
            if self._lacking_since is None:
                self._lacking_since = now
        elif self._complete_since is None:
            self._complete_since = now
        elif self._lacking_since is not None and now - self._complete_since >= _CALM_SECONDS:
            seconds = round(self._complete_since - self._lacking_since, 1)
            effects.append(Log(INFO, "data.copies.made", {"copies": in_sync, "seconds": seconds}))
            self._lacking_since = None
        self._present = len(self._placement.ring.placements[0])
        # Fewer copies may be wanted than before.
        self._most = max(min(self._most, self._placement.replica_count), self._present)
        return effects

    def problem(self, now: float) -> str:
        """Return what is wrong, for people; empty if nothing is."""
        if 0 < self._present < self._most:
            return (
                f"each datum has at most {self._present} of {self._most} copies, since data nodes "
                "are gone: registrations are accepted with fewer copies; start them again, or "
                "others, or ask for fewer copies with `zreg data replica-count`"
            )
        since = self._lacking_since
        if since is None or now < since + _PATIENCE_SECONDS:
            return ""
        return (
            f"copies of {self._lacking_count} buckets are not in sync for {now - since:.0f} s, or "
            "again and again: registrations are accepted with fewer copies; check the load of the "
            "data nodes and the network between them"
        )
