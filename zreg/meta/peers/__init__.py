"""The other meta nodes: who they are, whether their journals count, and the connections to them."""
