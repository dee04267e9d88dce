"""What a session tells data nodes (registrations), and what it follows there (datums)."""
