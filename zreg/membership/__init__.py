"""How a node follows the membership: its connection to the leader, and what it learns there."""
