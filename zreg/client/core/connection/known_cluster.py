"""Which cluster a client's sessions belong to. Several clusters may have one name."""

from typing import Final

from zreg.effects import WARNING, Log
from zreg.wire.records.client_messages import Welcome

_DETAIL: Final = (
    "the session belongs to another cluster of the same name, which has other registrations: name "
    "the sessions of one cluster in the url, and give each cluster a name of its own"
)


class KnownCluster:
    """The cluster of the last session that knew its own: one that meta has not admitted may not."""

    def __init__(self) -> None:
        self.cluster_id = b""

    def is_other(self, welcome: Welcome) -> bool:
        """Return whether a session is of another cluster than the one before it."""
        known, said = self.cluster_id, welcome.cluster_id
        return known != b"" and said not in (b"", known)

    def take(self, welcome: Welcome, address: str) -> list[Log]:
        """Note the cluster of a session that is used; warn if it is another one.

        It is used all the same: a cluster that was made anew, without its data, is another one too.
        """
        is_other, before = self.is_other(welcome), self.cluster_id
        self.cluster_id = welcome.cluster_id or before
        if not is_other:
            return []
        fields: dict[str, str | int | float] = {
            "address": address,
            "cluster": welcome.cluster_id.hex()[:8],
            "before": before.hex()[:8],
            "detail": _DETAIL,
        }
        return [Log(WARNING, "client.cluster.changed", fields)]
