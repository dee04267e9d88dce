"""The clients and operators whose work a workload checks."""
