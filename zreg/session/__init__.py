"""Session: holds clients, vouches for their publishers, follows what they subscribe to."""
