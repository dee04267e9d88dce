"""How meta nodes agree by Raft, and which nodes meta has."""
