"""Whether an instance is healthy: the decisions, without clock and thread."""
