"""What a session tells data nodes, and what it follows there."""
