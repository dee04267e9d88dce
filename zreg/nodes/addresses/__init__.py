"""The address that a node tells others: which one it is, and whether it is still there."""
