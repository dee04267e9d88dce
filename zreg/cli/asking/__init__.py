"""Questions of commands to nodes: whom to ask, how often, and for how long."""
