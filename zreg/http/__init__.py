"""A node's HTTP pages for people, probes and scrapers. They read, and change nothing."""
