"""The threads of a client: the loop that runs its core, and the one that runs its callbacks."""
