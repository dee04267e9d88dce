"""What the leader alone knows of nodes, in memory only."""
