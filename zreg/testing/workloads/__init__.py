"""Random workloads on simulated clusters, each from one seed."""
