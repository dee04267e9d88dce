"""In the end all nodes have the membership that meta has, by whatever steps they came to it."""

from zreg.data.core import DataCore
from zreg.session.core import SessionCore
from zreg.testing.sim_cluster import SimCluster


def check_memberships(cluster: SimCluster) -> None:
    """AssertionError where a session or data node that is left alone differs from meta."""
    (first, *others) = cluster.meta_cores().values()
    for other in others:
        assert other.membership == first.membership, f"{other!r} differs from {first!r}"
    for name, process in cluster.sim.processes.items():
        if isinstance(process.core, SessionCore | DataCore):
            mine = process.core._enrolment.membership  # noqa: SLF001 -- what it follows
            assert mine == first.membership, f"{name} has {mine}, meta has {first.membership}"
