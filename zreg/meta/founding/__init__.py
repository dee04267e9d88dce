"""How empty meta nodes that find each other agree on the founders of their cluster."""
