"""The other clusters of the same name whose nodes were met: reported, and never mixed with."""

from collections.abc import Sequence
from typing import Final

from zreg.effects import WARNING, Effect, Log
from zreg.meta.founding.candidates import ADDRESSES_MAX
from zreg.wire.records.meta_messages import FoundingReply, FoundingStatement

_SHORT_ID_CHARACTERS: Final = 8


def nodes_text(nodes: Sequence[FoundingStatement]) -> str:
    """Return nodes and their addresses, for people."""
    return ", ".join(f"{each.sender} at {each.address.removeprefix('tcp://')}" for each in nodes)


class MetClusters:
    """What is known of other clusters, by cluster id; empty while a node has not told it.

    Each cluster is logged once. At most `ADDRESSES_MAX` are kept.
    """

    def __init__(self) -> None:
        self._clusters: dict[bytes, str] = {}
        self._logged: set[bytes] = set()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._clusters)

    def __repr__(self) -> str:
        """Show them."""
        return f"<MetClusters {self.sentence()!r}>"

    def sentence(self) -> str:
        """Return the clusters and the nodes of each, for people."""
        return "; ".join(
            f"cluster {cluster_id.hex()[:_SHORT_ID_CHARACTERS] or 'without an id yet'} of {nodes}"
            for cluster_id, nodes in self._clusters.items()
        )

    def forget(self) -> None:
        """Forget the clusters, for those that are still met are taken again; logs stay single."""
        self._clusters.clear()

    def take(self, founded: Sequence[FoundingReply], node_id: str) -> list[Effect]:
        """Take the nodes of other clusters that are met at present; log each new cluster."""
        effects: list[Effect] = []
        if founded:
            # Its nodes may tell the id by now.
            self._clusters.pop(b"", None)
        for cluster_id in dict.fromkeys(said.cluster_id for said in founded):
            nodes = [said for said in founded if said.cluster_id == cluster_id]
            if cluster_id not in self._clusters and len(self._clusters) >= ADDRESSES_MAX:
                break
            self._clusters[cluster_id] = nodes_text(nodes)
            if not cluster_id or cluster_id in self._logged or len(self._logged) >= ADDRESSES_MAX:
                continue
            self._logged.add(cluster_id)
            fields: dict[str, str | int | float] = {
                "node_id": node_id,
                "cluster_id": cluster_id.hex(),
                "nodes": self._clusters[cluster_id],
            }
            effects.append(Log(WARNING, "meta.cluster.met", fields))
        return effects
