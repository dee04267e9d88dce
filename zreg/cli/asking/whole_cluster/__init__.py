"""Questions to a whole cluster: what it is, and what each of its nodes answers."""
