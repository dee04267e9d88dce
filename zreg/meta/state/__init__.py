"""What meta nodes agree on: the members and the settings, as a deterministic state machine."""
