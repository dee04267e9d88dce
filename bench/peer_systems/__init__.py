"""What `bench/peers.py` runs: servers and clients of each system, measurements, and the report."""
