"""Which nodes meta has, and how they agree by Raft."""
