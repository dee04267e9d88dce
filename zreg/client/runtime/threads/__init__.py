"""The threads of a client, how they start and end, and how commands reach the core's thread."""
