"""Where the registry is: what a url says, where a client finds it, and what it leads to."""
