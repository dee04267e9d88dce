"""Clusters, nodes and commands in real processes, for your tests and ours; see docs/testing.md."""

from zreg.testing.processes.cluster_processes import ClusterProcesses, Statistics
from zreg.testing.processes.dev_registry import DevRegistry
from zreg.testing.processes.node_process import NodeProcess, ReportedHealth, ReportedProblem
from zreg.testing.processes.proxied_cluster import CLIENT, ProxiedCluster
from zreg.testing.processes.proxy.link_proxy import LinkProxy
from zreg.testing.processes.running_cluster import RunningCluster
from zreg.testing.processes.running_command import (
    END_SECONDS_MAX,
    START_SECONDS_MAX,
    LineReader,
    Running,
    clean_environment,
    run_zreg,
    wait_until,
    zreg_command,
)

__all__ = [
    "CLIENT",
    "END_SECONDS_MAX",
    "START_SECONDS_MAX",
    "ClusterProcesses",
    "DevRegistry",
    "LineReader",
    "LinkProxy",
    "NodeProcess",
    "ProxiedCluster",
    "ReportedHealth",
    "ReportedProblem",
    "Running",
    "RunningCluster",
    "Statistics",
    "clean_environment",
    "run_zreg",
    "wait_until",
    "zreg_command",
]
