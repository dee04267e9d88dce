"""Join one core to one reactor, one journal and one HTTP server."""
