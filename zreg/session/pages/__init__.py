"""What the HTTP pages of a session ask its core, and the answers."""
