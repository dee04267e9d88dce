"""What people, probes and scrapers ask a node over HTTP. It reads, and changes nothing."""
