"""A node's way to the leader of meta, and why it does not reach it."""
