"""Check that all nodes end with the membership of meta."""

from zreg.data.core import DataCore
from zreg.session.core import SessionCore
from zreg.testing.sim.cluster import SimCluster


def differing_memberships(cluster: SimCluster) -> list[str]:
    """Return a line for each session and data node with another membership than meta."""
    meta = next(iter(cluster.meta_cores().values())).membership
    found = []
    for name, process in cluster.sim.processes.items():
        if isinstance(process.core, SessionCore | DataCore):
            mine = process.core._cluster_member.membership  # noqa: SLF001 -- no public name
            if mine != meta:
                found.append(f"{name} has {mine}, meta has {meta}")
    return found
