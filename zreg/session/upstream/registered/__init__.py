"""The publishers that a session registers, and what of them the data nodes have."""
