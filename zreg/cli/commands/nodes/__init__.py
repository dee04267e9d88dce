"""Run nodes: `zreg session`, `zreg dev`, and what the nodes of all roles share."""
