"""Time: pauses between attempts, deadlines, leases."""
