"""The datums that a session follows for its subscribers."""
