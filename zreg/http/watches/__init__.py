"""`/v1/watch`: changes of services as server-sent events."""
