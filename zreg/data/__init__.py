"""A data node's decisions: it holds its share of all datums in memory, for sessions to follow."""
