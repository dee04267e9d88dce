"""Data: holds a shard of all datums, in memory, with op logs."""
