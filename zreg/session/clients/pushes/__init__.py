"""What a session pushes to its subscribers."""
