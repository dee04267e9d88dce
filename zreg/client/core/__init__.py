"""The client's decisions, without sockets, clocks and threads."""
