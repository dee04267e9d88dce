"""In the end all nodes have the membership that meta has, by whatever steps they came to it."""

from zreg.data.core import DataCore
from zreg.session.core import SessionCore
from zreg.testing.sim.cluster import SimCluster


def differing_memberships(cluster: SimCluster) -> list[str]:
    """Return which session and data nodes have another membership than meta, and which one."""
    meta = next(iter(cluster.meta_cores().values())).membership
    found = []
    for name, process in cluster.sim.processes.items():
        if isinstance(process.core, SessionCore | DataCore):
            mine = process.core._cluster_member.membership  # noqa: SLF001 -- what it follows
            if mine != meta:
                found.append(f"{name} has {mine}, meta has {meta}")
    return found
