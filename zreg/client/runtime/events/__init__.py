"""The way of the core's events to those who wait for them."""
