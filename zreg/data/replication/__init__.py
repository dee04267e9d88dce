"""A primary's side of copies: its streams to replicas, which are in sync, what is accepted."""
