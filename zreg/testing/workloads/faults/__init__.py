"""The faults and planned changes that workloads inject."""
