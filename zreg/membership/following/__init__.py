"""A node's copy of the membership, and what keeps it current."""
