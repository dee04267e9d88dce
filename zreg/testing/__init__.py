"""Tools to test zreg and what is built on it: simulators, checkers, processes."""
