"""A client on an event loop of the program: no other thread runs its core or its callbacks."""
