"""Picking an instance for each call: the `Balancer` behind a lock and a clock."""
