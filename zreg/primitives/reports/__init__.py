"""What a node of any role reports about itself to those who ask: events, statistics, hops."""
