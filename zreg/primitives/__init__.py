"""Small ideas that several roles share: following versions, op logs, digests, the ring, leases."""
