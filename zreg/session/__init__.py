"""Session: serves clients, answers for their publishers, follows what they subscribe to."""
