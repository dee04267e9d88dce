"""Instances that programs register over HTTP: their leases, and who answers for them."""
