"""Test tools for zreg and its users: simulated clusters, checkers, and real processes."""
