"""What clients ask of a session, and what the session pushes to them."""
