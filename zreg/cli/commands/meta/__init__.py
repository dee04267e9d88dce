"""Commands about meta: its nodes, the membership, settings, recovery."""
