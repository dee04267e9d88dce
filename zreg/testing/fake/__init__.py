"""A registry in the memory of the process, for tests of users' code."""
