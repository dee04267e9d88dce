"""What clients ask of a session, and what the session answers and pushes to them."""
