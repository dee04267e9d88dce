"""Checks of the promises of zreg, from outside the nodes, on a simulated cluster."""
