"""A node's HTTP pages for people, probes and scrapers. Only `instances/` change something."""
