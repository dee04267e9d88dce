"""What every Raft node does with the requests of candidates and leaders, and what it replies."""
